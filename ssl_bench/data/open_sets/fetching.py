"""An open data set from its server to a folder that is a task or a corpus here."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ssl_bench.data.open_sets.declaration import GIGABYTE, OpenSet, RemoteFile
from ssl_bench.data.open_sets.downloading import Advance, download
from ssl_bench.errors import UserError

RECEIPT = "fetched.json"
"""In the data set's folder: where its files came from, what they were, and what they became."""

Track = Callable[[str], AbstractContextManager[Advance]]
"""A progress bar of bytes: a title in, a context whose value gets the bytes that are there and those of the whole."""


def untracked(title: str) -> AbstractContextManager[Advance]:
    """No progress bar."""
    return nullcontext(lambda have, whole: None)


def unheard(line: str) -> None:
    """Nothing is said."""


def is_fetched(chosen: OpenSet, to: Path) -> bool:
    """Whether the folder below `to` holds everything that an earlier fetch laid.

    Raises UserError if it holds less, or is no such folder.
    """
    folder = to / chosen.folder
    if not folder.exists():
        return False
    try:
        laid = json.loads((folder / RECEIPT).read_text("utf-8"))["laid"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: is there and was not fetched; name another folder with --to") from error
    gone = [name for name, size in laid.items() if _size(folder / name) != size]
    if gone:
        raise UserError(
            f"{folder}: lacks {len(gone)} of the {len(laid)} files that were fetched, or they changed (the first: "
            f"{gone[0]}); move the folder away and fetch again"
        )
    return True


def fetch(
    chosen: OpenSet,
    to: Path,
    mirror: str = "",
    track: Track = untracked,
    say: Callable[[str], None] = unheard,
) -> Path:
    """Download and lay `chosen` below `to`, or nothing where that was done; the data set's folder.

    Files come into ``NAME.download`` and are laid in ``NAME.unpacking``, which becomes the folder when it is whole.
    Raises UserError for everything that may go wrong; what was downloaded whole or in part serves the next try.
    """
    folder = to / chosen.folder
    if is_fetched(chosen, to):
        return folder
    downloads, laying = to / f"{chosen.name}.download", to / f"{chosen.name}.unpacking"
    with _explained(to):
        downloads.mkdir(parents=True, exist_ok=True)
        _require_space(chosen, to, downloads)
        remote = chosen.remote(mirror)
        with track(chosen.name) as advance:
            onwards = _onwards(advance, downloads, remote, round(chosen.download_gb * GIGABYTE))
            files = {file.name: download(file, downloads, onwards) for file in remote}
        came = [_origin(file, files[file.name]) for file in remote]
        if unknown := sum(file.hash is None for file in remote):
            say(f"hash unknown: recorded, for {unknown} of {len(remote)} files, in {folder / RECEIPT}")
        _clear(laying)
        laying.mkdir()
        chosen.lay(files, laying, chosen.most_bytes)
        _write_receipt(chosen, laying, came)
        laying.rename(folder)
        _clear(downloads)
    return folder


def _require_space(chosen: OpenSet, to: Path, downloads: Path) -> None:
    there = sum(file.stat().st_size for file in downloads.iterdir())
    needed = max(0, round(chosen.download_gb * GIGABYTE) - there) + chosen.most_bytes
    free = shutil.disk_usage(to).free
    if free < needed:
        raise UserError(
            f"{to}: {chosen.name} needs {needed / GIGABYTE:.2g} GB there while it is unpacked and "
            f"{free / GIGABYTE:.2g} GB are free; make room or name another folder with --to"
        )


def _onwards(advance: Advance, downloads: Path, remote: list[RemoteFile], declared: int) -> Advance:
    """The progress of one file as that of all, of which together only the `declared` size is known."""

    def onwards(have: int, whole: int | None) -> None:
        before = sum(_size(downloads / file.name) or 0 for file in remote)
        advance(before + have, whole if len(remote) == 1 else declared)

    return onwards


def _origin(file: RemoteFile, path: Path) -> dict[str, Any]:
    """What the receipt says of one file."""
    origin = {"name": file.name, "url": file.url, "bytes": path.stat().st_size}
    if file.hash:
        return origin | {"hash": file.hash, "hash_was": "published, checked"}
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return origin | {"hash": f"sha256:{digest}", "hash_was": "unknown, recorded"}


def _write_receipt(chosen: OpenSet, laying: Path, came: list[dict[str, Any]]) -> None:
    laid = {path.relative_to(laying).as_posix(): _size(path) for path in sorted(laying.rglob("*")) if path.is_file()}
    receipt = {
        "set": chosen.name,
        "title": chosen.title,
        "licence": chosen.licence,
        "source": chosen.source,
        "downloaded": came,
        "laid": laid,
    }
    (laying / RECEIPT).write_text(json.dumps(receipt, indent=1) + "\n", "utf-8")


def _size(path: Path) -> int | None:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return None


def _clear(folder: Path) -> None:
    """Remove a folder of this module's own, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _explained(to: Path) -> Iterator[None]:
    """What the disk says, as a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full; make room and give the same command, which goes on from what is there"
        else:
            reason = f"cannot be written ({error.strerror or error}); name a folder you may write to with --to"
        raise UserError(f"{error.filename or to}: {reason}") from error
