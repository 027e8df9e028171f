"""One case from its files to the array that the network sees."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from ssl_bench.api.cases import Case, SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.registry import TASKS
from ssl_bench.data.preprocessing.arrays import CaseReport, prepare_case
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.resampling import Grid
from ssl_bench.errors import UserError
from tests.data.files import ct, heart, labelled, save
from tests.data.io.scans import scan, write
from tests.data.preprocessing.test_lungs import phantom

RULE = LabelRule(values=(205, 500), synonyms={501: 500}, background=(7,))


def declared(**changes: Any) -> Preprocessing:
    """The whole CT on the scanner's own grid, unless said otherwise."""
    return Preprocessing(**({"spacing_mm": None, "intensity": "ct", "region": "whole"} | changes))


def prepared(folder: Path, voxels: np.ndarray, spacing=(1.0, 1.0, 1.0), **changes: Any) -> tuple[Case, CaseReport]:
    """Of an image without a label file."""
    return prepare_case(SourceCase("a", save(folder / "a.nii", voxels, spacing), 1, "a"), declared(**changes), None)


def with_label(folder: Path, labels: np.ndarray, rule: LabelRule = RULE, **changes: Any) -> tuple[Case, CaseReport]:
    """Of a CT and these labels on its grid."""
    case = SourceCase("a", save(folder / "a.nii", ct()), save(folder / "b.nii", labels), "a")
    return prepare_case(case, declared(**changes), rule)


# Formats.


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ""], ids=lambda suffix: suffix or "dicom")
def test_any_format_and_orientation_prepares_to_the_same_array(tmp_path: Path, suffix: str) -> None:
    image, canonical = scan()
    grid = Grid.over(canonical.voxels.shape, canonical.spacing_mm, 1.0)
    expected = (grid.read(canonical.voxels, grid.whole(), "linear") + 1024).clip(0, 2048) / 2048
    for code in ("LPS", "RAS", "PIL", "ASR"):
        file = write(image, tmp_path / f"{code}{suffix}", code)
        found, _ = prepare_case(SourceCase("a", file, 1, "a"), declared(spacing_mm=1.0), None)
        np.testing.assert_allclose(found.image, expected, atol=1e-4)


# Intensities.


@pytest.mark.parametrize("offset", [1024.0, 0.0])
def test_ct_values_are_shifted_clipped_and_scaled(tmp_path: Path, offset: float) -> None:
    voxels = np.zeros((2, 2, 2), np.int16)
    voxels.flat[:5] = [-3024, -1024, -1000, 1024, 3000]
    found, _ = prepared(tmp_path, voxels + np.int16(1024 - offset), intensity_offset=offset)
    np.testing.assert_allclose(found.image.flat[:6], [0, 0, 24 / 2048, 1, 1, 0.5])


def test_mr_values_lose_their_negatives_and_span_0_to_1(tmp_path: Path) -> None:
    voxels = np.array([-50, 20, 120, 220], np.float32).repeat(4).reshape(4, 2, 2)
    found, _ = prepared(tmp_path, voxels, intensity="mr")
    np.testing.assert_allclose(found.image[:, 0, 0], [0, 20 / 220, 120 / 220, 1], atol=1e-6)


def test_the_range_of_an_mr_is_that_of_what_is_kept(tmp_path: Path) -> None:
    voxels = np.full((6, 6, 6), 1000, np.int16)
    voxels[2:4, 2:4, 2:4] = np.arange(100, 108).reshape(2, 2, 2)
    found, _ = prepared(tmp_path, voxels, intensity="mr", region="centre", size=(2, 2, 2))
    np.testing.assert_allclose(found.image.ravel(), np.arange(8) / 7, atol=1e-6)


