"""Regions, ignored voxels, classes and numbers: scored, painted, restored."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_bench.api.cases import IGNORED, Case
from ssl_bench.api.task import TaskFacts
from ssl_bench.training.goal import HIGHER, Goal
from ssl_bench.training.inference import _painted
from ssl_bench.training.labels import drawn
from ssl_bench.training.scoring import NeverPredicted, beside, describe, policy_of, score
from ssl_bench.training.targets import TargetScale

REGIONS = TaskFacts("Tumour", "region segmentation", "DSC", ("whole", "core"), "MR", "brain", region_codes=(0b01, 0b11))
SPARSE = TaskFacts("Lesions", "sparse segmentation", "DSC", ("core",), "MR", "brain", centreline=True)
GROUPS = TaskFacts("Groups", "multi-class", "macro AUC", ("a", "b", "c"), "MR", "heart")
AGE = TaskFacts("Age", "regression", "MAE", (), "MR", "brain")


def case(label: np.ndarray | float) -> Case:
    return Case("x", np.zeros((4, 4, 4), np.float32), label, (1.0, 1.0, 1.0))


def halves(first: int, second: int) -> np.ndarray:
    label = np.zeros((4, 4, 4), np.uint16)
    label[:2], label[2:] = first, second
    return label


def test_a_region_is_the_union_of_its_labels() -> None:
    """The core lies within the whole: whoever takes the core for the rest of the tumour has the whole right."""
    truth, prediction = halves(0b11, 0b01), torch.from_numpy(halves(0b01, 0b01).astype(np.int32))
    row = describe(REGIONS, case(truth), prediction, surfaces=True)
    assert row["dsc_per_class"] == {"whole": 1, "core": 0}
    assert row["hd95_mm_per_class"] == {"whole": 0, "core": pytest.approx(4 * 3**0.5)}
    assert row["dsc"] == 0.5


def test_regions_are_painted_in_their_order_so_that_a_later_one_covers_earlier_ones() -> None:
    probabilities = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.9, 0.1, 0.9, 0.1]]).view(1, 2, 4, 1, 1)
    assert _painted(probabilities, (0b01, 0b11)).flatten().tolist() == [0b11, 0b01, 0b11, 0]


@pytest.mark.parametrize("facts", [REGIONS, SPARSE])
def test_nothing_is_scored_where_the_truth_is_ignored(facts: TaskFacts) -> None:
    truth = halves(1, IGNORED)
    found = [
        describe(facts, case(truth), torch.from_numpy(halves(1, other).astype(np.int32)), surfaces=True)
        for other in (0, 1)
    ]
    assert found[0] == found[1]
    assert found[0]["dsc"] == 1
    dropped = NeverPredicted(facts)
    dropped.see(case(halves(IGNORED, 0)), torch.zeros(4, 4, 4, dtype=torch.uint8))
    assert dropped.names() == [], "what is ignored is no structure"
    assert "ignored voxels count as background" in policy_of(facts)


def test_pictures_show_of_regions_the_innermost_and_nothing_of_what_is_ignored() -> None:
    assert drawn(REGIONS, np.array([0, 0b01, 0b11, IGNORED])).tolist() == [0, 1, 2, 0]
    assert drawn(SPARSE, np.array([0, 1, IGNORED], np.uint16)).tolist() == [0, 1, 0]


def test_a_class_that_no_volume_is_taken_for_is_never_predicted() -> None:
    seen = NeverPredicted(GROUPS)
    for label, probabilities in ((0, [0.8, 0.1, 0.1]), (1, [0.5, 0.3, 0.2]), (2, [0.1, 0.2, 0.7])):
        seen.see(case(label), torch.tensor(probabilities))
    assert seen.names() == ["b"]


def test_a_volume_of_several_classes_has_all_probabilities_in_its_row() -> None:
    rows = [describe(GROUPS, case(label), torch.eye(3)[label] * 0.7 + 0.1, surfaces=True) for label in (0, 1, 2)]
    assert rows[1]["class"] == "b"
    assert rows[1]["probabilities"] == pytest.approx({"a": 0.1, "b": 0.8, "c": 0.1})
    assert score(GROUPS, rows) == 1
    assert beside(GROUPS, rows) == {"accuracy": 1, "balanced accuracy": 1}


def test_numbers_are_learned_standardised_and_predicted_in_their_unit() -> None:
    training = [case(40.0), case(60.0)]
    scale = TargetScale.of(training)
    assert [one.label for one in scale.standardised(training)] == [-1, 1]
    assert scale.restored(torch.tensor(0.5)) == 55
    rows = [describe(AGE, case(50.0), scale.restored(torch.tensor(0.5)), surfaces=True)]
    assert rows == [{"case": "x", "label": 50.0, "prediction": 55.0}]
    assert score(AGE, rows) == 5


def test_of_errors_the_lower_is_better() -> None:
    goal = Goal.of("MAE", unit=10)
    assert goal.beats(3, 4)
    assert not goal.beats(4, 3)
    assert goal.beats(3, math.nan)
    assert not goal.beats(math.nan, 3)
    assert goal.beats(1e9, goal.worst)
    assert goal.has_stopped_gaining([5, 5, 4.995], 2), "a thousandth of the targets' deviation is no gain"
    assert not goal.has_stopped_gaining([5, 5, 4.98], 2)
    assert not HIGHER.has_stopped_gaining([0.4, 0.5, 0.6], 2)
