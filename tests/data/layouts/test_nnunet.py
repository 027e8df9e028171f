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


CT_NAMES = (
    *("CT", "ct", "CTA", "CCTA", "NCCT", "CECT", "CBCT", "LDCT", "CT_angio", "CT-Angiography", "CTangio", "ctscan"),
    *("computed tomography", "Computed Tomography (CT)", "computerised tomography", "low-dose CT", "CT, venous phase"),
    *("Hounsfield units", "CAT scan", "micro-CT", "µCT"),
)
OTHER_NAMES = (
    *("T1", "MRI", "OCT", "SPECT", "PET", "PET/CT", "CT1", "T1 CT", "duct", "artefact", "act", "optical tomography"),
    *("emission computed tomography", "FLAIR", "subject", ""),
)


@pytest.mark.parametrize("name", CT_NAMES)
def test_a_channel_of_any_computed_tomography_is_ct(name: str, tmp_path: Path) -> None:
    root = data_set(tmp_path, channel_names={"0": name})
    assert (nnunet_task(root).facts.modality, described(root).preprocessing.intensity) == ("CT", "ct")


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_channel_of_anything_else_is_not(name: str, tmp_path: Path) -> None:
    root = data_set(tmp_path, channel_names={"0": name})
    assert described(root).preprocessing.intensity == "mr"


@pytest.mark.parametrize(("name", "recipe"), [("noNorm", "none"), ("no norm", "none"), ("Percentile", "percentile")])
def test_a_channel_s_name_may_be_its_recipe(name: str, recipe: str, tmp_path: Path) -> None:
    root = data_set(tmp_path, channel_names={"0": name})
    assert (nnunet_task(root).facts.modality, described(root).preprocessing.intensity) == ("MR", recipe)


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "edge": [2], "core": [1]},
        {"background": "0", "edge": "2", "core": "1"},
        {"background": 0.0, "edge": 2.0, "core": 1.0},
        {"background": [0], "edge": ["2"], "core": [1, 1]},
        {"0": "background", "2": "edge", "1": "core"},
    ],
)
def test_label_values_are_read_however_nnunet_takes_them(labels: dict[str, Any], tmp_path: Path) -> None:
    root = data_set(tmp_path, labels=labels)
    assert dict(zip(nnunet_task(root).facts.classes, described(root).label_values, strict=True)) == {
        "edge": 2,
        "core": 1,
    }
    assert described(root).value_names == {2: "edge", 1: "core"}


def test_cases_that_the_description_lists_are_the_training_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "elsewhere"))
    listed = {
        "one": {"images": ["scans/1.mha"], "label": "labelsTr/b.mha"},
        "two": {"images": ["$ELSEWHERE/2.mha"], "label": "../elsewhere/2_label.mha"},
        "gone": {"images": ["scans/3.mha"], "label": "labelsTr/b.mha"},
        "odd": {"images": ["scans/1.mha"], "label": 999 * "long"},
    }
    files = ["imagesTr/a_0000.mha", "labelsTr/a.mha", "imagesTr/b_0000.mha", "labelsTr/b.mha", "scans/1.mha"]
    files += ["../elsewhere/2.mha", "../elsewhere/2_label.mha", "imagesTs/t_0000.mha", "labelsTs/t.mha"]
    root = data_set(tmp_path / "root", *files, dataset=listed)
    found = find(root)
    assert [(case.identifier, case.split) for case in found.cases] == [("one", None), ("t", "test"), ("two", None)]
    assert found.cases[0].image == root / "scans" / "1.mha"
    assert found.cases[2].image.samefile(tmp_path / "elsewhere" / "2.mha")
    gone, odd = found.problems
    assert gone.path == root / "scans" / "3.mha"
    assert "does not exist, and dataset.json lists it for gone" in gone.reason
    assert odd.path.name.startswith("longlong")