def test_percentiles_of_what_is_kept_span_0_to_1(tmp_path: Path) -> None:
    # z-scored, with an outlier: neither negatives nor the rest are lost.
    voxels = np.random.default_rng(0).normal(0, 1, (12, 14, 16)).astype(np.float32)
    voxels[2, 3, 4] = 1e6
    found, report = prepared(tmp_path, voxels, intensity="percentile")
    low, high = np.percentile(voxels, (0.5, 99.5))
    np.testing.assert_allclose(found.image, ((voxels - low) / (high - low)).clip(0, 1), atol=1e-5)
    assert report.doubts == ()


@pytest.mark.parametrize("changes", [{"spacing_mm": 0.7}, {}, {"region": "centre", "size": (20, 8, 30)}])
def test_images_are_contiguous_float32_from_0_to_1(tmp_path: Path, changes: dict[str, Any]) -> None:
    for intensity in ("ct", "mr", "percentile"):
        image = prepared(tmp_path, ct(), intensity=intensity, **changes)[0].image
        assert image.dtype == np.float32
        assert image.flags.c_contiguous
        assert 0 <= image.min() < image.max() <= 1


# Regions.


def test_whole_scans_are_resampled_to_the_spacing(tmp_path: Path) -> None:
    found, _ = prepared(tmp_path, ct(), (3.0, 0.5, 0.8), spacing_mm=1.0)
    assert found.image.shape == (36, 7, 13)
    assert found.spacing_mm == (1.0, 1.0, 1.0)
    assert prepared(tmp_path, ct(), (3.0, 0.5, 0.8))[0].spacing_mm == pytest.approx((3.0, 0.5, 0.8))


def test_the_label_region_is_the_box_of_all_classes_and_a_margin(tmp_path: Path) -> None:
    found, _ = with_label(tmp_path, heart(), region="label", margin_mm=2.0)
    assert isinstance(found.label, np.ndarray)
    assert np.array_equal(found.label, heart(value=2)[1:10, 2:11, 3:12])
    np.testing.assert_allclose(found.image, ((ct() + 1024) / 2048).clip(0, 1)[1:10, 2:11, 3:12], rtol=1e-6)


def test_image_and_label_stay_in_step(tmp_path: Path) -> None:
    # The nearest voxel is labelled where along each axis more than half of what is interpolated is.
    labels = np.zeros((10, 40, 44), np.int16)
    labels[3:7, 11:25, 20:37] = 500
    case = SourceCase(
        "a",
        save(tmp_path / "a.nii", np.where(labels, 1024, -1024).astype(np.int16), (3.0, 0.7, 0.6)),
        save(tmp_path / "b.nii", labels, (3.0, 0.7, 0.6)),
        "a",
    )
    found, _ = prepare_case(case, declared(spacing_mm=1.0, region="label", margin_mm=4.0), RULE)
    assert isinstance(found.label, np.ndarray)
    assert found.label.shape == found.image.shape == (20, 19, 19)
    assert (found.label[found.image > 0.501] == 2).all()
    assert (found.image[found.label == 2] > 1 / 8 - 0.001).all()


def test_the_centre_box_is_cut_from_larger_axes_and_padded_on_smaller_ones(tmp_path: Path) -> None:
    found, _ = with_label(tmp_path, heart(), region="centre", size=(15, 10, 16))
    assert isinstance(found.label, np.ndarray)
    assert found.image.shape == found.label.shape == (15, 10, 16)
    assert np.array_equal(found.label[1:13], heart(value=2)[:, 2:12])
    assert not found.image[[0, 13, 14]].any()
    assert not found.label[[0, 13, 14]].any()
    assert found.image[1:13].any()


def test_the_size_of_the_centre_box_counts_voxels_after_resampling(tmp_path: Path) -> None:
    voxels = np.zeros((12, 14, 16), np.int16)
    voxels[3:9, 3:11, 4:12] = 512  # the middle half
    voxels[5:7, 6:8, 7:9] = 600
    found, _ = prepared(tmp_path, voxels, (2.0, 2.0, 2.0), spacing_mm=1.0, region="centre", size=(10, 14, 14))
    assert found.image.shape == (10, 14, 14)
    assert found.image.min() == 0.75


