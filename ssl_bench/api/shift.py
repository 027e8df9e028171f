"""Graded shifts of test cases: what they are called, and how strong each grade is. Said without importing torch.

`ssl_bench.shifts` applies them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ssl_bench.errors import UserError

ShiftName = Literal["noise", "bias", "gamma", "thickness", "field-of-view", "rotation"]

GRADES = (1, 2, 3)
"""Of every shift; grade 0 is the case as it is."""


@dataclass(frozen=True)
class ShiftFacts:
    """One kind of shift."""

    name: ShiftName
    title: str
    strengths: tuple[float, float, float, float]
    """By grade; the first, of grade 0, changes nothing."""
    unit: str
    """What a strength counts, as it stands behind the number."""
    moves: bool = False
    """Whether it moves voxels or takes them away, and not what they hold alone."""
    version: int = 1
    """Raised whenever what it makes of a case may change; part of the key of every cell that asks for it."""

    @property
    def versioned(self) -> str:
        """The name in specifications and records, such as ``noise-v1``."""
        return f"{self.name}-v{self.version}"


SHIFTS: Mapping[str, ShiftFacts] = {
    facts.name: facts
    for facts in (
        ShiftFacts("noise", "noise", (0.0, 0.05, 0.1, 0.15), "of the intensity range"),
        ShiftFacts("bias", "bias field", (1.0, 1.25, 1.5, 2.0), "times brighter or darker at most"),
        ShiftFacts("gamma", "contrast (gamma)", (1.0, 1.25, 1.6, 2.0), "as the power, or its inverse"),
        ShiftFacts("thickness", "slice thickness", (1.0, 2.0, 3.0, 4.0), "voxels a slice"),
        ShiftFacts("field-of-view", "field of view", (1.0, 0.9, 0.8, 0.7), "of each side", moves=True),
        ShiftFacts("rotation", "rotation", (0.0, 10.0, 20.0, 30.0), "degrees", moves=True),
    )
}


def resolve_shifts(text: str) -> tuple[str, ...]:
    """``all``, or comma-separated names, as versioned names in the order of `SHIFTS`; empty for none.

    Raises UserError for a name that is no shift's.
    """
    wanted = list(SHIFTS) if text == "all" else [part.strip() for part in text.split(",") if part.strip()]
    for name in wanted:
        if name not in SHIFTS:
            raise UserError(f"--shifts {text}: {name!r} is no shift; use all, or some of {', '.join(SHIFTS)}")
    if text and not wanted:
        raise UserError(f"--shifts {text!r} is empty; use all, or some of {', '.join(SHIFTS)}")
    return tuple(facts.versioned for name, facts in SHIFTS.items() if name in wanted)


def shifts_called(names: Sequence[str]) -> list[ShiftFacts]:
    """The shifts with these versioned names. Raises UserError for one that this installation does not have."""
    known = {facts.versioned: facts for facts in SHIFTS.values()}
    if missing := [name for name in names if name not in known]:
        raise UserError(
            f"shift {missing[0]!r}: not in this installation, which has {', '.join(known)}; plan the cell again"
        )
    return [known[name] for name in names]
