"""From the values of label files to classes."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from ssl_bench.api.cases import SourceCase
from ssl_bench.data.io.formats import read_volume
from ssl_bench.data.preprocessing.arrays import prepare_case
from ssl_bench.data.preprocessing.labels import LabelRule, Labels, read_classes
from ssl_bench.data.preprocessing.prepared import prepare
from ssl_bench.data.windows import CaseBatches
from ssl_bench.errors import UserError
from tests.data.files import ct, heart, labelled, save
from tests.data.preprocessing.preparation import PREPROCESSING, RULE, prepare_all, silent

WHOLE = PREPROCESSING.model_copy(update={"region": "whole"})
CLASSES = LabelRule(values=(205, 500))


def stored(path: Path, values: np.ndarray, dtype: type) -> Labels:
    """What is read of float labels that nibabel saved as `dtype`, with a slope and an intercept of its own."""
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    nib.save(nib.Nifti1Image(values.astype(np.float64).T, np.eye(4), header), path)
    rule = LabelRule(values=tuple(int(value) for value in np.unique(values) if value))
    return read_classes(read_volume(path).voxels, rule, path)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_labels_that_a_tool_scaled_into_16_bits_are_whole(tmp_path: Path, dtype: type) -> None:
    off = 0
    for count in (*range(1, 61), 130, 300):
        values = np.arange(343).reshape(7, 7, 7) % (count + 1)
        found = stored(tmp_path / "a.nii", values, dtype)
        assert np.array_equal(found.classes, values), count
        off += bool(found.notes)
        assert all("off whole numbers, rounded" in note for note in found.notes)
    assert off > 50


def test_values_far_apart_are_whole_to_half_a_step_of_16_bits(tmp_path: Path) -> None:
    values = np.array([0, 205, 420, 500, 550, 600, 820, 850])[np.arange(216).reshape(6, 6, 6) % 8]
    found = stored(tmp_path / "a.nii", values, np.int16)
    assert np.array_equal(found.classes, np.arange(216).reshape(6, 6, 6) % 8)


@pytest.mark.parametrize("off", [0.0009, -0.0009])
def test_a_thousandth_off_is_whole_and_more_is_not(off: float) -> None:
    values = heart(value=3).astype(np.float32)
    rule = LabelRule(values=(3,))
    assert np.array_equal(read_classes(values + np.float32(off), rule, Path("a.nii")).classes, heart(value=1))
    with pytest.raises(UserError, match=r"a\.nii: label values .* are not whole; resample labels"):
        read_classes(values + np.float32(2 * off), rule, Path("a.nii"))


@pytest.mark.parametrize(("count", "dtype"), [(255, np.uint8), (256, np.uint16), (300, np.uint16)])
def test_more_than_255_classes_take_16_bits(tmp_path: Path, count: int, dtype: type) -> None:
    values = (np.arange(12 * 14 * 16).reshape(12, 14, 16) % (count + 1)).astype(np.int16)
    case = SourceCase("a", save(tmp_path / "a.nii", ct()), save(tmp_path / "b.nii", values), "a")
    (found,) = prepare_all([case], WHOLE, LabelRule(values=tuple(range(1, count + 1))))
    label = found.load().label
    assert np.asarray(label).dtype == dtype
    assert np.array_equal(label, values)
    _, targets = CaseBatches([found.load()], crop=16).read(np.array([0]), np.zeros((1, 3)))
    assert np.array_equal(targets[0, 2:14, 1:15].numpy(), values)


def test_a_subject_without_any_class_is_a_case(tmp_path: Path) -> None:
    cases = [labelled(tmp_path, name, seed) for seed, name in enumerate("ab")]
    save(cases[0].label, heart(value=0))  # type: ignore[arg-type]
    healthy, other = prepare_all(cases, WHOLE)
    assert healthy.notes == ("holds no voxel of any class (500)",)
    assert (healthy.has_class, other.has_class) == (False, True)
    assert not np.any(healthy.load().label)


def test_where_no_subject_has_a_class_there_is_nothing_to_learn(tmp_path: Path) -> None:
    cases = [labelled(tmp_path, name, seed) for seed, name in enumerate("ab")]
    for case in cases:
        save(case.label, heart(value=0))  # type: ignore[arg-type]
    _, (problem,) = prepare(cases, WHOLE, RULE, 1, silent)
    assert problem.path == cases[0].label
    assert "no other label does; name the right label files" in problem.reason


def test_what_is_cropped_to_the_label_needs_one(tmp_path: Path) -> None:
    case = labelled(tmp_path)
    save(case.label, heart(value=0))  # type: ignore[arg-type]
    _, problems = prepare([case], PREPROCESSING, RULE, 1, silent)
    assert problems[0].path == case.label
    assert "holds no voxel of any class (500) to crop to; name the right label file" in problems[0].reason
    assert "region=whole" in problems[0].reason


def test_a_class_that_resampling_loses_beside_another_is_doubted(tmp_path: Path) -> None:
    labels = np.zeros((12, 14, 16), np.int16)
    labels[2:8, 2:8, 2:8] = 205
    labels[9, 9, 9] = 500
    source = SourceCase("a", save(tmp_path / "a.nii", ct()), save(tmp_path / "b.nii", labels), "a")
    case, report = prepare_case(source, WHOLE.model_copy(update={"spacing_mm": 3.0}), CLASSES)
    assert set(np.unique(case.label)) == {0, 1}
    (said,) = [doubt for doubt in report.doubts if "is gone once it is cropped and resampled" in doubt.what]
    assert said.figures == "value 500, voxels: 1"
    assert not any("is gone" in doubt.what for doubt in prepare_case(source, WHOLE, CLASSES)[1].doubts)


def slicers(path: Path, *names: str) -> Path:
    """`heart()` as 3D Slicer writes a segmentation, its values 205 and 500 named so, or else not."""
    values = heart()
    values[0, 0, 0] = 205
    image = sitk.GetImageFromArray(values)
    for number, (value, name) in enumerate(zip((205, 500), names, strict=False)):
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
        image.SetMetaData(f"Segment{number}_Name", name)
    sitk.WriteImage(image, path)
    return path


def test_a_segmentation_of_slicers_that_calls_a_value_as_another_class_is_refused(tmp_path: Path) -> None:
    rule = CLASSES.model_copy(update={"names": {205: "aorta", 500: "myocardium"}})
    sitk.WriteImage(sitk.GetImageFromArray(ct()), tmp_path / "a.nrrd")
    for names in ((), ("Aorta", "myocardium"), ("Segment_1", "scar")):
        case = SourceCase("a", tmp_path / "a.nrrd", slicers(tmp_path / "b.seg.nrrd", *names), "a")
        assert prepare_case(case, WHOLE, rule)[1].label_voxels.keys() == {0, 205, 500}
    slicers(tmp_path / "b.seg.nrrd", "Myocardium", "aorta")
    with pytest.raises(
        UserError, match=r"b\.seg\.nrrd: its header calls 205 'Myocardium', which dataset\.json has as 500"
    ):
        prepare_case(case, WHOLE, rule)
    assert rule.model_dump() == CLASSES.model_dump()  # Prepared cases keep their names.
