"""Corpora in the layouts of public archives: label maps are left out and counted, scans are all taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ssl_bench.data.folder_corpus import FolderCorpus
from ssl_bench.data.folder_source import Preparation
from ssl_bench.errors import UserError
from tests.data.files import ct, heart, save

# "!" marks label maps, "?" those without a label; {k} counts the subjects.
LAYOUTS = {
    "TotalSegmentator": ["s{k}/ct.nii.gz", "!s{k}/segmentations/liver.nii.gz", "?s{k}/segmentations/spleen.nii.gz"],
    "Medical Segmentation Decathlon": ["imagesTr/liver_{k}.nii.gz", "!labelsTr/liver_{k}.nii.gz"],
    "nnU-Net": ["imagesTr/c{k}_0000.nii.gz", "!labelsTr/c{k}.nii.gz"],
    "KiTS": ["case_{k}/imaging.nii.gz", "?case_{k}/segmentation.nii.gz"],
    "LiTS": ["volume-{k}.nii", "!segmentation-{k}.nii"],
    "BTCV": ["img/img000{k}.nii.gz", "!label/label000{k}.nii.gz"],
    "BIDS": ["sub-{k}/anat/sub-{k}_T1w.nii.gz", "!sub-{k}/anat/sub-{k}_T1w_anonmask.nii.gz"],
    "VerSe": ["rawdata/sub-{k}/sub-{k}_ct.nii.gz", "!derivatives/sub-{k}/sub-{k}_seg-vert_msk.nii.gz"],
    "LUNA16": ["subset0/1.3.6.{k}.mhd", "!seg-lungs-LUNA16/1.3.6.{k}.mhd"],
    "ASOCA": ["Train/{k}.nrrd", "!Train_Masks/{k}.nrrd"],
    "ACDC": ["patient{k}/patient{k}_frame01.nii.gz", "!patient{k}/patient{k}_frame01_gt.nii.gz"],
    "BraTS": ["B_{k}/B_{k}_t1.nii.gz", "B_{k}/B_{k}_flair.nii.gz", "!B_{k}/B_{k}_seg.nii.gz"],
    "FreeSurfer": ["s{k}/mri/T1.nii.gz", "!s{k}/mri/aseg.nii.gz", "!s{k}/mri/aparc+aseg.nii.gz"],
    "ImageCAS": ["{k}.img.nii.gz", "!{k}.label.nii.gz"],
    "Slicer": ["{k}.nrrd", "!{k}.seg.nrrd"],
    "scans in a folder for labelling": ["label_study/{k}.nii.gz"],
    "scans called after segments": ["segment_{k}_seg.nii.gz"],
}


def write(path: Path, kind: str, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = {"!": heart(value=1 + seed % 2), "?": heart(value=0)}.get(kind, ct(seed))
    if ".nii" in path.name:
        return save(path, voxels)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    return path


def corpus(root: Path, *, take_labels: bool = False, say: Callable[[str], None] = print) -> FolderCorpus:
    """Of which `say` gets what is said of label maps."""
    preparation = Preparation(warn=lambda line: say(line) if "label map" in line else None)
    return FolderCorpus(root, preparation, {"spacing_mm": None}, 0, take_labels)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_public_layouts_give_their_scans_and_no_label_map(layout: str, tmp_path: Path) -> None:
    root, patterns, scans = tmp_path / "archive", LAYOUTS[layout], set()
    for k in range(2):
        for number, pattern in enumerate(patterns):
            path = root / pattern.strip("!?").format(k=k)
            write(path, pattern[0], 10 * k + number)
            scans |= set() if pattern[0] in "!?" else {path}
    said: list[str] = []
    source = corpus(root, say=said.append)
    assert {case.image for case in source.found.cases if case.identifier in source.cases} == scans
    assert source.left_out == ()
    count = 2 * len(patterns) - len(scans)
    assert len(said) == bool(count)
    if count:
        assert f"{count} of its files are label maps, not scans, and are left out" in said[0]
        assert "--take-labels takes them as scans" in said[0]


def test_the_option_takes_everything(tmp_path: Path) -> None:
    for number, name in enumerate(("a.nii", "a_label.nii", "b/mask.nii")):
        write(tmp_path / "corpus" / name, "!" if number else "", number)
    said: list[str] = []
    assert len(corpus(tmp_path / "corpus", say=said.append).cases) == 1
    source = corpus(tmp_path / "corpus", take_labels=True, say=said.append)
    assert sorted(source.cases) == ["a", "a_label", "b-mask"]
    assert len(said) == 1


def test_label_maps_that_a_listing_names_are_left_out_too(tmp_path: Path) -> None:
    write(tmp_path / "a.nii", "", 0)
    write(tmp_path / "b.nii", "!", 1)
    (tmp_path / "list.csv").write_text("path\na.nii\nb.nii\n")
    assert list(corpus(tmp_path / "list.csv").cases) == ["a"]


def test_a_scan_of_zeros_that_nothing_calls_a_label_stops_the_run(tmp_path: Path) -> None:
    write(tmp_path / "scans" / "a.nii", "", 0)
    write(tmp_path / "scans" / "b.nii", "?", 1)
    with pytest.raises(UserError, match=r"b\.nii: every voxel is 0; replace the file or leave the case out"):
        _ = corpus(tmp_path / "scans").cases


def test_a_folder_of_label_maps_alone_names_the_way_out(tmp_path: Path) -> None:
    write(tmp_path / "corpus" / "a.nii", "!", 0)
    with pytest.raises(UserError, match="no usable case: 1 of its files are label maps, not scans; --take-labels"):
        _ = corpus(tmp_path / "corpus").cases


def test_the_key_of_a_corpus_is_that_of_its_scans_alone(tmp_path: Path) -> None:
    write(tmp_path / "alone" / "a.nii", "", 0)
    for kind, name in (("", "a.nii"), ("!", "a_seg.nii"), ("!", "b.nii")):
        write(tmp_path / "both" / name, kind, 0)
    alone, both = (corpus(tmp_path / name).describe() for name in ("alone", "both"))
    assert alone == both


def test_a_corpus_that_changes_along_the_depth_alone_is_judged(tmp_path: Path) -> None:
    slab = np.zeros((20, 12, 12), np.int16)
    slab[8:12] = 3
    save(tmp_path / "corpus" / "slab.nii", slab)
    save(tmp_path / "corpus" / "scan.nii", ct())
    assert list(corpus(tmp_path / "corpus").cases) == ["scan"]
