"""What the generators of the embedded cohorts share: subjects grown from one anatomy, a few at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.generator import Generator
from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.anatomy import Anatomy, Triple, load_anatomy
from ssl_bench.data.synthetic.sampling import Scene, grow_scene, voxel_grid
from ssl_bench.data.synthetic.warps import FAMILY, Variation, anatomy_points


@dataclass(frozen=True)
class Subjects:
    """B subjects that grow together."""

    split: str
    seed: int
    first: int
    """The place of the first of them in its split."""
    draws: Draws
    shape: tuple[int, int, int]
    """(D, H, W) of their volumes."""
    spacing_mm: Triple
    """(D, H, W)."""

    def scene(self, anatomy: Anatomy, variation: Variation, centre_mm: Triple | None = None) -> Scene:
        """`anatomy` as these subjects warp it; the field of view is centred on `centre_mm`, as in `grow_scene`."""
        return grow_scene(anatomy, FAMILY[self.split], self.draws, self.shape, self.spacing_mm, variation, centre_mm)


class AnatomyGenerator(Generator):
    """Grows subjects from a shipped anatomy, or from the user's own image and labels."""

    name: ClassVar[str]
    """Begins the key of every subject's draws."""
    shipped: ClassVar[Literal["chest", "brain"]]
    """The anatomy that cases grow from unless the user brings one."""
    label_values: ClassVar[tuple[int, ...]]
    """What an anatomy of the user's must have labelled."""
    variation: ClassVar[Variation | None] = None
    """By which `scan` warps the anatomy about its centre before anything else is drawn; None where it does not, so that
    nobody knows which voxels show the same."""
    together: ClassVar[int] = 4
    """How many subjects grow at once. Batches are always full: the last bits of a matrix product may depend on the
    size of the batch, and subject i must not depend on how many are wanted."""

    def __init__(self, own: tuple[Path, Path] | None = None) -> None:
        """See `Generator`; files are read when the anatomy is first asked for."""
        self.own = own

    def __init_subclass__(cls) -> None:
        """`knows_points` follows from `variation`."""
        super().__init_subclass__()
        cls.knows_points = cls.variation is not None

    @cached_property
    def anatomy(self) -> Anatomy:
        """What the subjects grow from. Raises UserError for files of the user's that cannot be used."""
        if self.own is None:
            return load_anatomy(self.shipped)
        anatomy = Anatomy.from_files(*self.own)
        anatomy.require(self.label_values)
        return anatomy

    @property
    def fingerprint(self) -> str:
        """See `Generator`."""
        return self.anatomy.fingerprint

    def grow(self, split: str, count: int, detail: float, seed: int) -> list[Case]:
        """See `Generator`."""
        shape, spacing = voxel_grid(self.field_of_view_mm, self.spacing_mm, detail)
        cases: list[Case] = []
        for first in range(0, count, self.together):
            draws = Draws.keyed(self.name, split, seed, samples=range(first, first + self.together))
            images, labels = self.scan(Subjects(split, seed, first, draws, shape, spacing))
            for image, label in list(zip(images, labels, strict=True))[: count - first]:
                known = label if isinstance(label, int) else np.ascontiguousarray(label.numpy())
                cases.append(Case(f"{split}-{len(cases):03d}", np.ascontiguousarray(image.numpy()), known, spacing))
        return cases

    def points(self, split: str, count: int, detail: float, seed: int) -> list[Tensor]:
        """See `Generator`: the warps are drawn first, so that the same draws give them again."""
        if self.variation is None:
            raise NotImplementedError
        shape, spacing = voxel_grid(self.field_of_view_mm, self.spacing_mm, detail)
        family, centre = FAMILY[split], self.anatomy.centre_mm
        found: list[Tensor] = []
        for first in range(0, count, self.together):
            draws = Draws.keyed(self.name, split, seed, samples=range(first, first + self.together))
            found += anatomy_points(family, draws, shape, spacing, centre, self.variation)
        return found[:count]

    @abstractmethod
    def scan(self, subjects: Subjects) -> tuple[Tensor, Tensor | Sequence[int]]:
        """Images (B, D, H, W), float32 in [0, 1], and class indices (B, D, H, W), uint8, or a class for each image."""
