"""match-v1: does a voxel's feature find the same place in another subject?

Nothing is trained. Cases are grown from one anatomy, so that the true partner of every place is known; what is measured
is how far the most similar feature lies from it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.measurement import Descriptor, Measured, Measurement, Rows
from ssl_bench.api.protocol import ProtocolFacts
from ssl_bench.api.settings import Settings
from ssl_bench.protocols.geometry.pairs import known_partners, pairs_of, points_in, row_of
from ssl_bench.protocols.geometry.search import coarse_to_fine, nearest
from ssl_bench.protocols.geometry.unit_vectors import Level, UnitVectors

WARP_SIZES = (("under 2 voxels", 0.0, 2.0), ("2 to 4 voxels", 2.0, 4.0), ("4 voxels and more", 4.0, np.inf))
"""By how far the true partner lies from the same place."""


class MatchV1Settings(Settings):
    """How many points of how many pairs."""

    points: PositiveInt = 224
    """Of a subject, as many of each structure."""
    partners: PositiveInt = 2
    """So many other test cases are searched for the points of each; every one is source and target as often."""


class MatchV1(Measurement):
    """Points of one subject, the nearest local feature of another; beside it, a search through the encoder's stages."""

    Settings = MatchV1Settings
    metrics: ClassVar = {"segmentation": "match error"}
    controls = ("position", "patches", "mind", "truth")
    needs_truth = True
    compares_cases = True
    beside: ClassVar = {"within 2 voxels": "within_2_voxels", "coarse-to-fine error": "coarse_to_fine_error_mm"}
    facts = ProtocolFacts(
        title="Match: the nearest feature in another subject, against the true partner",
        source="ssl-bench; the correspondence that GVSL (CVPR 2023), section 3, claims",
        frozen_backbone=True,
    )

    def looks(self, train: int, test: int) -> int:
        """One a pair."""
        return len(pairs_of(test, self.settings.partners))

    def measure(self, data: Measured, descriptor: Descriptor | None) -> Rows:
        """One row a pair."""
        truth = known_partners(data)
        vectors = descriptor and UnitVectors(descriptor, data.train)

        kept: int = self.settings.partners + 1  # neighbours in the order of pairs share their cases

        @lru_cache(maxsize=kept)
        def described(case: Case) -> _Described:
            assert vectors
            return _Described(vectors.local(case), vectors.levels(case))

        rows = []
        for one, other in pairs_of(len(data.test), self.settings.partners):
            source, target = data.references[one], data.test[other]
            points, classes = points_in(source, self.settings.points, len(data.facts.classes))
            partners = truth.partners(source.identifier, target.identifier, points.float())
            inside = ~partners.isnan().any(1)
            points, partners, classes = points[inside], partners[inside], classes[inside.numpy()]
            found = (
                _matched(described(source), described(target), points) if vectors else {"error_mm": partners.round()}
            )
            data.show.points(source, target, points, partners, found["error_mm"])
            rows.append(_row(data, (source, target), points, partners, classes, found))
            data.advance("pairs")
        return rows


class _Described:
    """The features of one case."""

    def __init__(self, local: Tensor, levels: list[Level]) -> None:
        self.local = local
        self.levels = levels


def _matched(source: _Described, target: _Described, points: Tensor) -> dict[str, Tensor]:
    """Where `points` (N, 3) are found, (N, 3), by the name of the error."""
    return {
        "error_mm": nearest(source.local, target.local, points),
        "coarse_to_fine_error_mm": coarse_to_fine(source.levels, target.levels, points),
    }


def _row(
    data: Measured,
    pair: tuple[Case, Case],
    points: Tensor,
    partners: Tensor,
    classes: Any,
    found: dict[str, Tensor],
) -> dict[str, Any]:
    spacing = torch.tensor(pair[1].spacing_mm)
    errors = {name: ((places - partners) * spacing).norm(dim=1).numpy() for name, places in found.items()}
    near = ((found["error_mm"] - partners).norm(dim=1) <= 2).numpy()
    moved = (partners - points).norm(dim=1).numpy()
    error = errors["error_mm"]
    names = data.facts.classes
    of_class = {name: error[classes == index] for index, name in enumerate(names, 1)}
    of_size = {name: (low <= moved) & (moved < high) for name, low, high in WARP_SIZES}
    return (
        row_of(*pair)
        | {name: _median(values) for name, values in errors.items()}
        | {
            "within_2_voxels": _mean(near),
            "points": len(points),
            "error_mm_per_class": {name: _median(values) for name, values in of_class.items()},
            "by_warp": {
                name: {
                    "points": int(chosen.sum()),
                    "error_mm": _median(error[chosen]),
                    "within_2_voxels": _mean(near[chosen]),
                }
                for name, chosen in of_size.items()
            },
        }
    )


def _median(values: Any) -> float | None:
    return float(np.median(values)) if len(values) else None


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None
