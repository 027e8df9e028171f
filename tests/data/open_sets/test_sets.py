"""The declared sets: each layout, made tiny, is what this project's own readers take."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ssl_bench.api.cases import Found
from ssl_bench.api.dataset import Dataset
from ssl_bench.data.io.formats import read_volume
from ssl_bench.data.layouts.corpus_folder import find_corpus
from ssl_bench.data.layouts.labelled_folder import labelled_folder_task
from ssl_bench.data.layouts.nnunet import nnunet_task
from ssl_bench.data.open_sets.declaration import OpenSet, at
from ssl_bench.data.open_sets.fetching import RECEIPT, fetch
from ssl_bench.data.open_sets.registry import open_set, open_sets
from ssl_bench.data.open_sets.sets import openneuro
from ssl_bench.data.split_files import read_splits
from ssl_bench.data.subjects import with_subjects
from ssl_bench.errors import UserError
from tests.data.open_sets import tiny
from tests.data.open_sets.server import Server, serving

PAGE = Path(__file__).parents[3] / "docs" / "data.md"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def without_hash(name: str) -> OpenSet:
    """The declaration, but for the hashes, which tiny files cannot have."""
    declared = open_set(name)
    if name.startswith("openneuro"):
        return replace(declared, download_gb=0.001, disk_gb=0.001)
    files = [replace(file, hash=None) for file in declared.remote("")]
    return replace(declared, remote=at(*files), download_gb=0.01, disk_gb=0.01)


@pytest.fixture
def fetched(server: Server, tmp_path: Path) -> Callable[..., Path]:
    def fetched(name: str, **files: bytes) -> Path:
        server.files |= files
        return fetch(without_hash(name), tmp_path, server.url)

    return fetched


def data_set(task: type) -> Dataset:
    assert isinstance(task.dataset, Dataset)
    return task.dataset


# What is declared.


@pytest.mark.parametrize("declared", open_sets().values(), ids=lambda declared: declared.name)
def test_a_declaration_is_whole(declared: OpenSet) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", declared.name)
    assert declared.known
    assert declared.good_for
    assert declared.subjects is None or 0 < declared.subjects <= declared.cases
    assert declared.download_gb > 0
    assert declared.disk_gb > 0
    assert declared.non_commercial == ("NC" in declared.licence)
    if not declared.name.startswith("openneuro"):
        for file in declared.remote(""):
            assert file.url.startswith(("https://", "http://biomedic.doc.ic.ac.uk/"))
            assert file.hash is None or re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.hash)


def test_at_least_eight_sets_have_names_folders_and_files_of_their_own() -> None:
    sets = open_sets().values()
    assert len(sets) >= 8
    assert len({declared.folder for declared in sets}) == len(sets)
    files = [file.name for declared in sets if "openneuro" not in declared.name for file in declared.remote("")]
    assert len(set(files)) == len(files)


def test_a_mirror_has_all_files_in_one_folder() -> None:
    urls = [file.url for file in open_set("sunnybrook").remote("https://mirror.example/data/")]
    assert urls == [f"https://mirror.example/data/SCD_IMAGES_0{number}.zip" for number in range(1, 6)] + [
        "https://mirror.example/data/scd_patientdata.csv"
    ]


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown open data set 'ixi-t2'; did you mean 'ixi-t1'\?"):
        open_set("ixi-t2")


def test_the_page_on_data_has_the_table_of_the_sets() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    for declared in open_sets().values():
        assert row_of(declared) in rows, f"docs/data.md: write\n{row_of(declared)}"
    named = {match[1] for line in rows if (match := re.match(r"\| `([a-z0-9-]+)` \| (?:task|corpus)", line))}
    assert named == set(open_sets())


def row_of(declared: OpenSet) -> str:
    """The line of the page's table."""
    what = {"nnunet": "task, segmentation", "folder": "task, classification", "corpus": "corpus"}[declared.laid_as]
    cases = f"{declared.cases:,}"
    if declared.subjects != declared.cases:
        cases += f" of {declared.subjects or 'unknown'}"
    size = f"{declared.download_gb:g} / {declared.disk_gb:g}"
    facts = (what, declared.modality, cases, size, declared.licence, declared.good_for, "; ".join(declared.known))
    return f"| `{declared.name}` | {' | '.join(facts)} |"


# How they are laid.


def test_a_task_of_the_decathlon_is_a_set_of_nnunet(fetched: Callable[..., Path]) -> None:
    root = fetched("msd-hippocampus", **{"Task04_Hippocampus.tar": tiny.decathlon()})
    task = nnunet_task(root)
    assert (task.facts.classes, task.facts.modality) == (("Anterior", "Posterior"), "MR")
    assert task.dataset is not None
    assert (task.dataset.title, task.dataset.licence) == ("Dataset004_Hippocampus", "CC-BY-SA 4.0")
    found = task.dataset.find(root)
    assert found.problems == []
    assert [case.identifier for case in found.cases] == [f"hippocampus_{number:03d}" for number in range(1, 5)]
    assert [path.name for path in (root / "imagesTs").iterdir()] == ["hippocampus_005_0000.nii.gz"]
    stored = np.asarray(nib.load(found.cases[1].image).dataobj)
    np.testing.assert_array_equal(stored, tiny.volume(2))


