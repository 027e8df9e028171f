"""Units of length as headers write them."""

from __future__ import annotations

from pathlib import Path

from ssl_bench.errors import UserError

_MILLIMETRES = {
    "nm": 1e-6,
    "nanometer": 1e-6,
    "um": 1e-3,
    "\N{MICRO SIGN}m": 1e-3,
    "\N{GREEK SMALL LETTER MU}m": 1e-3,
    "micron": 1e-3,
    "micrometer": 1e-3,
    "mm": 1.0,
    "millimeter": 1.0,
    "cm": 10.0,
    "centimeter": 10.0,
    "m": 1e3,
    "meter": 1e3,
    "inch": 25.4,
}
_UNSAID = ("", "?", "???", "unknown")


def millimetres(path: Path, unit: str) -> float:
    """The length of `unit`, which is taken for a millimetre where the header leaves it open.

    Raises UserError, naming `path`, for one that is not known.
    """
    name = unit.strip().lower().replace("metre", "meter")
    if name in _UNSAID:
        return 1.0
    length = _MILLIMETRES.get(name, _MILLIMETRES.get(name.removesuffix("s")))
    if length is None:
        raise UserError(f"{path}: its header counts in {unit!r}, which is not known; write the file again in mm")
    return length
