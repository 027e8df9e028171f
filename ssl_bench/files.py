"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssl_bench.errors import UserError

TEMPORARY_SUFFIX = ".partial"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what was written there replaces `path`, or leaves no trace on an error.

    Raises UserError if the folder cannot be written.
    """
    with _temporary(path) as temporary:
        yield temporary
        _sync(temporary)
        temporary.replace(path)


def publish_first(path: Path, text: str) -> bool:
    """Create `path` with `text` unless it exists; True if this call created it.

    Two writers on a shared file system may race: the first link wins and the other one's text is dropped. After the
    link the link count is looked at, since a network file system may report a failure for a link that was made.
    Where a file system has no hard links, the file is created exclusively.
    """
    with _temporary(path) as temporary:
        temporary.write_text(text, "utf-8")
        _sync(temporary)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return temporary.stat().st_nlink == 2
        except OSError:
            if temporary.stat().st_nlink == 2:
                return True
            return _create_exclusively(path, text)
        return temporary.stat().st_nlink == 2


def _create_exclusively(path: Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


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
