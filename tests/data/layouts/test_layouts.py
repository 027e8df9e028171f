"""What the four data sets' readers find in true layouts, and what they say about broken ones."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from ssl_bench.api.cases import Found
from ssl_bench.api.dataset import Dataset
from ssl_bench.api.registry import TASKS
from ssl_bench.data.layouts.identifiers import safe_identifiers
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.errors import UserError
from tests.data import folders as layouts

TASK_NAMES = ["shc", "sac", "sbm", "ccc"]


def data_set(task: str) -> Dataset:
    found = TASKS.load(task).dataset
    assert found is not None
    return found


def find(task: str, root: Path) -> Found:
    return data_set(task).find(root)


def touch(root: Path, *names: str) -> Path:
    """Empty files: whoever reads a voxel of them fails."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def reasons(found: Found) -> list[tuple[str, str]]:
    return [(problem.path.name, problem.reason) for problem in found.problems]


# What is found.


@pytest.mark.parametrize(
    ("task", "write"),
    [
        ("shc", layouts.write_mmwhs),
        ("shc", lambda root: layouts.write_mmwhs(root, release="successor")),
        ("sac", layouts.write_asoca),
        ("sac", lambda root: layouts.write_asoca(root, layout="release")),
        ("sbm", layouts.write_candi),
        ("sbm", lambda root: layouts.write_candi(root, naming="export")),
        ("ccc", layouts.write_stoic),
    ],
)
def test_a_data_set_is_found_whole_in_natural_order_and_without_problems(
    task: str, write: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    names = write(tmp_path)
    found = find(task, tmp_path)
    assert found.problems == []
    assert [case.identifier for case in found.cases] == [case.patient for case in found.cases] == names


@pytest.mark.parametrize(
    ("task", "files", "pairs"),
    [
        (
            "shc",
            ["ct_train1/x/ct_train_1001_image.nii", "ct_train2/ct_train_1001_label.nii.gz", "mr_train_1001_image.nii"],
            {"ct_train_1001": ("ct_train_1001_image.nii", "ct_train_1001_label.nii.gz")},
        ),
        (
            "shc",
            [
                f"ct_train and mr_train/{folder}/Case{n}_{part}.nii"
                for folder, n in [("B ct_train", 1), ("C and D mr_train", 2)]
                for part in ("image", "label")
            ],
            {"Case1": ("Case1_image.nii", "Case1_label.nii")},
        ),
        ("sac", ["TRAIN/10.nrrd", "Train_Masks/10.NRRD", "Test/0.nrrd"], {"10": ("10.nrrd", "10.NRRD")}),
        (
            "sac",
            ["Diseased/CTCA/Diseased_2.nrrd", "Diseased/Annotations/Diseased_2.nrrd", "Testset_Disease/1.nrrd"],
            {"Diseased_2": ("Diseased_2.nrrd", "Diseased_2.nrrd")},
        ),
        (
            "sbm",
            ["SS_100/SS_100_procimg.nii.gz", "SS_100/SS_100.seg.nii.gz", "SS_100/SS_100.nii.gz"],
            {"SS_100": ("SS_100_procimg.nii.gz", "SS_100.seg.nii.gz")},
        ),
        (
            "sbm",
            ["BPDwPsy_065_MR/anat/NIfTI/anat.nii.gz", "BPDwPsy_065_MR/BPDwPsy_065_MR_seg/NIfTI/seg.nii.gz"],
            {"BPDwPsy_065": ("anat.nii.gz", "seg.nii.gz")},
        ),
    ],
)
def test_images_meet_their_labels_by_name_alone(task: str, files: list[str], pairs: object, tmp_path: Path) -> None:
    found = find(task, touch(tmp_path, *files))
    assert found.problems == []
    assert {case.patient: (case.image.name, case.label.name) for case in found.cases} == pairs


def test_the_root_may_be_the_innermost_folder(tmp_path: Path) -> None:
    root = touch(tmp_path / "A ct_train", "Case1_image.nii.gz", "Case1_label.nii.gz")
    assert [case.identifier for case in find("shc", root).cases] == ["Case1"]


def test_the_label_of_stoic_is_the_pcr_result_and_not_the_severity(tmp_path: Path) -> None:
    touch(tmp_path, "data/mha/7.mha", "data/mha/12.mha")
    table = tmp_path / "metadata" / "reference.csv"
    table.parent.mkdir()
    table.write_text("\ufeffPatientID,probCOVID,probSevere\r\n12,1,0\r\n7,0,1\r\n", "utf-8")
    found = find("ccc", tmp_path)
    assert [(case.patient, case.label) for case in found.cases] == [("7", 0), ("12", 1)]
    assert found.problems == []


def test_twins_of_macos_and_folders_linked_in_a_circle_are_no_second_files(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{mark}1.nrrd" for mark in ("", "._") for part in ("Train", "Train_Masks")))
    (tmp_path / "again").symlink_to(tmp_path)
    found = find("sac", tmp_path)
    assert (len(found.cases), found.problems) == (1, [])


def test_a_linked_folder_is_followed_and_goes_by_its_own_name(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "older").symlink_to(root / "Train")
    touch(root, "Train/0.nrrd")
    (root / "newer").symlink_to(root / "Train")
    (root / "Train_Masks").symlink_to(touch(tmp_path / "elsewhere", "0.nrrd"))
    found = find("sac", root)
    assert (len(found.cases), found.problems) == (1, [])


# What is wrong.


@pytest.mark.parametrize(
    ("task", "files", "about", "said"),
    [
        ("shc", ["ct_train_1_image.nii"], "ct_train_1_image.nii", "has no label; add it or remove the image"),
        ("shc", ["ct_train_1_label.nii"], "ct_train_1_label.nii", "has no image; add it or remove the label"),
        ("sac", ["Train/0.nrrd", "Train/1.nrrd", "Train_Masks/0.nrrd"], "1.nrrd", "has no label"),
        ("sbm", ["HC_001_seg.nii.gz"], "HC_001_seg.nii.gz", "has no image"),
        (
            "shc",
            ["ct_train_1_image.nii", "ct_train_1_image.nii.gz", "ct_train_1_label.nii"],
            "ct_train_1_image.nii.gz",
            "is ct_train_1 a second time, beside",
        ),
        (
            "sbm",
            ["SS_1_procimg.nii", "SS_1.seg.nii", "SS_1_seg.nii"],
            "SS_1_seg.nii",
            "is SS_1 a second time",
        ),
        (
            "sac",
            ["Train/0.nrrd", "Train_Masks/0.nrrd", "CTCA/Normal_1.nrrd", "Annotations/Normal_1.nrrd"],
            "root",
            "holds two releases of the same patients",
        ),
    ],
)
def test_a_file_that_cannot_be_a_case_is_a_problem_that_says_the_way_out(
    task: str, files: list[str], about: str, said: str, tmp_path: Path
) -> None:
    found = find(task, touch(tmp_path / "root", *files))
    ((path, reason),) = reasons(found)
    assert path == about
    assert said in reason
    assert [case.patient for case in found.cases] == (["0"] if about == "1.nrrd" else [])


def test_an_annotated_case_without_image_leaves_the_others_usable(tmp_path: Path) -> None:
    names = layouts.write_mmwhs(tmp_path, cases=2, orphan=True)
    found = find("shc", tmp_path)
    assert [case.identifier for case in found.cases] == names
    assert [path for path, _ in reasons(found)] == ["ct_train_1999_label.nii.gz"]


HEADER = "PatientID,probCOVID,probSevere\n"


@pytest.mark.parametrize(
    ("table", "about", "said"),
    [
        (HEADER + "1,1,0\n", "2.mha", "has no row in"),
        (HEADER + "1,1,0\n2,0,0\n3,0,0\n4,1,0\n", "reference.csv", "2 of 4 rows have no scan (3, 4); add the .mha"),
        (HEADER + "1,1,0\n2,yes,0\n", "reference.csv", "line 3: probCOVID of patient '2' is 'yes', neither 0 nor 1"),
        (HEADER + "1,1,0\n2,,0\n", "reference.csv", "line 3: probCOVID of patient '2' is ''"),
        (HEADER + "1,1,0\n2,0,0\n2,1,0\n", "reference.csv", "line 4: patient '2' stands in line 3 already"),
        ("PatientID;probCOVID\n1;1\n2;0\n", "reference.csv", "separates its columns by ';'; save it with commas"),
        ("PatientID\tprobCOVID\n1\t1\n", "reference.csv", r"separates its columns by '\t'"),
        ("PatientID,severe\n1,1\n", "reference.csv", "has no column probCOVID, only PatientID, severe"),
        ("", "reference.csv", "is empty"),
        (HEADER, "reference.csv", "has a header and no rows"),
        (HEADER + '1,"1,0\n', "reference.csv", "is no readable CSV"),
        (HEADER.encode("utf-16"), "reference.csv", "save it as comma-separated UTF-8 text"),
        (None, "root", "holds no reference.csv; expected data/mha/<PatientID>.mha"),
    ],
)
def test_a_table_that_does_not_fit_the_scans_is_a_problem(
    table: str | bytes | None, about: str, said: str, tmp_path: Path
) -> None:
    root = touch(tmp_path / "root", "1.mha", "2.mha")
    if table is not None:
        (root / "reference.csv").write_bytes(table.encode() if isinstance(table, str) else table)
    found = find("ccc", root)
    ((path, reason),) = reasons(found)
    assert path == about
    assert said in reason


def test_a_scan_or_a_table_at_two_places_is_a_problem(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mha", "b/1.mha", "2.mha")
    (tmp_path / "reference.csv").write_text(HEADER + "1,1,0\n2,0,0\n")
    found = find("ccc", tmp_path)
    assert [case.patient for case in found.cases] == ["2"]
    assert "is 1 a second time" in found.problems[0].reason
    touch(tmp_path, "metadata/reference.csv")
    assert "keep the one that belongs to the scans" in find("ccc", tmp_path).problems[0].reason


@pytest.mark.parametrize("task", TASK_NAMES)
def test_an_empty_folder_names_the_layout_that_is_expected(task: str, tmp_path: Path) -> None:
    ((path, reason),) = reasons(find(task, tmp_path))
    assert path == tmp_path.name
    assert "expected " in reason


@pytest.mark.parametrize("task", TASK_NAMES)
def test_a_root_that_is_no_folder_is_refused(task: str, tmp_path: Path) -> None:
    for root, said in ((tmp_path / "none", "no such folder"), (touch(tmp_path, "a") / "a", "is a file")):
        with pytest.raises(UserError, match=f"{root.name}: {said}; name the folder"):
            find(task, root)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_a_folder_that_cannot_be_listed_is_a_problem(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    listed = Path.iterdir

    def iterdir(folder: Path) -> object:
        if folder.name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert ("locked", "cannot be listed (Permission denied); allow it to be read") in reasons(find(task, tmp_path))


# What is declared.


def test_the_splits_are_the_papers_except_that_shc_stays_inside_its_20_labelled_scans() -> None:
    splits = {name: data_set(name).split_counts for name in TASK_NAMES}
    counts = {name: (split.train, split.validation, split.test) for name, split in splits.items()}
    assert counts == {"shc": (10, 4, 6), "sac": (15, 5, 20), "sbm": (40, 20, 43), "ccc": (1000, 400, 600)}


@pytest.mark.parametrize(
    ("task", "declared"),
    [("shc", ("ct", "label")), ("sac", ("ct", "label")), ("sbm", ("mr", "centre")), ("ccc", ("ct", "lungs"))],
)
def test_the_preprocessing_is_the_papers(task: str, declared: tuple[str, str]) -> None:
    found = data_set(task).preprocessing
    assert (found.intensity, found.region) == declared
    assert (found.spacing_mm, found.intensity_offset, found.size) == (1.0, 1024.0, (128, 160, 160))


def test_stray_and_excluded_label_values_are_understood() -> None:
    shc, sbm = (LabelRule.of(data_set(name)) for name in ("shc", "sbm"))
    assert shc is not None
    assert sbm is not None
    assert shc.classes()[421] == shc.classes()[420] == 2
    excluded = [5, 26, 29, 30, 44, 58, 61, 62, 72, 77, 85]
    assert {sbm.classes()[value] for value in excluded} == {0}
    assert len(set(sbm.classes().values())) == 29


def test_names_that_are_not_safe_become_identifiers_that_are_distinct() -> None:
    names = ["a b", "a-b", "A-B", "über/x", "c.1_2"]
    found = safe_identifiers(names)
    assert found[3:] == ["-ber-x", "c.1_2"]
    assert [name.lower()[:4] for name in found[:3]] == ["a-b-"] * 3
    assert len({name.lower() for name in found}) == len(names)
    assert safe_identifiers(names[::-1]) == found[::-1]


# The miniature data sets themselves.


def test_a_scan_lies_at_the_same_place_in_every_format_and_orientation(tmp_path: Path) -> None:
    scan = layouts._scan(layouts._HEART, 3, (9, 8, 7))
    nifti, nrrd, dicom = tmp_path / "a.nii", tmp_path / "a.nrrd", tmp_path / "dicom"
    layouts._nifti(nifti, scan.image, scan.spacing_mm, "PIR")
    layouts._write_itk(nrrd, scan.image, scan.spacing_mm, "RIP")
    assert sitk.ReadImage(str(nrrd)).GetDirection() != sitk.Image(1, 1, 1, sitk.sitkInt16).GetDirection()
    layouts._write_dicom(dicom, scan, 0)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(dicom)))
    for stored in (sitk.ReadImage(str(nifti)), sitk.ReadImage(str(nrrd)), reader.Execute()):
        image = sitk.DICOMOrient(stored, "LPS")
        assert np.array_equal(sitk.GetArrayFromImage(image)[:, ::-1, ::-1], scan.image)
        assert np.allclose(image.GetSpacing(), scan.spacing_mm[::-1])
        far = [-(n - 1) * size for n, size in zip(scan.image.shape, scan.spacing_mm, strict=True)]
        assert np.allclose(image.GetOrigin(), (far[2], far[1], 0), atol=1e-4)


def test_the_miniature_of_mmwhs_has_the_quirks_of_its_archives(tmp_path: Path) -> None:
    layouts.write_mmwhs(tmp_path)
    images = [nib.load(case.image) for case in find("shc", tmp_path).cases]
    labels = [nib.load(case.label) for case in find("shc", tmp_path).cases]
    assert len({nib.aff2axcodes(image.affine) for image in images}) >= 4
    assert [image.header.endianness for image in images].count(">") == 1
    assert [image.ndim for image in images].count(4) == 1
    assert sum(image.dataobj.slope != 1 for image in images) == 1
    assert len({round(float(size), 3) for size in images[2].header.get_zooms()}) == 2
    values = np.unique(np.asarray(labels[0].dataobj))
    assert labels[0].get_data_dtype() == np.float64
    assert set(values) == {0, 205, 420, 421, 500, 550, 600, 820, 850}


def test_miniatures_are_the_same_every_time_and_no_two_scans_are_alike(tmp_path: Path) -> None:
    arrays = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        layouts.write_stoic(folder)
        arrays.append([sitk.GetArrayFromImage(sitk.ReadImage(str(case.image))) for case in find("ccc", folder).cases])
    assert all(map(np.array_equal, *arrays))
    apart = [np.abs(a.astype(int) - b).mean() for a, b in combinations(arrays[0], 2)]
    assert min(apart) > 20  # HU; noise alone makes 9


def test_the_chests_of_stoic_hold_both_lungs(tmp_path: Path) -> None:
    layouts.write_stoic(tmp_path, cases=1)
    (case,) = find("ccc", tmp_path).cases
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(case.image)))
    section = voxels[len(voxels) // 2]  # rows to posterior, columns to left
    body = section[:, 8:-8] < -500
    left, right = body[10:-10, : body.shape[1] // 2], body[10:-10, body.shape[1] // 2 :]
    assert min(left.mean(), right.mean()) > 0.2
