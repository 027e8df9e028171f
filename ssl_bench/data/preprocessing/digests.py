"""What source files hold, as digests that are computed once for each version of a file."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path

from ssl_bench.data.io.formats import natural_key
from ssl_bench.errors import UserError
from ssl_bench.files import atomic_write, cache_root

_LONGEST_HEADER = 2**16
"""Bytes of a text header that are searched for names."""


def source_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; of several files, as of a DICOM folder in natural order, that of their digests.

    The digest is kept with the sizes and times of change, and read again while those stay. Raises UserError for what
    cannot be read.
    """
    known = known_digest(path)
    if known is not None:
        return known
    try:
        stamp, parts = _stamp(path), [_file_digest(file) for file in _files(path)]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its path and permissions") from error
    digest = parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()
    with suppress(OSError, UserError), atomic_write(_entry(path)) as temporary:  # the next one who asks reads again
        temporary.write_text(json.dumps({"stamp": stamp, "digest": digest}), "utf-8")
    return digest


def known_digest(path: Path) -> str | None:
    """The digest of `path` if that is known without reading it."""
    try:
        entry = json.loads(_entry(path).read_text("utf-8"))
        return str(entry["digest"]) if entry["stamp"] == _stamp(path) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _files(path: Path) -> list[Path]:
    """What a folder holds, or a file and the files that its header names as those of its voxels."""
    if path.is_dir():
        visible = [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
        return sorted(visible, key=lambda file: natural_key(file.name))
    return [path, *_voxel_files(path)]


def _voxel_files(path: Path) -> list[Path]:
    if path.suffix.lower() not in (".mhd", ".nhdr"):
        return []
    with path.open("rb") as file:
        lines = file.read(_LONGEST_HEADER).decode("utf-8", "replace").splitlines()
    # "ElementDataFile = ct.raw", "data file: ct.raw", or a list with one name a line.
    names = {re.split("[:=]", line, maxsplit=1)[-1].strip() for line in lines}
    return [path.parent / name for name in sorted(names) if 0 < len(name) < 255 and (path.parent / name).is_file()]


def _stamp(path: Path) -> str:
    states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in _files(path)]
    return hashlib.sha256(repr(states).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(path: Path) -> Path:
    # One small file for each source: processes never wait for each other, and a damaged one costs one reading.
    return cache_root() / "digests" / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]}.json"
