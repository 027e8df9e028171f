"""Files: written so that a reader never sees half of one, and the folder of what can be made again."""

from __future__ import annotations

import contextlib
import glob
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from ssl_bench.errors import UserError

TEMPORARY_SUFFIX = ".partial"
CRASHED_AFTER_SECONDS = 2.0
"""Publishing a file that is written takes milliseconds."""


def cache_root() -> Path:
    """Where everything is kept that can be made again: ``$SSL_BENCH_CACHE``, or the user's cache folder.

    In containers a user may have no home, or one that cannot be written: there a temporary folder of the user's own
    stands in for it. Raises UserError if that one is somebody else's.
    """
    if named := os.environ.get("SSL_BENCH_CACHE"):
        return Path(named)
    try:
        usual = Path(platformdirs.user_cache_dir("ssl-bench"))
    except RuntimeError:  # No home is known; older releases of platformdirs say so with a path that begins with ~.
        return _temporary_cache()
    if not usual.is_absolute():
        return _temporary_cache()
    lowest = next(folder for folder in (usual, *usual.parents) if folder.exists())
    return usual if lowest == usual or os.access(lowest, os.W_OK) else _temporary_cache()


def _temporary_cache() -> Path:
    folder = Path(tempfile.gettempdir()) / f"ssl-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # Anyone may have made a folder of that name, to have volumes read that he put there.
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder}: belongs to somebody else; name a cache folder with SSL_BENCH_CACHE")
    return folder


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what was written there replaces `path`, or leaves no trace on an error.

    Raises UserError if the folder cannot be written, or if `path` is there and no file: a device must not be replaced.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is there and not a regular file; name another")
    with _temporary(path) as temporary:
        yield temporary
        _sync(temporary)
        temporary.replace(path)


def publish_first(path: Path, text: str) -> bool:
    """Create `path` with `text` unless it exists; True if this call created it.

    Two writers on a shared file system may race: the first link wins and the other one's text is dropped. After a
    failure the link count is looked at, since a network file system may report one for a link that was made.
    """
    with _temporary(path) as temporary:
        temporary.write_text(text, "utf-8")
        _sync(temporary)
        try:
            os.link(temporary, path)
        except OSError as error:
            if temporary.stat().st_nlink == 2:
                return True
            return not isinstance(error, FileExistsError) and _publish_without_links(temporary, path)
        return True


def _publish_without_links(temporary: Path, path: Path) -> bool:
    """Where there are no hard links, a marker that one writer alone can create says who renames its file to `path`."""
    marker = path.with_name(f".{path.name}.first")
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        # The process that created it renames at once, unless it crashed in between: then one that waited is the first.
        time.sleep(CRASHED_AFTER_SECONDS)
        inherited = marker.with_name(f"{marker.name}.{os.getpid()}{temporary.name}")
        try:
            marker.rename(inherited)
        except FileNotFoundError:
            return False
        marker = inherited
    if path.exists():
        marker.unlink(missing_ok=True)
        return False
    temporary.replace(path)
    marker.unlink(missing_ok=True)
    return True


def set_aside(path: Path, what: str, way_on: str) -> None:
    """Rename a file that does not read to ``.corrupt``, with a warning that says `what` it was and `way_on`."""
    aside = path.with_name(f"{path.name}.corrupt")
    with contextlib.suppress(FileNotFoundError):
        path.replace(aside)
        print(f"warning: {path}: corrupt {what}; set aside as {aside.name}, {way_on}", file=sys.stderr)  # noqa: T201


def clear_temporaries(path: Path) -> None:
    """Remove what killed writers of `path` left behind; call it only while no other process writes there."""
    for left in path.parent.glob(f"*.{glob.escape(path.name)}.*{TEMPORARY_SUFFIX}"):
        left.unlink(missing_ok=True)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY_SUFFIX, dir=path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose a folder you may write to") from error
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o644)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