@pytest.mark.parametrize("offset", [1024.0, 0.0])
def test_outside_the_lungs_everything_is_0(tmp_path: Path, offset: float) -> None:
    voxels, truth = phantom()
    voxels += np.int16(1024 - offset)
    found, report = prepared(tmp_path, voxels, (2.0, 1.5, 1.5), region="lungs", margin_mm=6.0, intensity_offset=offset)
    assert report.notes == ("lungs by threshold: 0.8 l, two lungs",)
    # 140 x 90 x 150 mm and the margin.
    assert found.image.shape == pytest.approx((76, 68, 108), abs=2)
    assert not found.image[:2].any()
    inside = found.image > 0
    assert inside.sum() == pytest.approx(truth.sum(), rel=0.05)
    assert np.median(found.image[inside]) == pytest.approx((1024 - 850) / 2048, abs=0.01)


# Labels.


def test_label_values_become_class_indices_and_strays_are_noted(tmp_path: Path) -> None:
    labels = heart()
    labels[0, 0] = 7
    labels[11, 0, :3] = 501
    labels[11, 1] = 205
    found, report = with_label(tmp_path, labels)
    assert isinstance(found.label, np.ndarray)
    assert found.label.dtype == np.uint8
    assert np.array_equal(found.label, np.select([labels == 205, labels >= 500], [1, 2], 0))
    assert report.notes == ("501 read as 500 (voxels: 3)",)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float32])
def test_whole_numbers_of_any_type_are_labels(tmp_path: Path, kind: type) -> None:
    found, _ = with_label(tmp_path, heart(value=3).astype(kind), LabelRule(values=(3,)))
    assert np.array_equal(found.label, heart(value=1))


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (heart(value=9), r"label values 9 belong to no class of the task \(205, 500\)"),
        (-heart(value=9), "label values -9 belong to no class"),
        (ct(), "label values .*, \\.\\.\\. belong to no class"),
        (ct() * np.int32(1000), "values from -1024000 to 1999000 are no labels; name the label file"),
        (heart() * np.float32(0.5005), "label values 250.25 are not whole; resample"),
        (heart((12, 14, 15)), r"not on the grid of .*a.nii, 12 x 14 x 15 voxels instead of 12 x 14 x 16"),
    ],
)
def test_labels_that_cannot_be_meant_are_refused(tmp_path: Path, labels: np.ndarray, reason: str) -> None:
    with pytest.raises(UserError, match=f"^{tmp_path / 'b.nii'}: {reason}") as error:
        with_label(tmp_path, labels)
    assert ";" in str(error.value)


@pytest.mark.parametrize(
    ("shift", "spacing", "apart"),
    [((0, 0, 0.9), (2, 2, 2), None), ((0, 0, 1.1), (2, 2, 2), "0.6"), ((0, 0, 0), (2, 2, 2.1), "0.7")],
)
def test_image_and_label_may_lie_half_a_voxel_apart(
    tmp_path: Path, shift: tuple[float, ...], spacing: tuple[float, ...], apart: str | None
) -> None:
    image = save(tmp_path / "a.nii", ct(), (2.0, 2.0, 2.0))
    label = save(tmp_path / "b.nii", heart(), spacing, shift)  # type: ignore[arg-type]
    case = SourceCase("a", image, label, "a")
    if apart is None:
        assert prepare_case(case, declared(), RULE)[0].image.shape == (12, 14, 16)
    else:
        reason = f"^{label}: not on the grid of {image}, up to {apart}.* voxels apart; resample the label"
        with pytest.raises(UserError, match=reason):
            prepare_case(case, declared(), RULE)


def with_label_at(folder: Path, affine: np.ndarray, labels: np.ndarray, **changes: Any) -> tuple[Case, CaseReport]:
    """Of a CT of 2 mm and of labels, both (D, H, W), whose header says `affine`, for (x, y, z)."""
    image = save(folder / "a.nii", ct(), (2.0, 2.0, 2.0))
    nib.save(nib.Nifti1Image(labels.T, affine), folder / "b.nii")
    return prepare_case(SourceCase("a", image, folder / "b.nii", "a"), declared(**changes), RULE)


