"""What weights of others expect of a volume, beside what volumes are here."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import PositiveFloat, PositiveInt, model_validator

from ssl_bench.api.settings import Settings

HERE = "SAR"
"""Where indices grow along D, H and W of every volume here: to superior, anterior and right."""
OPPOSITE = {"S": "I", "I": "S", "A": "P", "P": "A", "R": "L", "L": "R"}
HU_HERE = (-1024.0, 1024.0)
"""What 0 and 1 of computed tomography mean here, in HU; what is beyond was clipped."""


class InputContract(Settings):
    """How volumes lay, and what their values meant, when the weights were made; empty fields: as here, or not stated.

    `axes` and `intensity` are applied to the volumes that the network gets; `spacing_mm` and `patch` are compared with
    those of the cell, and a difference is said.
    """

    axes: str = ""
    """Where indices grow along the three axes, such as RAS or LPS."""
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """In the order of `axes`."""
    intensity: Literal["", "z-score", "window"] = ""
    """`z-score`: less the mean of the volume, by its standard deviation. `window`: `window_hu` to [0, 1], clipped, for
    computed tomography; other modalities stay as they are."""
    window_hu: tuple[float, float] | None = None
    patch: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    """Voxels in the order of `axes`."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.axes and sorted(letter if letter in "SAR" else OPPOSITE.get(letter, "") for letter in self.axes) != [
            *"ARS"
        ]:
            raise ValueError(f"axes {self.axes[:10]!r} are no three of R or L, A or P, S or I, such as RAS")
        if (self.intensity == "window") != (self.window_hu is not None):
            raise ValueError("intensity window and window_hu belong together")
        if self.window_hu and not self.window_hu[0] < self.window_hu[1]:
            raise ValueError("window_hu begins with the smaller value")
        return self

    @property
    def changes(self) -> bool:
        """Whether a volume of here has to be changed for the network."""
        return self.axes not in ("", HERE) or bool(self.intensity)

    def __str__(self) -> str:
        low, high = self.window_hu or (0.0, 0.0)
        intensity = f"{low:g} to {high:g} HU as 0 to 1" if self.window_hu else self.intensity
        return ", ".join(
            [
                f"axes {self.axes or 'not stated'}",
                f"spacing {_triple(self.spacing_mm) + ' mm' if self.spacing_mm else 'not stated'}",
                f"intensity {intensity or 'as here'}",
                f"patch {_triple(self.patch) if self.patch else 'not stated'}",
            ]
        )


def _triple(numbers: tuple[float, float, float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
