"""Archives from the internet: unpacked into one folder, and never beyond it."""

from __future__ import annotations

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from ssl_bench.errors import UserError

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)
_CHUNK = 2**20


class Member(NamedTuple):
    """One entry of an archive that is no folder."""

    name: str
    is_file: bool
    """False for links, devices and the like."""
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, place: Callable[[str], str | None], most_bytes: int) -> None:
    """Write members of a tar or zip `archive` into `folder`, each where `place` puts its name; None leaves it out.

    Raises UserError, and unpacks nothing more, for a member whose name leaves the folder, for a link among those that
    are wanted, for more than `most_bytes` in all as they are counted while they come, and for a broken archive.
    """
    left = most_bytes
    with _opened(archive) as members:
        for member in members:
            _require_inside(member.name, archive)
            target = place(member.name)
            if target is None or PurePosixPath(member.name).name.startswith("."):
                continue
            if not member.is_file:
                raise UserError(f"{archive}: {member.name} is a link or a device; nothing of that kind is unpacked")
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as source, path.open("xb") as written:
                while chunk := source.read(_CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise UserError(
                            f"{archive}: holds more than {most_bytes / 10**9:g} GB, which its declaration allows; "
                            "this is not the data set that was declared"
                        )
                    written.write(chunk)


def _require_inside(name: str, archive: Path) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
        raise UserError(f"{archive}: {name!r} would lie outside of the folder; nothing of this archive is used")


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[Member]]:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                yield _of_zip(opened)
        else:
            with tarfile.open(archive) as read:
                yield _of_tar(read)
    except _BROKEN as error:
        raise UserError(f"{archive}: is no whole archive ({error}); remove it and fetch again") from error


def _of_zip(opened: zipfile.ZipFile) -> Iterator[Member]:
    for entry in opened.infolist():
        mode = entry.external_attr >> 16
        if not entry.is_dir():
            is_file = stat.S_ISREG(mode) or not stat.S_IFMT(mode)
            yield Member(entry.filename, is_file, lambda entry=entry: opened.open(entry))  # type: ignore[misc]


def _of_tar(opened: tarfile.TarFile) -> Iterator[Member]:
    for entry in opened:
        if not entry.isdir():
            yield Member(entry.name, entry.isreg(), lambda entry=entry: _read(opened, entry))  # type: ignore[misc]


def _read(opened: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    source = opened.extractfile(entry)
    assert source is not None, "asked of files alone"
    return source
