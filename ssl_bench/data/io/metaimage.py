"""MetaImage, looked at before ITK reads it.

Of a damaged file ITK prints lines of its own, gives a wrong reason or none; it takes no notice of units, of an
intensity function, or of a spacing that is not there.
"""

from __future__ import annotations

import re
from math import isfinite, prod
from pathlib import Path

from ssl_bench.data.io.rescaling import rescaled
from ssl_bench.data.io.simpleitk import open_image, read_image, require_intact
from ssl_bench.data.io.units import millimetres
from ssl_bench.data.io.volume import NO_ORIENTATION, Volume
from ssl_bench.errors import UserError

_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
"""Per voxel; the unsigned types, which have a U before the name, take as many."""
_SLOPE, _OFFSET = "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset"
_ORIENTATIONS = {"TransformMatrix", "Rotation", "Orientation"}
_SCALING = re.compile(r"(slope|intercept|^ElementOffset)$", re.IGNORECASE)


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
    _require_spacing(path, header)
    slope, offset = _intensity(path, header)
    unit_mm = millimetres(path, header.get("DistanceUnits", "mm"))
    volume = read_image(path, open_image(path, "MetaImageIO"), unit_mm)
    return Volume(rescaled(volume.voxels, slope, offset), volume.affine, _notes(header))


def _header(path: Path) -> tuple[dict[str, str], int]:
    """The fields of the header and its length in bytes; it ends with the name of the data file."""
    header: dict[str, str] = {}
    with path.open("rb") as file:
        while "ElementDataFile" not in header and (line := file.readline(4096)):
            key, _, value = line.decode("utf-8", "replace").partition("=")
            header[key.strip()] = value.strip()
        length = file.tell()
    if not {"NDims", "DimSize", "ElementType", "ElementDataFile"} <= header.keys():
        raise UserError(f"{path}: is no MetaImage, whatever its name says; convert it to .mha or correct its suffix")
    if header["NDims"] != str(len(header["DimSize"].split())):
        fields = f"NDims = {header['NDims']}, DimSize = {header['DimSize']}"
        raise UserError(f"{path}: has a broken MetaImage header ({fields}); write the file again")
    return header, length


def _require_spacing(path: Path, header: dict[str, str]) -> None:
    spacing = header.get("ElementSpacing", header.get("ElementSize"))
    if spacing is None:
        raise UserError(f"{path}: its header gives no spacing (ElementSpacing); write the file again with its spacing")
    if len(_numbers(path, spacing)) != int(header["NDims"]):
        fields = f"NDims = {header['NDims']}, ElementSpacing = {spacing}"
        raise UserError(f"{path}: has a broken MetaImage header ({fields}); write the file again")


def _intensity(path: Path, header: dict[str, str]) -> tuple[float, float]:
    """Slope and offset from what is stored to what is meant, which ITK leaves alone."""
    values = [header.get(_SLOPE, "1"), header.get(_OFFSET, "0")]
    slope, offset = _numbers(path, " ".join(values)) if all(values) else (0.0, 0.0)
    if not slope or not isfinite(slope) or not isfinite(offset):
        fields = f"{_SLOPE} = {values[0]}, {_OFFSET} = {values[1]}"
        raise UserError(f"{path}: makes no values of its voxels ({fields}); write the file again")
    return slope, offset


def _notes(header: dict[str, str]) -> tuple[str, ...]:
    notes = [] if header.keys() & _ORIENTATIONS else [NO_ORIENTATION]
    strange = [name for name in header if _SCALING.search(name) and name not in (_SLOPE, _OFFSET)]
    if any(header[name] not in ("0", "1") for name in strange):
        fields = ", ".join(f"{name} = {header[name]}" for name in strange)
        notes.append(f"its header holds {fields}, which MetaImage does not know: values are taken as stored")
    return tuple(notes)


def _numbers(path: Path, text: str) -> list[float]:
    try:
        return [float(word) for word in text.split()]
    except ValueError as error:
        raise UserError(f"{path}: has a broken MetaImage header ({error}); write the file again") from error


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