TURNED = np.array([[0, 0, 3.0, 0], [-1, 0, 0, 5], [0, 1, 0, -9], [0, 0, 0, 1]])


@pytest.mark.parametrize("affine", [np.eye(4), np.diag([-2.0, -2, 2, 1]), TURNED], ids=["unit", "mirrored", "turned"])
def test_a_label_with_a_wrong_header_may_take_its_images(tmp_path: Path, affine: np.ndarray) -> None:
    offer = (
        "resample the label to its image first, or if only its header is wrong .* --set data.TASK.label_header=image$"
    )
    with pytest.raises(UserError, match=f"^{tmp_path / 'b.nii'}: not on the grid of .*; {offer}"):
        with_label_at(tmp_path, affine, heart())
    found, report = with_label_at(tmp_path, affine, heart(), label_header="image")
    assert np.array_equal(found.label, heart(value=2))
    assert len(report.notes) == 1
    assert report.notes[0].startswith("label: its own header, up to ")


def test_a_label_whose_header_is_right_keeps_it(tmp_path: Path) -> None:
    mirrored = np.diag([-2.0, 2, 2, 1])
    mirrored[0, 3] = 2 * 15
    found, report = with_label_at(tmp_path, mirrored, heart()[:, :, ::-1], label_header="image")
    assert np.array_equal(found.label, heart(value=2))
    assert report.notes == ()


def test_a_label_of_another_size_cannot_take_its_images_header(tmp_path: Path) -> None:
    labels = heart((12, 14, 15))
    with pytest.raises(
        UserError, match=r"b.nii: not on the grid of .* \(D, H, W\); resample the label to its image first$"
    ):
        with_label_at(tmp_path, np.diag([2.0, 2, 2, 1]), labels)
    with pytest.raises(UserError, match=r"b.nii: holds 15 x 14 x 12 voxels and its image 16 x 14 x 12; resample"):
        with_label_at(tmp_path, np.diag([2.0, 2, 2, 1]), labels, label_header="image")


def test_a_class_that_the_box_leaves_out_is_said(tmp_path: Path) -> None:
    labels = np.zeros((12, 14, 16), np.int16)
    labels[0, 0, 0] = 500
    with pytest.raises(UserError, match=r"b.nii: no class is left"):
        with_label(tmp_path, labels, region="centre", size=(4, 4, 4))


def test_without_a_rule_label_files_are_left_alone(tmp_path: Path) -> None:
    case = SourceCase("a", save(tmp_path / "a.nii", ct()), tmp_path / "missing.nii", "a")
    assert prepare_case(case, declared(), None)[0].label == 0


def test_the_class_of_a_whole_volume_is_given_on(tmp_path: Path) -> None:
    assert prepared(tmp_path, ct())[0].label == 1


def test_the_rule_of_a_data_set_holds_its_label_values() -> None:
    shc, ccc = TASKS.load("shc").dataset, TASKS.load("ccc").dataset
    assert shc is not None
    assert ccc is not None
    rule = LabelRule.of(shc)
    assert rule is not None
    assert rule.values == shc.label_values
    assert rule.classes()[0] == 0
    assert rule.classes()[850] == 7
    assert LabelRule.of(ccc) is None


# What does not fit.


