"""A task's own structures in a data set in nnU-Net's raw format: found by name, read as the task's classes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ssl_bench.api.registry import TASKS
from ssl_bench.data.folder_cases import FolderCases
from ssl_bench.data.folder_source import Preparation
from ssl_bench.data.layouts.named_structures import words
from ssl_bench.errors import UserError
from tests.data.files import save

FREESURFER = {
    "left cerebral white matter": "Left-Cerebral-White-Matter",
    "left cerebellar cortex": "Left-Cerebellum-Cortex",
    "left thalamus": "Left-Thalamus-Proper",
    "third ventricle": "3rd-Ventricle",
    "brain stem": "Brain-Stem",
    "cerebrospinal fluid": "CSF",
    "left ventral diencephalon": "Left-VentralDC",
    "right hippocampus": "hippocampus, right",
}
"""Other spellings of some of SBM's classes."""


def structures(task: str) -> dict[str, int]:
    """The label values of the task's own data set, by class."""
    plugin = TASKS.load(task)
    assert plugin.dataset is not None
    return dict(zip(plugin.facts.classes, plugin.dataset.label_values, strict=True))


def write_set(root: Path, names: Sequence[str], cases: int = 5) -> Path:
    """An nnU-Net set whose label `k` is the k-th of `names`: each case has a voxel of every label."""
    rng = np.random.default_rng(0)
    for number in range(cases):
        labels = np.zeros((8, 10, 12), np.uint8)
        flat = labels[3:6].reshape(-1)
        flat[: len(names)] = np.arange(1, len(names) + 1)
        save(root / "imagesTr" / f"b_{number}_0000.nii.gz", rng.integers(1, 900, labels.shape).astype(np.int16))
        save(root / "labelsTr" / f"b_{number}.nii.gz", labels)
    values = {"background": 0} | {name: value for value, name in enumerate(names, 1)}
    (root / "dataset.json").write_text(json.dumps({"channel_names": {"0": "T1"}, "labels": values}))
    return root


def cases_of(task: str, root: Path) -> FolderCases:
    changes = {"spacing_mm": None, "region": "whole", "intensity": "percentile"}
    return FolderCases(task, root, Preparation(), changes)


@pytest.mark.parametrize("task", ["sbm", "shc"])
def test_labels_in_any_order_become_the_tasks_classes(task: str, tmp_path: Path) -> None:
    classes = list(structures(task))
    shuffled = [classes[k] for k in np.random.default_rng(1).permutation(len(classes))]
    root = write_set(tmp_path / "Dataset001_X", [FREESURFER.get(name, name.upper()) for name in shuffled])
    source = cases_of(task, root)
    assert [source.describe().source, len(source.cases)] == ["folder", 5]
    (case, *_) = source.load("test")["test"]
    found = np.asarray(case.label).reshape(-1)
    assert found[found > 0].tolist() == [classes.index(name) + 1 for name in shuffled]


def test_labels_may_have_the_numbers_of_the_tasks_own_data_set(tmp_path: Path) -> None:
    numbers = list(map(str, structures("sbm").values()))
    root = write_set(tmp_path / "Dataset001_X", numbers[::-1])
    (case, *_) = cases_of("sbm", root).load("test")["test"]
    found = np.asarray(case.label).reshape(-1)
    assert found[found > 0].tolist() == list(range(len(numbers), 0, -1))


def test_a_label_that_is_no_structure_of_the_task_is_background(tmp_path: Path) -> None:
    root = write_set(tmp_path / "Dataset001_X", ["left accumbens", *structures("sbm")])
    (case, *_) = cases_of("sbm", root).load("test")["test"]
    assert np.unique(np.asarray(case.label)).tolist() == list(range(29))
    assert (np.asarray(case.label) > 0).sum() == 28


def test_structures_without_a_label_are_listed(tmp_path: Path) -> None:
    names = [name for name in structures("sbm") if name not in ("third ventricle", "left amygdala")]
    root = write_set(tmp_path / "Dataset001_X", names, cases=1)
    said = r"dataset\.json: has no label for 2 of the task's 28 structures \(third ventricle, left amygdala\).*nnunet:"
    with pytest.raises(UserError, match=said):
        cases_of("sbm", root)


def test_two_labels_of_one_structure_are_refused(tmp_path: Path) -> None:
    root = write_set(tmp_path / "Dataset001_X", [*structures("sbm"), "Left-Thalamus"], cases=1)
    with pytest.raises(UserError, match="two labels mean 'left thalamus', and 'Left-Thalamus' is the second"):
        cases_of("sbm", root)


@pytest.mark.parametrize("task", ["sbm", "shc"])
def test_no_two_structures_of_a_task_share_their_words(task: str) -> None:
    names = list(structures(task))
    assert len({words(name) for name in names}) == len(names)


def test_names_of_other_tools_mean_the_same() -> None:
    for name, other in FREESURFER.items():
        assert words(other) == words(name), other
    assert words("left ventricle blood cavity") == words("left ventricle") != words("left ventricular myocardium")
    assert words("myocardium of the left ventricle") == words("left ventricular myocardium")
