"""nnU-Net's raw format as a task."""

import json
from pathlib import Path
from typing import Any

import pytest

from ssl_bench.api.cases import Found
from ssl_bench.api.dataset import Dataset
from ssl_bench.data.layouts.nnunet import nnunet_task
from ssl_bench.errors import UserError
from tests.data import folders as layouts

VERSION_2 = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "edge": 2, "core": 1}, "file_ending": ".mha"}


def data_set(root: Path, *files: str, **changes: Any) -> Path:
    """Empty files, and a description of version 2; a change to None leaves a field out."""
    for name in ("imagesTr/", "labelsTr/", *files):
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir() if name.endswith("/") else place.touch()
    described = {name: value for name, value in (VERSION_2 | changes).items() if value is not None}
    (root / "dataset.json").write_text(json.dumps(described))
    return root


def described(root: Path) -> Dataset:
    found = nnunet_task(root).dataset
    assert found is not None
    return found


def find(root: Path) -> Found:
    return described(root).find(root)


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_of_the_format_are_the_same_task(version: Any, tmp_path: Path) -> None:
    root = tmp_path / "Dataset900_Chambers"
    root.mkdir()
    names = layouts.write_nnunet(root, version=version)
    facts, dataset = nnunet_task(root).facts, described(root)
    preprocessing = dataset.preprocessing
    assert (facts.kind, facts.metric, facts.modality, facts.region) == ("segmentation", "DSC", "CT", "unknown")
    assert dict(zip(facts.classes, dataset.label_values, strict=True)) == {"left ventricle": 1, "right ventricle": 2}
    assert (dataset.title, dataset.licence) == ("Dataset900_Chambers", "CC BY 4.0")
    assert (preprocessing.intensity, preprocessing.intensity_offset) == ("ct", 1024)
    assert (preprocessing.region, preprocessing.spacing_mm) == ("whole", 1)
    found = dataset.find(root)
    assert found.problems == []
    assert [case.identifier for case in found.cases] == [case.patient for case in found.cases] == names
    assert {case.split for case in found.cases} == {None}


def test_any_other_channel_is_normalised_as_mr(tmp_path: Path) -> None:
    task = nnunet_task(data_set(tmp_path))
    assert (task.facts.modality, described(tmp_path).preprocessing.intensity) == ("MR", "mr")


def test_labels_of_test_images_fix_the_test_set(tmp_path: Path) -> None:
    layouts.write_nnunet(tmp_path, cases=3, test=2)
    found = find(tmp_path)
    assert found.problems == []
    assert [case.split for case in found.cases] == [None] * 3 + ["test"] * 2


def test_test_images_without_a_folder_of_labels_are_left_alone(tmp_path: Path) -> None:
    root = data_set(tmp_path, "imagesTr/a_0000.mha", "labelsTr/a.mha", "imagesTs/b_0000.mha", "labelsTr/._a.mha")
    found = find(root)
    assert [case.identifier for case in found.cases] == ["a"]
    assert found.problems == []


def test_a_folder_name_with_odd_characters_becomes_a_safe_one(tmp_path: Path) -> None:
    assert described(data_set(tmp_path / "Dataset 1: Ärzte")).title == "Dataset-1---rzte"


def test_it_pretends_to_no_embedded_cohort(tmp_path: Path) -> None:
    assert nnunet_task(data_set(tmp_path)).generator is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channel_names": {"0": "T1", "1": "T2"}}, r"has 2 channels \(T1, T2\) and ssl-bench reads one; keep one"),
        ({"channel_names": None}, "has no channel_names; add for example"),
        ({"channel_names": ["CT"]}, "has no channel_names"),
        ({"labels": None}, "has no labels; add for example"),
        ({"labels": {"background": 0}}, "labels needs one name for each value, and one besides the background"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "labels needs one name for each value"),
        ({"labels": {"0": "background", "1": "a", "2": "a"}}, "labels needs one name for each value"),
        ({"labels": {"background": 0, "whole": [1, 2]}}, "label 'whole' is a region of several values"),
        ({"labels": {"background": 0, "a": 1, "ignore": 2}}, "has an ignore label"),
        ({"labels": {"background": 0, "a": "1"}}, "label 'a' has no whole number from 0 on"),
        ({"labels": {"background": 0, "a": True}}, "label 'a' has no whole number"),
        ({"labels": {"background": 0, "a": -1}}, "label 'a' has no whole number"),
        ({"file_ending": "nii.gz"}, "file_ending is 'nii.gz'; write for example"),
    ],
)
def test_what_cannot_be_a_task_is_refused_in_a_line_that_names_the_file(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"dataset.json: {said}"):
        nnunet_task(data_set(tmp_path, **changes))


@pytest.mark.parametrize(("text", "said"), [("{", "is no JSON"), ("[]", "is no JSON object"), (None, "cannot be read")])
def test_a_broken_description_is_refused(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(UserError, match=f"dataset.json: {said}"):
        nnunet_task(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none: no such folder"):
        nnunet_task(tmp_path / "none")


@pytest.mark.parametrize(
    ("files", "about", "said"),
    [
        (["imagesTr/a_0000.mha"], "a_0000.mha", "has no label; add it or remove the image (expected imagesTr/<case>_"),
        (["labelsTr/a.mha"], "a.mha", "has no image"),
        (
            ["imagesTr/a_0000.mha", "imagesTr/a_0001.mha", "labelsTr/a.mha"],
            "a_0001.mha",
            "is no image of channel 0; call it a_0000.mha or take it away",
        ),
        (["imagesTr/a.mha", "labelsTr/a.mha"], "imagesTr", "convert the data set by nnUNetv2_convert_MSD_dataset"),
        (["imagesTr/a_0000.nii", "labelsTr/a.nii"], "root", "expected imagesTr/<case>_0000.mha with labelsTr/<case>"),
        (
            ["imagesTr/a_0000.mha", "labelsTr/a.mha", "imagesTs/a_0000.mha", "labelsTs/a.mha"],
            "a_0000.mha",
            "a is a training case too; keep one of them",
        ),
        (["imagesTs/b_0000.mha", "labelsTs/"], "b_0000.mha", "expected imagesTs/<case>_0000.mha with labelsTs/<case>"),
    ],
)
def test_a_file_that_cannot_be_a_case_is_a_problem(files: list[str], about: str, said: str, tmp_path: Path) -> None:
    root = data_set(tmp_path / "root", *files)
    found = find(root)
    (problem,) = found.problems
    assert problem.path.name == about
    assert said in problem.reason
    assert [case.split for case in found.cases] == ([None] if "labelsTr/a.mha" in files and len(files) > 2 else [])


@pytest.mark.parametrize("place", ["raw/D", "nnUNet_preprocessed/D", "elsewhere/D"])
def test_nnunets_folds_are_found_where_it_keeps_them(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "elsewhere"))
    root = data_set(tmp_path / "raw" / "D")
    dataset = described(root)
    (tmp_path / "elsewhere" / "other").mkdir(parents=True)
    (tmp_path / "elsewhere" / "other" / "splits_final.json").touch()
    assert dataset.split_file(root) is None
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "splits_final.json").touch()
    assert dataset.split_file(root) == tmp_path / place / "splits_final.json"


def test_a_missing_folder_of_training_cases_is_a_problem(tmp_path: Path) -> None:
    root = data_set(tmp_path)
    (root / "labelsTr").rmdir()
    (problem,) = find(root).problems
    assert (problem.path.name, problem.reason.partition(";")[0]) == ("labelsTr", "no such folder")
