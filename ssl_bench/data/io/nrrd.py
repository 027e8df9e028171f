"""NRRD, looked at before ITK reads it, which takes no notice of units, a checksum, or a spacing that is not there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ssl_bench.data.io.simpleitk import open_image, read_image, require_intact
from ssl_bench.data.io.units import millimetres
from ssl_bench.data.io.volume import NO_ORIENTATION, Volume
from ssl_bench.errors import UserError

_VECTOR = re.compile(r"\([^)]*\)|none")
_QUOTED = re.compile(r'"([^"]*)"')
_OF_THE_BODY = re.compile(
    r"(right|left)-(anterior|posterior)-(superior|inferior)(-time)?|[rl][ap][si]t?", re.IGNORECASE
)
"""Spaces whose axes have names; those of ``scanner-xyz`` and ``3D-right-handed`` lie anyhow in a body."""


def read_nrrd(path: Path) -> Volume:
    """Header and voxels in one file (.nrrd) or in two (.nhdr). Raises UserError if it is not one scalar volume."""
    header, length = _header(path)
    name = header.get("datafile")
    data, start = (path, length) if name is None else (path.parent / name, 0)
    # A name that is no file may stand for several (LIST, or a pattern), or be missing, as ITK then says.
    if header.get("encoding") in ("gzip", "gz") and "lineskip" not in header and data.is_file():
        require_intact(path, data, start)
    reader = open_image(path, "NrrdImageIO")
    _require_spacing(path, header, min(3, reader.GetDimension()))
    volume = read_image(path, reader, _unit_mm(path, header))
    return replace(volume, notes=_notes(header), value_names=_value_names(header))


def _header(path: Path) -> tuple[dict[str, str], int]:
    """The fields of the header, named without spaces, and its length in bytes.

    It ends with an empty line, or with the file. Remarks of the writer's, "key:=value", are named "key:=".
    """
    header: dict[str, str] = {}
    with path.open("rb") as file:
        if not file.readline(64).startswith(b"NRRD"):
            raise UserError(f"{path}: is no NRRD file, whatever its name says; convert it or correct its suffix")
        while line := file.readline(2**16).decode("utf-8", "replace").strip():
            key, _, value = line.partition(":")
            if value.startswith("="):
                header[f"{key}:="] = value[1:].strip()
            else:
                header[key.replace(" ", "").lower()] = value.strip()
        return header, file.tell()


def _steps(header: dict[str, str]) -> list[str | None]:
    """What the header says of the step along each axis; None for an axis that is not in space."""
    vectors = [None if step == "none" else step for step in _VECTOR.findall(header.get("spacedirections", ""))]
    return vectors or [None if step.lower() == "nan" else step for step in header.get("spacings", "").split()]


def _require_spacing(path: Path, header: dict[str, str], axes: int) -> None:
    if len([step for step in _steps(header) if step]) >= axes:
        return
    instead = " but only axis mins and maxs" if "axismins" in header or "axismaxs" in header else ""
    raise UserError(
        f"{path}: its header gives no spacing (space directions){instead}; write the file again with its spacing"
    )


def _unit_mm(path: Path, header: dict[str, str]) -> float:
    """Of the three axes of space: `space units` are those of its directions, `units` those of the spacings."""
    units = _words(header.get("spaceunits", ""))[:3]
    if not units:
        axes = zip(_words(header.get("units", "")), _steps(header), strict=False)
        units = [unit for unit, step in axes if step][:3]
    lengths = {millimetres(path, unit) for unit in units}
    if len(lengths) > 1:
        raise UserError(f"{path}: its axes count in different units ({', '.join(units)}); write the file again in mm")
    return lengths.pop() if lengths else 1.0


def _value_names(header: dict[str, str]) -> dict[int, str]:
    """What 3D Slicer calls the values of a segmentation, which it counts in each file anew."""
    names = {match[1]: name for key, name in header.items() if (match := re.fullmatch(r"Segment(\d+)_Name:=", key))}
    values = {number: header.get(f"Segment{number}_LabelValue:=", "") for number in names}
    return {int(values[number]): name for number, name in names.items() if values[number].isdecimal()}


def _words(text: str) -> list[str]:
    return _QUOTED.findall(text) or text.split()


def _notes(header: dict[str, str]) -> tuple[str, ...]:
    is_oriented = "spacedirections" in header and _OF_THE_BODY.fullmatch(header.get("space", ""))
    notes = [] if is_oriented else [NO_ORIENTATION]
    if limits := [
        f"{name} {header[name.replace(' ', '')]}" for name in ("old min", "old max") if name.replace(" ", "") in header
    ]:
        notes.append(
            f"its header speaks of values before they were made whole numbers ({', '.join(limits)}): not undone"
        )
    return tuple(notes)