@pytest.mark.parametrize(
    ("voxels", "spacing", "changes", "reason"),
    [
        (np.full((4, 4, 4), 5, np.int16), (1, 1, 1), {}, "every voxel is 5; replace"),
        (
            -np.arange(1, 65, dtype=np.int16).reshape(4, 4, 4),
            (1, 1, 1),
            {"intensity": "mr"},
            "the kept region, values from -64 to -1, becomes all 0 .*intensity=percentile",
        ),
        (
            np.arange(64, dtype=np.float32).reshape(4, 4, 4) + 2000,
            (1, 1, 1),
            {},
            "the kept region, values from 2000 to 2063, becomes one value in the CT recipe; correct --set",
        ),
        (ct(), (12, 1, 1), {}, r"voxels of 12 x 1 x 1 mm .* correct the spacing"),
        (ct(), (1, 0.05, 1), {}, "voxels of 1 x 0.05 x 1 mm"),
        (ct(), (1, 1, 1), {"region": "label"}, "has no label to crop to; choose another region"),
        (
            ct(),
            (1, 1, 1),
            {"region": "lungs", "intensity": "mr"},
            "lungs are found in CT alone; --set",
        ),
        (ct(), (1, 1, 1), {"region": "lungs"}, "threshold found 0.00 l of lung"),
    ],
)
def test_scans_that_cannot_be_meant_are_refused(
    tmp_path: Path, voxels: np.ndarray, spacing: Any, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError, match=f"^{tmp_path / 'a.nii'}: {reason}"):
        prepared(tmp_path, voxels, spacing, **changes)


@pytest.mark.parametrize("spacing", [(12.34564, 1.0, 1.0), (0.05, 0.05, 0.05)])
def test_voxels_of_any_size_may_be_meant(tmp_path: Path, spacing: tuple[float, float, float]) -> None:
    with pytest.raises(UserError, match=r"are not within 0.1 to 10 mm; .* --set data.TASK.voxel_mm='(.*)'$") as refusal:
        prepared(tmp_path, ct(), spacing)
    limits = json.loads(str(refusal.value).split("'")[-2])
    assert prepared(tmp_path, ct(), spacing, voxel_mm=limits)[0].spacing_mm == pytest.approx(spacing)


def test_what_is_suspicious_about_a_file_is_noted(tmp_path: Path) -> None:
    header = nib.Nifti1Image(ct().T, np.eye(4))
    for part in ("a", "b"):
        header.set_sform(np.eye(4), 0)
        header.set_qform(np.eye(4), 0)
        nib.save(header, tmp_path / f"{part}.nii")
        header = nib.Nifti1Image(heart().T, np.eye(4))
    case = SourceCase("a", tmp_path / "a.nii", tmp_path / "b.nii", "a")
    notes = prepare_case(case, declared(), RULE)[1].notes
    assert [note.split("its header")[0] for note in notes] == ["", "label: "]


def test_the_signature_is_that_of_the_scan_and_not_of_what_is_kept(tmp_path: Path) -> None:
    case = labelled(tmp_path)
    whole = prepare_case(case, declared(), RULE)[1].signatures[0]
    part = prepare_case(case, declared(region="label", spacing_mm=0.5), RULE)[1].signatures[0]
    assert part.shape == whole.shape == (12, 14, 16)
    assert np.array_equal(part.values, whole.values)


LARGE = """
import sys
from pathlib import Path
import numpy as np
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.arrays import prepare_case
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.cases import SourceCase
from ssl_bench.training.runtime import peak_of_process

image, label, region = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
prepare_case(SourceCase("a", image, label, "a"), Preprocessing(intensity="ct", region=region), LabelRule(values=(1,)))
print(peak_of_process())
"""


@pytest.mark.slow
def test_a_ct_of_900_slices_is_prepared_in_less_than_4_gigabytes(tmp_path: Path) -> None:
    y, x = np.ogrid[-1:1:512j, -1:1:512j]
    section = np.where(x**2 + y**2 < 0.8, 40, -1000)
    section[((abs(x) - 0.4) / 0.25) ** 2 + (y / 0.4) ** 2 < 1] = -850
    voxels = section.astype(np.int16) + np.random.default_rng(0).integers(-9, 9, (900, 1, 1), np.int16)
    image = save(tmp_path / "image.nii.gz", voxels, (0.7, 0.45, 0.45))
    label = save(tmp_path / "label.nii.gz", (voxels > 0).astype(np.uint8), (0.7, 0.45, 0.45))
    del voxels
    for region in ("whole", "lungs", "label"):
        command = [sys.executable, "-c", LARGE, str(image), str(label), region]
        peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert 5e8 < peak < 4e9
