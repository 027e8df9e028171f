"""register-v1: how well features alone lay one subject onto another, by a fixed solver that learns nothing."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.measurement import Descriptor, KnownPartners, Measured, Measurement, Rows
from ssl_bench.api.protocol import ProtocolFacts
from ssl_bench.api.settings import Settings
from ssl_bench.protocols.geometry.convex import displacement, folded_share
from ssl_bench.protocols.geometry.pairs import (
    known_labels,
    known_partners,
    pairs_of,
    points_in,
    row_of,
    spread_over,
    voxels_of,
)
from ssl_bench.protocols.geometry.unit_vectors import UnitVectors, volume_of


class RegisterV1Settings(Settings):
    """How many pairs, and how many points of each."""

    partners: PositiveInt = 1
    """So many other test cases are laid onto each."""
    points: PositiveInt = 224
    """Of the case onto which the other is laid, as many of each structure, for the target registration error."""


class RegisterV1(Measurement):
    """One test case laid onto another by a displacement between their local features; its labels are compared."""

    Settings = RegisterV1Settings
    metrics: ClassVar = {"segmentation": "DSC", "sparse segmentation": "DSC", "region segmentation": "DSC"}
    controls = ("identity", "patches", "mind", "truth")
    compares_cases = True
    beside: ClassVar = {
        "TRE": "tre_mm",
        "folded": "folded",
        "own map DSC": "own_dsc",
        "own map TRE": "own_tre_mm",
        "own map folded": "own_folded",
    }
    facts = ProtocolFacts(
        title="Registration: one subject laid onto another by features, coupled convex optimisation",
        source="ssl-bench; the solver after Heinrich et al. (WBIR 2014)",
        frozen_backbone=True,
    )

    def looks(self, train: int, test: int) -> int:
        """One a pair."""
        return len(pairs_of(test, self.settings.partners))

    def measure(self, data: Measured, descriptor: Descriptor | None) -> Rows:
        """One row a pair: `subject` lies still, `partner` is laid onto it."""
        vectors = descriptor and UnitVectors(descriptor, data.train)
        truth = known_partners(data) if data.control == "truth" else data.truth()
        own_map = data.own_map()

        kept: int = self.settings.partners + 1  # neighbours in the order of pairs share their cases

        @lru_cache(maxsize=kept)
        def local(case: Case) -> Tensor:
            assert vectors
            return vectors.local(case)

        rows = []
        for one, other in pairs_of(len(data.test), self.settings.partners):
            fixed, moving = data.references[one], data.test[other]
            if vectors:
                field = displacement(local(fixed), _at_size(local(moving), fixed.size))
            elif data.control == "truth" and truth is not None:
                field = _true_field(truth, fixed, moving)
            else:
                field = torch.zeros(3, *fixed.size)
            labels = _carried(moving, fixed, field)
            data.show.laid(fixed, moving, field, labels, truth)
            row = data.describe(fixed, labels) | row_of(fixed, moving)
            row |= self._of_field(data, truth, fixed, moving, field)
            if own_map:
                own = own_map(volume_of(fixed), _resized(volume_of(moving), fixed.size))
                scored = data.describe(fixed, _carried(moving, fixed, own), ranked=False)
                said = {"dsc": scored["dsc"]} | self._of_field(data, truth, fixed, moving, own)
                row |= {f"own_{name}": value for name, value in said.items()}
            rows.append(row)
            data.advance("pairs")
        return rows

    def _of_field(
        self, data: Measured, truth: KnownPartners | None, fixed: Case, moving: Case, field: Tensor
    ) -> dict[str, float | None]:
        """What is said of a `field` itself."""
        return {"folded": folded_share(field), "tre_mm": self._error(data, truth, fixed, moving, field)}

    def _error(
        self, data: Measured, truth: KnownPartners | None, fixed: Case, moving: Case, field: Tensor
    ) -> float | None:
        """The mean distance, in mm, of points of `fixed` to their true partners in `moving`; None where unknown."""
        if truth is None or data.facts.kind != "segmentation":
            return None
        points, _ = points_in(fixed, self.settings.points, len(data.facts.classes))
        partners = truth.partners(fixed.identifier, moving.identifier, points.float())
        found = spread_over(points + field[:, *points.T].T, fixed, moving)
        errors = ((found - partners) * torch.tensor(moving.spacing_mm)).norm(dim=1)
        known = ~errors.isnan()
        return float(errors[known].mean()) if known.any() else None


def _at_size(vectors: Tensor, size: tuple[int, int, int]) -> Tensor:
    """(channels, D, H, W) on a grid of `size` over the same extent: places of equal relative place meet."""
    return vectors if vectors.shape[1:] == size else F.normalize(_resized(vectors[None], size), dim=1)[0]


def _resized(volume: Tensor, size: tuple[int, int, int]) -> Tensor:
    """(1, C, D, H, W) on a grid of `size` over the same extent."""
    return volume if volume.shape[2:] == size else F.interpolate(volume, size=size, mode="trilinear")


def _true_field(truth: KnownPartners, fixed: Case, moving: Case) -> Tensor:
    """(3, D, H, W): the true displacement of every voxel, NaN where its partner lies outside; both of one size."""
    voxels = voxels_of(fixed.size).float()
    partners = truth.partners(fixed.identifier, moving.identifier, voxels)
    return (partners - voxels).T.reshape(3, *fixed.size)


def _carried(moving: Case, fixed: Case, field: Tensor) -> Tensor:
    """(D, H, W), int32: the labels of `moving` laid onto `fixed`, nearest voxel, background from outside."""
    voxels = voxels_of(fixed.size)
    places = spread_over(voxels + field.reshape(3, -1).T, fixed, moving)
    nearest = places.round()
    inside = ((nearest >= 0) & (nearest <= torch.tensor(moving.size) - 1)).all(1)
    labels = torch.zeros(len(voxels), dtype=torch.int32)
    labels[inside] = known_labels(moving)[*nearest[inside].long().T]
    return labels.view(fixed.size)
