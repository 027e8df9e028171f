"""MetaImage, looked at before ITK reads it: of a damaged file ITK prints lines of its own, gives no reason, or none."""

from __future__ import annotations

from math import prod
from pathlib import Path

from ssl_bench.data.io.simpleitk import read_image, require_intact
from ssl_bench.data.io.volume import Volume
from ssl_bench.errors import UserError

_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
"""Per voxel; the unsigned types, which have a U before the name, take as many."""


def read_metaimage(path: Path) -> Volume:
    """Header and voxels in one file (.mha) or in two (.mhd). Raises UserError if it is not one scalar volume."""
    header, length = _header(path)
    name = header["ElementDataFile"]
    several_files = name.startswith("LIST") or "%" in name
    if not several_files:
        data, start = (path, length) if name.upper() == "LOCAL" else (path.parent / name, 0)
        if not data.is_file():
            raise UserError(f"{path}: its voxels should be in {name}, which is missing; put it beside the header")
        if _yes(header.get("CompressedData", "False")):
            require_intact(path, data, start)
        else:
            _require_bytes(path, data, start, _expected_bytes(path, header))
    return read_image(path, "MetaImageIO")


def _header(path: Path) -> tuple[dict[str, str], int]:
    """The fields of the header and its length in bytes; it ends with the name of the data file."""
    header: dict[str, str] = {}
    with path.open("rb") as file:
        while "ElementDataFile" not in header and (line := file.readline(4096)):
            key, _, value = line.decode("latin-1").partition("=")
            header[key.strip()] = value.strip()
        length = file.tell()
    if not {"NDims", "DimSize", "ElementType", "ElementDataFile"} <= header.keys():
        raise UserError(f"{path}: is no MetaImage, whatever its name says; convert it to .mha or correct its suffix")
    if header["NDims"] != str(len(header["DimSize"].split())):
        fields = f"NDims = {header['NDims']}, DimSize = {header['DimSize']}"
        raise UserError(f"{path}: has a broken MetaImage header ({fields}); write the file again")
    return header, length


def _expected_bytes(path: Path, header: dict[str, str]) -> int:
    """What the voxels take in the file, at least; a text can be of any length."""
    try:
        if not _yes(header.get("BinaryData", "True")):
            return 1
        voxels = prod(int(count) for count in header["DimSize"].split())
        channels = int(header.get("ElementNumberOfChannels", 1))
    except ValueError as error:
        raise UserError(f"{path}: has a broken MetaImage header ({error}); write the file again") from error
    kind = header["ElementType"].removeprefix("MET_").removeprefix("U")
    return voxels * channels * _BYTES.get(kind, 1)


def _yes(value: str) -> bool:
    return value.startswith(("T", "t", "1"))


def _require_bytes(path: Path, data: Path, start: int, expected: int) -> None:
    held = data.stat().st_size - start
    if held < expected:
        place = "" if data == path else f" in {data.name}"
        raise UserError(f"{path}: is cut short ({held} of {expected} bytes{place}); copy or download it again")
