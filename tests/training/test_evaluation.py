"""A model on the cases of its task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.task import TaskFacts
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.nn.heads import PaperDownstream
from ssl_bench.training.evaluation import ModelOnCases
from ssl_bench.training.runtime import Runtime, make_fabric

HEARTS = TaskFacts("Hearts", "segmentation", "DSC", ("wall",), "CT", "heart")
LUNGS = TaskFacts("Lungs", "classification", "AUC", ("ill",), "CT", "chest")


class Scripted(ModelOnCases):
    """Predicts what it is told, case by case."""

    def __init__(self, facts: TaskFacts, predictions: dict[str, Tensor]) -> None:
        self.facts, self.predictions = facts, predictions

    def predict(self, case: Case, features: Any = None) -> Tensor:
        return self.predictions[case.identifier]


def test_segmentations_are_validated_by_the_mean_of_their_dice() -> None:
    truth = np.zeros((4, 4, 4), np.uint8)
    truth[:2] = 1
    half = torch.from_numpy(truth.copy())
    half[1] = 0
    cases = [Case(name, np.zeros(truth.shape, np.float32), truth, (1.0, 1.0, 1.0)) for name in ("right", "half")]
    model = Scripted(HEARTS, {"right": torch.from_numpy(truth), "half": half})
    # Half of a structure and nothing else: 2 * 16 / (32 + 16).
    assert model.validate(cases, None) == pytest.approx((1 + 2 / 3) / 2)


def test_classifications_are_validated_by_their_auc() -> None:
    """Of six pairs of an ill and a healthy one, one is in the wrong order and one a tie."""
    said = {"a": (1, 0.9), "b": (1, 0.4), "c": (0, 0.5), "d": (0, 0.4), "e": (0, 0.1)}
    cases = [Case(name, np.zeros((2, 2, 2), np.float32), label, (1.0, 1.0, 1.0)) for name, (label, _) in said.items()]
    model = Scripted(LUNGS, {name: torch.tensor(probability) for name, (_, probability) in said.items()})
    assert model.validate(cases, None) == pytest.approx(4.5 / 6)


def test_features_are_those_of_the_model() -> None:
    network, volume = PaperDownstream(UNet3D(8), "segmentation", 1), torch.rand(1, 1, 16, 20, 16)
    model = ModelOnCases(make_fabric(Runtime("cpu", 1), "float32"), network, HEARTS, None)  # type: ignore[arg-type]
    expected = network.backbone(volume).local
    torch.testing.assert_close(model.local_features(volume), expected)
    (local,) = model.features(volume)
    torch.testing.assert_close(local, expected)
