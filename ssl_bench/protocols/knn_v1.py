"""knn-v1: what the global features of whole volumes know of their label, by their nearest training volumes alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.measurement import Descriptor, Measured, Measurement, Rows
from ssl_bench.api.protocol import ProtocolFacts
from ssl_bench.api.settings import Settings
from ssl_bench.protocols.geometry.unit_vectors import UnitVectors, volume_of


class KnnV1Settings(Settings):
    """Who votes, and how much."""

    neighbours: PositiveInt = 10
    """Or all training cases, where they are fewer."""
    temperature: PositiveFloat = 0.07
    """Each votes with exp(cosine / temperature)."""


class KnnV1(Measurement):
    """Weighted nearest neighbours of pooled, standardised global features."""

    Settings = KnnV1Settings
    metrics: ClassVar = {"classification": "AUC", "multi-class": "macro AUC", "regression": "MAE"}
    controls = ("patches", "mind")
    facts = ProtocolFacts(
        title="kNN: labels of volumes by their nearest training volumes",
        source="Wu et al. (CVPR 2018), section 3.4",
        frozen_backbone=True,
    )

    def looks(self, train: int, test: int) -> int:
        """One a case."""
        return train + test

    def measure(self, data: Measured, descriptor: Descriptor | None) -> Rows:
        """One row a test case."""
        assert descriptor is not None
        vectors = UnitVectors(descriptor, data.train)

        def volumes(cases: Sequence[Case]) -> Iterator[Tensor]:
            for case in cases:
                yield volume_of(case)
                data.advance("features")

        train, test = vectors.pooled(volumes(data.train)), vectors.pooled(volumes(data.test))
        cosine = vectors.standardised(test, train) @ vectors.standardised(train, train).T
        nearest = cosine.topk(min(self.settings.neighbours, len(train)), dim=1)
        weights = (nearest.values / self.settings.temperature).softmax(1)
        said = (weights[:, :, None] * self._labels(data)[nearest.indices]).sum(1)
        return [
            data.describe(case, own if own.numel() > 1 else own[0]) for case, own in zip(data.test, said, strict=True)
        ]

    def _labels(self, data: Measured) -> Tensor:
        """(training cases, 1), or (training cases, classes) with 1 for the class of each."""
        labels = torch.tensor(np.array([case.label for case in data.train], np.float32))
        if data.facts.kind != "multi-class":
            return labels[:, None]
        return torch.nn.functional.one_hot(labels.long(), len(data.facts.classes)).float()
