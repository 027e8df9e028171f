"""transfer-v1: labels of a few annotated cases carried to others by their nearest features, without training."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from ssl_bench.api.cases import IGNORED, Case
from ssl_bench.api.measurement import Descriptor, Measured, Measurement, Rows
from ssl_bench.api.protocol import ProtocolFacts
from ssl_bench.api.rng import numpy_generator
from ssl_bench.api.settings import Settings
from ssl_bench.protocols.geometry.neighbours import Bank, most_voted, nearest_in
from ssl_bench.protocols.geometry.pairs import known_labels, known_partners, voxels_of
from ssl_bench.protocols.geometry.unit_vectors import UnitVectors

ONE_SHOT = "one_shot_dsc"


class TransferV1Settings(Settings):
    """How many annotated cases, and how much of each is remembered."""

    shots: PositiveInt = 5
    """The first training cases; the first alone is the single shot."""
    voxels: PositiveInt = 1536
    """Remembered of an annotated case, drawn evenly from all of it."""
    least: PositiveInt = 24
    """Of those at least so many of each structure, or all that it has."""
    neighbours: PositiveInt = 5
    """Each votes with exp(cosine / `temperature`)."""
    temperature: float = 0.07


class TransferV1(Measurement):
    """Each voxel takes the label for which the most similar annotated voxels vote."""

    Settings = TransferV1Settings
    metrics: ClassVar = {"segmentation": "DSC", "sparse segmentation": "DSC", "region segmentation": "DSC"}
    controls = ("position", "patches", "mind", "truth")
    beside: ClassVar = {"one-shot DSC": ONE_SHOT}
    facts = ProtocolFacts(
        title="Transfer: labels of five annotated cases, carried by nearest features",
        source="ssl-bench; weighted nearest neighbours as Wu et al. (CVPR 2018), section 3.4, for every voxel",
        frozen_backbone=True,
    )

    def looks(self, train: int, test: int) -> int:
        """One a test case."""
        return test

    def measure(self, data: Measured, descriptor: Descriptor | None) -> Rows:
        """One row a test case, with what one and several annotated cases reach."""
        annotated = data.train[: self.settings.shots]
        carry = _by_features(self.settings, annotated, UnitVectors(descriptor, data.train)) if descriptor else None
        truth = None if descriptor else known_partners(data)
        rows = []
        for case in data.test:
            one, several = carry(case) if carry else _by_truth(truth, annotated, case)
            row = data.describe(case, several)
            single = data.describe(case, one, ranked=False)
            named = {ONE_SHOT: single["dsc"], f"{ONE_SHOT}_per_class": single["dsc_per_class"], "shots": len(annotated)}
            rows.append(row | named)
            data.advance("labels")
        return rows


def _by_features(settings: Any, annotated: Any, vectors: UnitVectors) -> Any:
    """From a case to its labels (D, H, W) by the first annotated case, and by all."""
    banks = [_remembered(settings, case, vectors) for case in annotated]

    def carried(case: Case) -> tuple[Tensor, Tensor]:
        queries = vectors.local(case).flatten(1).T
        found = [nearest_in(bank, queries, settings.neighbours) for bank in banks]
        one, several = (most_voted(some, settings.neighbours, settings.temperature) for some in (found[:1], found))
        return one.view(case.size), several.view(case.size)

    return carried


def _remembered(settings: Any, case: Case, vectors: UnitVectors) -> Bank:
    """Voxels of an annotated case, drawn by its name alone, so that every row remembers the same."""
    labels = np.asarray(case.label).ravel().astype(np.int64)
    order = numpy_generator("transfer-v1", case.identifier).permutation(np.flatnonzero(labels != IGNORED))
    drawn = [order[: settings.voxels]]
    for label in np.unique(labels[order]):
        drawn.append(order[labels[order] == label][: settings.least])
    chosen = np.unique(np.concatenate(drawn))
    remembered = vectors.local(case).flatten(1)[:, torch.from_numpy(chosen)].contiguous()
    return Bank(remembered, torch.from_numpy(labels[chosen]))


def _by_truth(truth: Any, annotated: Any, case: Case) -> tuple[Tensor, Tensor]:
    """The label of each voxel's true partner in the first annotated case, and the most frequent over all."""
    voxels = voxels_of(case.size).float()
    carried = []
    for other in annotated:
        places = truth.partners(case.identifier, other.identifier, voxels).round()
        inside = ~places.isnan().any(1)
        labels = torch.zeros(len(places), dtype=torch.long)
        labels[inside] = known_labels(other)[*places[inside].long().T].long()
        carried.append(labels)
    return carried[0].view(case.size).int(), torch.stack(carried).mode(0).values.view(case.size).int()