def test_both_crops_of_a_hippocampus_are_of_one_person(fetched: Callable[..., Path]) -> None:
    root = fetched("msd-hippocampus", **{"Task04_Hippocampus.tar": tiny.decathlon()})
    found = with_subjects(data_set(nnunet_task(root)).find(root), root, str(root / "subjects.csv"))
    assert [case.patient for case in found.cases] == ["001", "001", "002", "002"]


def test_four_channels_of_the_decathlon_are_four_files(fetched: Callable[..., Path]) -> None:
    channels = ("FLAIR", "T1w", "t1gd", "T2w")
    archive = tiny.decathlon("Task01_BrainTumour", channels, cases=1)
    root = fetched("msd-braintumour", **{"Task01_BrainTumour.tar": archive})
    described = json.loads((root / "dataset.json").read_text())
    assert described["channel_names"] == dict(zip("0123", channels, strict=True))
    assert described["labels"] == {"background": 0, "Anterior": 1, "Posterior": 2}
    names = sorted(path.name for path in root.glob("images*/*"))
    assert names == [f"braintumour_00{case}_000{channel}.nii.gz" for case in (1, 2) for channel in range(4)]
    for channel in range(4):
        image = nib.load(root / "imagesTr" / f"braintumour_001_000{channel}.nii.gz")
        np.testing.assert_array_equal(np.asarray(image.dataobj), tiny.volume(1, (9, 10, 11, 4))[..., channel])
        assert (image.get_data_dtype(), image.header.get_zooms()) == (np.int16, (1.0, 2.0, 3.0))


def test_channels_that_the_description_does_not_name_are_refused(fetched: Callable[..., Path], tmp_path: Path) -> None:
    described = {"modality": {"0": "a", "1": "b"}, "labels": {"0": "background", "1": "x"}}
    one = tiny.gzipped(tiny.volume(1))
    archive = tiny.tar({"T/dataset.json": json.dumps(described).encode(), "T/imagesTr/hippocampus_001.nii.gz": one})
    with pytest.raises(UserError, match=r"hippocampus_001\.nii\.gz: has 1 channels and dataset\.json names 2"):
        fetched("msd-hippocampus", **{"Task04_Hippocampus.tar": archive})
    assert not (tmp_path / "Dataset004_Hippocampus").exists()


@pytest.mark.parametrize("size", [28, 64])
def test_two_classes_of_medmnist_are_a_classification_with_its_own_split(
    size: int, fetched: Callable[..., Path]
) -> None:
    stem = "nodulemnist3d" + ("" if size == 28 else "_64")
    root = fetched(stem.replace("_", "-"), **{f"{stem}.npz": tiny.medmnist(2, size=size)})
    found = data_set(labelled_folder_task(root)).find(root)
    assert found.problems == []
    assert len(found.cases) == 18
    assert [case.label for case in found.cases[:4]] == [0, 1, 0, 1]
    assert (root / "labels.csv").read_text().splitlines()[:3] == [
        "image,label,class",
        "images/train_0000.nii.gz,0,benign",
        "images/train_0001.nii.gz,1,malignant",
    ]
    (fold,) = read_splits(
        root / "split.json", "folder-x", found.cases, data_set(labelled_folder_task(root)).split_counts
    ).folds
    assert [len(fold.train), len(fold.validation), len(fold.test)] == [11, 3, 4]
    first = next(case for case in found.cases if case.identifier == fold.validation[1])
    volume = read_volume(first.image)
    wanted = np.random.default_rng(1).integers(0, 256, (3, size, size, size)).astype(np.uint8)[1]
    np.testing.assert_array_equal(volume.voxels, wanted)
    assert volume.voxels.dtype == np.uint8


def test_many_classes_of_medmnist_have_their_names_in_the_table(fetched: Callable[..., Path]) -> None:
    root = fetched("organmnist3d", **{"organmnist3d.npz": tiny.medmnist(tiny.ORGANS, (12, 2, 1))})
    with (root / "labels.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [rows[number]["label"] for number in (0, 6, 10, 11, 13)] == [
        "liver",
        "heart",
        "pancreas",
        "liver",
        "kidney-right",
    ]
    assert [row["class"] for row in rows] == [row["label"] for row in rows]
    assert all((root / row["image"]).is_file() for row in rows)


def test_more_classes_than_declared_are_refused(fetched: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="labels up to 2, for 2 classes"):
        fetched("nodulemnist3d", **{"nodulemnist3d.npz": tiny.medmnist(3)})


def test_what_is_no_archive_of_medmnist_is_refused(fetched: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"nodulemnist3d\.npz: does not hold MedMNIST's arrays"):
        fetched("nodulemnist3d", **{"nodulemnist3d.npz": tiny.zipped({"x.npy": b"x"})})


def corpus(root: Path) -> Found:
    found = with_subjects(find_corpus(root), root)
    assert (found.problems, found.label_maps) == ([], [])
    return found