@pytest.mark.parametrize("ending", [".nii.gz", ".NII.GZ"])
def test_endings_may_be_in_capitals(ending: str, tmp_path: Path) -> None:
    files = ["imagesTr/a_0000.NII.GZ", "labelsTr/a.nii.gz", "imagesTr/b_0000.nii.gz", "labelsTr/b.Nii.Gz"]
    root = data_set(tmp_path, *files, "labelsTr/b.nii.gz", file_ending=ending)
    found = find(root)
    assert [case.identifier for case in found.cases] == ["a"]
    (problem,) = found.problems
    assert "is b a second time, beside" in problem.reason


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
        ({"channel_names": {"0": "T1", "2": "T2"}}, "channel_names has the numbers 0, 2; count them from 0 on without"),
        ({"channel_names": {"0": "T1", "1": "T1"}}, r"channel_names has a name twice \(T1, T1\); give each its own"),
        ({"channel_names": None}, "has no channel_names; add for example"),
        ({"channel_names": ["CT"]}, "has no channel_names"),
        ({"labels": None}, "has no labels; add for example"),
        ({"labels": {"background": 0}}, "labels needs one name for each value, and one besides the background"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "labels needs one name for each value"),
        ({"labels": {"0": "background", "1": "a", "2": "a"}}, "labels needs one name for each value"),
        (
            {"labels": {"background": 0, "whole": [1, 2]}},
            "labels has 1 regions \\(whole\\) and regions_class_order no values; give each region the label to write",
        ),
        ({"labels": {"background": 0, "a": 1, "ignore": 1}}, '"ignore" is'),
        ({"labels": {"background": 0, "a": "1.5"}}, "label 'a' has no whole number from 0 on"),
        ({"labels": {"background": 0, "a": 1.5}}, "label 'a' has no whole number from 0 on"),
        ({"labels": {"background": 0, "a": []}}, "label 'a' has no whole number from 0 on"),
        ({"labels": {"background": 0, "a": [1, "b"]}}, "label 'a' has no whole number from 0 on"),
        ({"labels": {"background": 0, "a": [1], "b": "1"}}, "labels needs one name for each value"),
        ({"dataset": {}}, "dataset lists no case"),
        ({"dataset": [{"images": ["a"], "label": "b"}]}, "dataset lists no case"),
        ({"dataset": {"a": {"images": "x.mha", "label": "y.mha"}}}, "case 'a' of dataset needs \"images\", a list"),
        ({"dataset": {"a": {"images": ["x.mha"]}}}, "case 'a' of dataset needs"),
        ({"dataset": {"a": {"images": ["x", "y"], "label": "z"}}}, "case 'a' of dataset has 2 images, not one"),
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


MODALITIES = {"10": "noNorm", **{str(index): f"T{index}" for index in range(2, 10)}, "1": "CT", "0": "FLAIR"}


def test_channels_come_in_the_order_of_their_numbers_each_with_the_recipe_of_its_name(tmp_path: Path) -> None:
    root = data_set(tmp_path, channel_names=MODALITIES)
    preprocessing = described(root).preprocessing
    assert preprocessing.channels == ("FLAIR", "CT", *(f"T{index}" for index in range(2, 10)), "noNorm")
    assert preprocessing.intensity == ("mr", "ct", *["mr"] * 8, "none")
    assert nnunet_task(root).facts.modality == "MR"
    assert nnunet_task(data_set(tmp_path / "CT", channel_names={"0": "CT", "1": "CTA"})).facts.modality == "CT"


def test_a_case_has_a_file_for_each_channel_and_lacks_some(tmp_path: Path) -> None:
    files = ["a_0000.mha", "a_0001.mha", "a_0002.mha", "b_0001.mha", "c_0000.mha", "c_0001.mha", "c_0001.MHA"]
    names = [f"imagesTr/{file}" for file in [*files, "a_0003.mha"]] + [f"labelsTr/{case}.mha" for case in "abc"]
    root = data_set(tmp_path, *names, channel_names={"0": "T1", "1": "T2", "2": "CT"})
    found, images = find(root), root / "imagesTr"
    whole, gappy = found.cases
    assert (whole.image, whole.channels) == (images / "a_0000.mha", tuple(images / file for file in files[:3]))
    assert (gappy.image, gappy.channels) == (images / "b_0001.mha", (None, images / "b_0001.mha", None))
    beyond, twice = found.problems
    assert (beyond.path.name, beyond.reason[:33]) == ("a_0003.mha", "is no image of channels 0 to 2; c")
    assert "is c a second time, beside" in twice.reason


def test_a_listed_case_names_a_file_for_each_channel(tmp_path: Path) -> None:
    two = {"channel_names": {"0": "T1", "1": "T2"}}
    case = {"images": ["x.mha", "y.mha"], "label": "z.mha"}
    root = data_set(tmp_path, "x.mha", "y.mha", "z.mha", dataset={"a": case}, **two)
    (found,) = find(root).cases
    assert (found.image, found.channels) == (root / "x.mha", (root / "x.mha", root / "y.mha"))
    with pytest.raises(UserError, match="case 'a' of dataset has 1 images, not 2; name one for each channel"):
        nnunet_task(data_set(tmp_path / "one", dataset={"a": {"images": ["x.mha"], "label": "z.mha"}}, **two))
