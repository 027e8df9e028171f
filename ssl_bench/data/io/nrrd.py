"""NRRD, looked at before ITK reads it, which does not compare the checksum of compressed voxels."""

from __future__ import annotations

from pathlib import Path

from ssl_bench.data.io.simpleitk import read_image, require_intact
from ssl_bench.data.io.volume import Volume
from ssl_bench.errors import UserError


def read_nrrd(path: Path) -> Volume:
    """Header and voxels in one file (.nrrd) or in two (.nhdr). Raises UserError if it is not one scalar volume."""
    header, length = _header(path)
    name = header.get("data file", header.get("datafile"))
    data, start = (path, length) if name is None else (path.parent / name, 0)
    # A name that is no file may stand for several (LIST, or a pattern), or be missing, as ITK then says.
    if header.get("encoding") in ("gzip", "gz") and "line skip" not in header and data.is_file():
        require_intact(path, data, start)
    return read_image(path, "NrrdImageIO")


def _header(path: Path) -> tuple[dict[str, str], int]:
    """The fields of the header and its length in bytes; it ends with an empty line, or with the file."""
    header: dict[str, str] = {}
    with path.open("rb") as file:
        if not file.readline(64).startswith(b"NRRD"):
            raise UserError(f"{path}: is no NRRD file, whatever its name says; convert it or correct its suffix")
        while line := file.readline(2**16).decode("latin-1").strip():
            key, _, value = line.partition(":")
            header[key] = value.strip()
        return header, file.tell()