def test_scans_of_ixi_are_a_corpus_of_known_subjects(fetched: Callable[..., Path]) -> None:
    scans = {f"IXI00{number}-HH-01-T1.nii.gz": tiny.gzipped(tiny.volume(number)) for number in (2, 3)}
    root = fetched("ixi-t1", **{"IXI-T1.tar": tiny.tar({**scans, "read.me": b"x"})})
    assert [(case.image.name, case.patient) for case in corpus(root).cases] == list(
        zip(scans, ("IXI002", "IXI003"), strict=True)
    )


def test_scans_of_totalsegmentator_are_a_corpus_without_its_masks(fetched: Callable[..., Path]) -> None:
    members = {
        f"set/s000{number}/{name}.nii.gz": tiny.gzipped(tiny.volume(number))
        for number in range(2)
        for name in ("ct", "segmentations/heart")
    }
    root = fetched("totalsegmentator-ct", **{"Totalsegmentator_dataset_v201.zip": tiny.zipped(members)})
    assert [case.identifier for case in corpus(root).cases] == ["s0000", "s0001"]


def test_t1_scans_of_openneuro_are_found_on_every_page_and_nothing_else(
    server: Server, fetched: Callable[..., Path]
) -> None:
    scans = [f"ds002748/sub-0{number}/anat/sub-0{number}_T1w.nii.gz" for number in (1, 2, 3)]
    others = [
        "ds002748/sub-01/anat/sub-01_T2w.nii.gz",
        "ds002748/sub-01/func/sub-01_task-rest_bold.nii.gz",
        "ds002748/derivatives/sub-01/anat/sub-01_T1w.nii.gz",
        "ds002748/sub-01/anat/../sub-01_T1w.nii.gz",
    ]
    page = "?list-type=2&prefix=ds002748/sub-"
    root = fetched(
        "openneuro-ds002748",
        **{
            page: tiny.listing([scans[0], *others], "a/b+c="),
            f"{page}&continuation-token=a%2Fb%2Bc%3D": tiny.listing(scans[1:]),
        },
        **{name: tiny.gzipped(tiny.volume(number)) for number, name in enumerate(scans)},
    )
    assert [(case.identifier, case.patient) for case in corpus(root).cases] == [
        (f"sub-0{number}-sub-0{number}_T1w", f"sub-0{number}") for number in (1, 2, 3)
    ]
    downloaded = json.loads((root / RECEIPT).read_text())["downloaded"]
    assert [file["hash_was"] for file in downloaded] == ["unknown, recorded"] * 3
    assert len(server.asked) == 5


def test_a_server_that_lists_no_scan_is_said(server: Server) -> None:
    server.files["?list-type=2&prefix=ds1/sub-"] = tiny.listing([])
    with pytest.raises(UserError, match=r"lists no T1 scan of ds1; name another server with --mirror"):
        openneuro.t1_files("ds1", server.url)
    server.files["?list-type=2&prefix=ds1/sub-"] = b"<html>"
    with pytest.raises(UserError, match=r"is no listing of files .*--mirror"):
        openneuro.t1_files("ds1", server.url)
    with pytest.raises(UserError, match=r"answers 404 .*download ds2/sub-\*/anat/\*_T1w\.nii\.gz by hand .*--corpus"):
        openneuro.t1_files("ds2", server.url)


def test_hearts_of_sunnybrook_are_the_first_phase_with_their_group(fetched: Callable[..., Path]) -> None:
    patients = {"SCD0000101": "SC-HF-I-1", "SCD0000201": "SC-N-2", "SCD0000301": "SC-HF-NI-3", "SCD0000401": "SC-HYP-4"}
    members: dict[str, bytes] = {}
    for number, patient in enumerate(patients):
        for place in range(3):
            for phase in range(2):  # Names do not say the phase.
                name = f"{patient}/CINESAX_{number}/IM-0001-{place:02d}{1 - phase:02d}.dcm"
                members[name] = tiny.cine_slice(Path(name), place, phase, f"1.2.{number}")
        members[f"{patient}/PERF_1/IM-0001-0001.dcm"] = b"another series"
    archives = {f"SCD_IMAGES_0{number}.zip": tiny.zipped({}) for number in range(2, 6)}
    table = "\ufeffPatientID,OriginalID,Gender,Age,Pathology\n"
    table += "".join(f"{patient},{original},Male,50,x\n" for patient, original in patients.items())
    root = fetched(
        "sunnybrook",
        **archives,
        **{"SCD_IMAGES_01.zip": tiny.zipped(members), "scd_patientdata.csv": table.encode()},
    )
    with (root / "labels.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    assert [row["label"] for row in rows] == [
        "heart failure with infarction",
        "healthy",
        "heart failure without infarction",
        "hypertrophy",
    ]
    volume = read_volume(root / rows[0]["image"])
    assert (volume.voxels.shape, volume.voxels.max() < 100) == ((3, 10, 12), True)
    assert sorted(path.name for path in root.iterdir()) == sorted(["images", "labels.csv", RECEIPT])
