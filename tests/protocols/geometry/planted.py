"""Cases that carry their own features: whoever reads them knows what a protocol has to find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.controls import Control
from ssl_bench.api.kinds import KINDS, Kind
from ssl_bench.api.measurement import Measured, Measurement, OwnMap, Rows
from ssl_bench.api.registry import PROTOCOLS
from ssl_bench.api.rng import Draws
from ssl_bench.api.task import TaskFacts
from ssl_bench.data.synthetic.truth import Truth
from ssl_bench.data.synthetic.warps import Variation, anatomy_points
from ssl_bench.training.scoring import describe

SHAPE, SPACING, CENTRE = (20, 24, 18), (3.0, 3.0, 3.0), (40.0, 40.0, 40.0)
EXTENT_MM = 80.0
CLASSES = ("low", "middle", "high")
MOVED = Variation(displacement_mm=3.0, rotation_deg=4.0, scale=0.04, shift_mm=3.0)


class Planted:
    """The channels of a volume, numbers from 0 to 1, are its features: each as half a turn of a circle.

    So the cosine is largest where all of them agree best, and no network is needed.
    """

    standardise = False

    def local(self, volume: Tensor) -> Tensor:
        return torch.cat([(math.pi * volume).cos(), (math.pi * volume).sin()], dim=1)

    def stages(self, volume: Tensor) -> list[Tensor]:
        return [self.local(volume)]

    def pooled(self, volumes: Tensor) -> Tensor:
        return torch.cat([self.local(volume[None]).mean((2, 3, 4)) for volume in volumes])


def subjects(count: int, split: str = "test", variation: Variation = MOVED) -> dict[str, Tensor]:
    """Anatomy coordinates (D, H, W, 3), mm, of the voxels of warped subjects, by name."""
    draws = Draws.keyed("planted", split, samples=range(count))
    points = anatomy_points("bumps", draws, SHAPE, SPACING, CENTRE, variation)
    return {f"{split}-{number}": own for number, own in enumerate(points)}


def labelled(points: Tensor) -> NDArray[np.uint8]:
    """Three slabs of the anatomy, one above the other, in the middle of background."""
    found = ((points[..., 0] - 22) / 12).floor().clamp(-1, 3) + 1
    inside = ((points[..., 1:] - 40).abs() < 20).all(-1)
    return torch.where(inside & (found >= 1) & (found <= 3), found, 0).numpy().astype(np.uint8)


def cases(points: dict[str, Tensor], features: str = "coordinates", noise: float = 0.0) -> list[Case]:
    """Cases whose image is their coordinates with noise, the same everywhere, or random."""
    found = []
    for number, (name, own) in enumerate(points.items()):
        generator = torch.Generator().manual_seed(number)
        image = (own / EXTENT_MM).movedim(-1, 0) + noise * torch.randn(3, *SHAPE, generator=generator)
        if features == "constant":
            image = torch.full_like(image, 0.3)
        elif features == "random":
            image = torch.rand(image.shape, generator=generator)
        found.append(Case(name, image.numpy().astype(np.float32), labelled(own), SPACING))
    return found


def measured(
    name: str,
    test: Sequence[Case],
    train: Sequence[Case] = (),
    points: dict[str, Tensor] | None = None,
    control: Control = "",
    kind: Kind = "segmentation",
    descriptor: Any = Planted,
    own_map: OwnMap | None = None,
    **settings: Any,
) -> Rows:
    """What the protocol `name` makes of cases with planted features."""
    data = replace(data_of(test, train, points, control, kind), own_map=lambda: own_map)
    return protocol_of(name, **settings).measure(data, descriptor() if descriptor else None)


def protocol_of(name: str, **settings: Any) -> Measurement:
    """The protocol `name`."""
    plugin = PROTOCOLS.load(name)
    assert issubclass(plugin, Measurement)
    return plugin(plugin.Settings.model_validate(settings), 0)  # type: ignore[arg-type]


def data_of(
    test: Sequence[Case],
    train: Sequence[Case] = (),
    points: dict[str, Tensor] | None = None,
    control: Control = "",
    kind: Kind = "segmentation",
) -> Measured:
    """What a measurement is made of, where cases have planted features."""
    facts = TaskFacts(
        "planted", kind, KINDS[kind].metric, CLASSES if kind == "segmentation" else ("ill",), "CT", "heart"
    )

    def described(case: Case, prediction: Tensor, ranked: bool = True) -> dict[str, Any]:
        return describe(facts, case, prediction, surfaces=False)

    return Measured(
        facts, train or test, test, 16, control, lambda: Truth(points) if points else None, described, lambda _: None
    )
