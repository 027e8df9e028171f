"""Regions and the ignore label of nnU-Net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_bench.api.cases import IGNORED
from ssl_bench.data.layouts.nnunet_labels import read_labels
from ssl_bench.data.preprocessing.labels import LabelRule, of_a_class, read_classes
from ssl_bench.errors import UserError

HERE = Path("dataset.json")
BRATS: dict[str, Any] = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}


def test_regions_are_bits_and_each_is_painted_with_the_label_of_its_order() -> None:
    found = read_labels(BRATS | {"ignore": 4}, [1, 2, 3], HERE)
    assert (found.kind, found.values, found.ignored) == ("region segmentation", (1, 2, 3), 4)
    assert found.region_codes == (0b001, 0b011, 0b111)
    rule = LabelRule(values=found.values, regions=found.regions, ignored=4)
    labels = read_classes(np.array([[[0, 1, 2, 3, 4]]]), rule, HERE)
    assert labels.classes.tolist() == [[[0, 0b001, 0b011, 0b111, IGNORED]]]
    assert labels.classes.dtype == np.uint16
    assert of_a_class(labels.classes).tolist() == [[[False, True, True, True, False]]]
    assert "4 is ignored (voxels: 1 of 5)" in labels.notes


def test_an_ignore_label_beside_classes() -> None:
    found = read_labels({"background": 0, "a": 1, "b": 2, "ignore": 3}, None, HERE)
    assert (found.kind, found.values, found.regions, found.ignored) == ("sparse segmentation", (1, 2), (), 3)
    rule = LabelRule(values=found.values, ignored=3)
    assert read_classes(np.array([[[0, 1, 2, 3]]]), rule, HERE).classes.tolist() == [[[0, 1, 2, IGNORED]]]


def test_a_label_that_is_all_ignored_holds_no_class() -> None:
    labels = read_classes(np.full((1, 1, 2), 3), LabelRule(values=(1, 2), ignored=3), HERE)
    assert not of_a_class(labels.classes).any()
    assert any("holds no voxel of any class" in note for note in labels.notes)


def test_a_rule_without_either_is_hashed_as_ever() -> None:
    assert LabelRule(values=(1,)).model_dump(mode="json").keys() == {"values", "synonyms", "background"}


@pytest.mark.parametrize(
    ("labels", "order", "said"),
    [
        (BRATS, None, "3 regions .* and regions_class_order no values"),
        (BRATS, [1, 2], "regions_class_order 2 values"),
        (BRATS, [1, 1, 3], "has 1 for region 'core' of the labels"),
        (BRATS | {"ignore": 3}, [1, 2, 3], '"ignore" is'),
        (BRATS | {"ignore": 0}, [1, 2, 3], '"ignore" is'),
        ({"background": 0, "a": [0, 1]}, [1], "region 'a' holds the background"),
        ({"background": 0, **{str(n) + "r": [n, 99] for n in range(1, 17)}}, list(range(1, 17)), "has 16 regions"),
    ],
)
def test_what_nnunet_refuses_is_refused(labels: dict[str, Any], order: Any, said: str) -> None:
    with pytest.raises(UserError, match=f"^dataset.json: .*{said}"):
        read_labels(labels, order, HERE)
