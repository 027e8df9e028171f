"""The row of a test case, and the number of a task."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_bench.api.cases import Case
from ssl_bench.api.registry import TASKS
from ssl_bench.api.task import TaskFacts
from ssl_bench.spec.record import COUNTS_MISSES
from ssl_bench.training.inference import _most_probable
from ssl_bench.training.scoring import describe, policy_of, score

FACTS = TaskFacts("Lesions", "segmentation", "DSC", ("core", "edge"), "MR", "brain")


def case(label: np.ndarray) -> Case:
    return Case("a", np.zeros(label.shape, np.float32), label, (1.0, 1.0, 1.0))


def block(value: int) -> np.ndarray:
    label = np.zeros((6, 6, 6), np.uint8)
    label[1:4, 1:4, 1:4] = value
    return label


def test_what_is_found_in_a_healthy_subject_scores_0() -> None:
    row = describe(FACTS, case(block(0)), torch.from_numpy(block(2)), surfaces=True)
    assert row["dsc"] == 0
    assert row["dsc_per_class"] == {"core": None, "edge": 0}
    assert row["hd95_mm_per_class"] == {"core": None, "edge": pytest.approx(6 * 3**0.5)}
    assert row["surface_dice_per_class"] == {"core": None, "edge": 0}


def test_who_misses_a_structure_does_not_come_nearest() -> None:
    """Means over cases and classes, as the page shows them."""
    near, far = block(1), np.roll(block(1), 2, axis=0)
    found = describe(FACTS, case(near), torch.from_numpy(far), surfaces=True)
    missed = describe(FACTS, case(near), torch.from_numpy(block(0)), surfaces=True)
    assert found["hd95_mm_per_class"]["core"] == 2
    assert missed["hd95_mm_per_class"]["core"] > 2
    assert missed["surface_dice_per_class"]["core"] == 0
    assert COUNTS_MISSES in policy_of(FACTS)


def test_the_policy_says_the_choices_of_its_metric_and_of_tubes_alone() -> None:
    """Records keep it, and tables tell by it which of them may be compared."""
    said = {name: policy_of(TASKS.load(name).facts) for name in ("shc", "sac", "ccc")}
    assert "absent from one of them it scores 0" in said["shc"]
    assert "centreline" not in said["shc"]
    assert said["sac"].startswith(said["shc"])
    assert "centreline Dice version 2" in said["sac"]
    assert "all of one class" in said["ccc"]
    assert COUNTS_MISSES not in said["ccc"]


def test_a_healthy_subject_in_whom_nothing_is_found_is_left_out_of_the_mean() -> None:
    right = describe(FACTS, case(block(0)), torch.from_numpy(block(0)), surfaces=True)
    assert right["dsc"] is None
    assert set(right["hd95_mm_per_class"].values()) == {None}
    other = describe(FACTS, case(block(1)), torch.from_numpy(block(1)), surfaces=False)
    assert score(FACTS, [right, other]) == 1
    assert np.isnan(score(FACTS, [right]))


@pytest.mark.parametrize(("classes", "dtype"), [(255, torch.uint8), (256, torch.int32), (300, torch.int32)])
def test_any_number_of_classes_is_predicted_and_scored(classes: int, dtype: torch.dtype) -> None:
    truth = (np.arange(512) % (classes + 1)).reshape(8, 8, 8).astype(np.uint8 if classes < 256 else np.uint16)
    probabilities = torch.nn.functional.one_hot(torch.from_numpy(truth.astype(np.int64)), classes + 1)
    predicted = _most_probable(probabilities.movedim(-1, 0)[None].float())
    assert predicted.dtype == dtype
    names = tuple(f"r{value}" for value in range(1, classes + 1))
    facts = TaskFacts("Regions", "segmentation", "DSC", names, "MR", "brain")
    row = describe(facts, case(truth), predicted, surfaces=True)
    assert set(row["dsc_per_class"].values()) == {1.0}
    assert set(row["hd95_mm_per_class"].values()) == {0.0}
