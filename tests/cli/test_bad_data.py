"""Whatever is wrong with a data set: said by file with a reason, exit 2, nothing half-written, good cases ready."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from ssl_bench.files import TEMPORARY_SUFFIX
from tests.cli.conftest import Invoke
from tests.data.files import ct, heart, save

pytestmark = pytest.mark.usefixtures("fresh_registry")

IMAGE, LABEL = "ct_train_1002_image.nii.gz", "ct_train_1002_label.nii.gz"


def hearts(root: Path) -> None:
    """Three cases of MM-WHS; the second is about to be spoiled."""
    for number in (1, 2, 3):
        save(root / f"ct_train_100{number}_image.nii.gz", ct(number))
        save(root / f"ct_train_100{number}_label.nii.gz", heart())


def rewrite(path: Path, voxels: Any = None, affine: Any = None) -> None:
    """Replace voxels (x, y, z) or affine of a NIfTI file."""
    old = nib.load(path)
    nib.save(
        nib.Nifti1Image(
            np.asarray(old.dataobj) if voxels is None else voxels, old.affine if affine is None else affine
        ),
        path,
    )


def changed(path: Path, change: Callable[[Any], Any]) -> None:
    rewrite(path, change(np.asarray(nib.load(path).dataobj).astype(np.float32)))


def with_value(value: float) -> Callable[[Any], Any]:
    def change(voxels: Any) -> Any:
        voxels[1, 1, 1] = value
        return voxels

    return change


def in_header(path: Path, offset: int, value: bytes) -> None:
    """Overwrite bytes of a NIfTI header."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[offset : offset + len(value)] = value
    path.write_bytes(gzip.compress(bytes(content)))


SHEARED = np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
Spoil = Callable[[Path], Any]
HEART_PROBLEMS: dict[str, tuple[str, str, Spoil]] = {
    "image truncated": (IMAGE, "cut short", lambda d: os.truncate(d / IMAGE, 900)),
    "image empty": (IMAGE, "empty", lambda d: (d / IMAGE).write_bytes(b"")),
    "image is text": (IMAGE, "", lambda d: (d / IMAGE).write_text("hello, this is no scan at all")),
    "image is a web page": (IMAGE, "", lambda d: (d / IMAGE).write_text("<html>403 Forbidden</html>" * 40)),
    "image corrupted": (IMAGE, "", lambda d: (d / IMAGE).write_bytes((d / IMAGE).read_bytes()[:-9] + b"123456789")),
    "image has NaN": (IMAGE, "NaN", lambda d: changed(d / IMAGE, with_value(np.nan))),
    "image has infinity": (IMAGE, "infinite", lambda d: changed(d / IMAGE, with_value(np.inf))),
    "image has one slice": (IMAGE, "", lambda d: changed(d / IMAGE, lambda v: v[:, :, :1])),
    "image has two frames": (IMAGE, "", lambda d: changed(d / IMAGE, lambda v: np.stack([v, v], -1))),
    "image is complex": (IMAGE, "", lambda d: rewrite(d / IMAGE, np.ones((16, 14, 12), np.complex64))),
    "image is constant": (IMAGE, "every voxel", lambda d: changed(d / IMAGE, lambda v: v * 0)),
    "image is sheared": (IMAGE, "", lambda d: rewrite(d / IMAGE, affine=SHEARED)),
    "image has voxels of 50 mm": (IMAGE, "mm", lambda d: rewrite(d / IMAGE, affine=np.diag([50, 50, 50, 1.0]))),
    "image has an unknown data type": (IMAGE, "", lambda d: in_header(d / IMAGE, 70, b"\xff\x7f")),
    "image claims more voxels than it holds": (IMAGE, "", lambda d: in_header(d / IMAGE, 42, b"\x00\x10")),
    "image missing": (LABEL, "", lambda d: (d / IMAGE).unlink()),
    "image is a dangling link": (IMAGE, "", lambda d: ((d / IMAGE).unlink(), (d / IMAGE).symlink_to("gone"))),
    "image twice": (IMAGE, "", lambda d: save(d / "ct_train_1002_image.nii", ct(9))),
    "scan twice": ("ct_train_1003_image.nii.gz", "the same scan", lambda d: same_scan(d)),
    "label missing": (IMAGE, "", lambda d: (d / LABEL).unlink()),
    "label truncated": (LABEL, "cut short", lambda d: os.truncate(d / LABEL, 100)),
    "label has NaN": (LABEL, "NaN", lambda d: changed(d / LABEL, with_value(np.nan))),
    "label out of range": (LABEL, "999", lambda d: changed(d / LABEL, with_value(999))),
    "label negative": (LABEL, "-1", lambda d: changed(d / LABEL, with_value(-1))),
    "label fractional": (LABEL, "not whole", lambda d: changed(d / LABEL, with_value(499.5))),
    "label without any class": (LABEL, "no voxel of any class", lambda d: changed(d / LABEL, lambda v: v * 0)),
    "label of another shape": (LABEL, "grid", lambda d: changed(d / LABEL, lambda v: v[:-2])),
    "label somewhere else": (LABEL, "grid", lambda d: save(d / LABEL, heart(), shift=(0, 3, 0))),
}


def same_scan(folder: Path) -> None:
    shutil.copy(folder / "ct_train_1001_image.nii.gz", folder / "ct_train_1003_image.nii.gz")


def assert_nothing_half_written(*folders: Path) -> None:
    for folder in folders:
        assert not list(folder.rglob(f"*{TEMPORARY_SUFFIX}*"))


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", HEART_PROBLEMS)
def test_a_bad_case_is_named_and_the_good_ones_are_prepared(name: str, invoke: Invoke, tmp_path: Path) -> None:
    data, (file, reason, spoil) = tmp_path / "data", HEART_PROBLEMS[name]
    hearts(data)
    spoil(data)
    before = files_of(data)
    checked = invoke("data", "check", "shc", "--data-root", data, "--workers", 1, "--quiet")
    assert checked.code == 2
    (line,) = [line for line in checked.err.splitlines() if line.startswith(f"{data / file}: ")]
    assert reason in line
    assert "Traceback" not in checked.err
    if name == "scan twice":  # a matter of the data set, not of preparing a case
        return
    prepared = invoke("data", "prepare", "shc", "--data-root", data, "--workers", 1, "--quiet")
    assert prepared.code == 2
    assert str(data / file) in prepared.err
    assert prepared.out.startswith("2 of ")
    assert files_of(data) == before
    assert_nothing_half_written(tmp_path)


def chests(root: Path, table: str | bytes) -> None:
    """Three chests of STOIC and their table."""
    for number in (1, 2, 3):
        import SimpleITK as sitk

        (root / "data" / "mha").mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(ct(number)), str(root / "data" / "mha" / f"{number}.mha"))
    (root / "metadata").mkdir()
    (root / "metadata" / "reference.csv").write_bytes(table if isinstance(table, bytes) else table.encode())


GOOD = "PatientID,probCOVID,probSevere\n1,0,0\n2,1,0\n3,1,1\n"
TABLE_PROBLEMS = {
    "wrong delimiter": (GOOD.replace(",", ";"), "';'"),
    "missing column": (GOOD.replace("probCOVID", "covid"), "probCOVID"),
    "not text": (b"\xff\xfe\x00\x01PK\x03\x04" * 20, ""),
    "empty": ("", ""),
    "label neither 0 nor 1": (GOOD.replace("2,1,0", "2,2,0"), "neither 0 nor 1"),
    "label missing": (GOOD.replace("2,1,0", "2,,0"), "neither 0 nor 1"),
    "row without scan": (GOOD + "4,1,0\n", "no scan"),
    "patient twice": (GOOD + "2,0,0\n", "already"),
}


@pytest.mark.parametrize("name", TABLE_PROBLEMS)
def test_a_bad_table_is_named(name: str, invoke: Invoke, tmp_path: Path) -> None:
    text, reason = TABLE_PROBLEMS[name]
    chests(tmp_path / "data", text)
    checked = invoke("data", "check", "ccc", "--data-root", tmp_path / "data", "--workers", 1, "--quiet")
    assert checked.code == 2
    table = tmp_path / "data" / "metadata" / "reference.csv"
    assert any(line.startswith(f"{table}: ") and reason in line for line in checked.err.splitlines())


def test_a_scan_without_a_row_is_named(invoke: Invoke, tmp_path: Path) -> None:
    chests(tmp_path / "data", GOOD.replace("3,1,1\n", ""))
    checked = invoke("data", "check", "ccc", "--data-root", tmp_path / "data", "--workers", 1, "--quiet")
    assert checked.code == 2
    assert f"{tmp_path / 'data' / 'data' / 'mha' / '3.mha'}: has no row" in checked.err


@pytest.mark.parametrize("task", ["shc", "sac", "sbm", "ccc", "corpus"])
def test_an_empty_folder_says_what_was_expected(task: str, invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    checked = invoke("data", "check", task, "--data-root", tmp_path / "data", "--quiet")
    assert checked.code == 2
    assert str(tmp_path / "data") in checked.err


def test_a_folder_that_is_not_there_is_one_line(invoke: Invoke, tmp_path: Path) -> None:
    checked = invoke("data", "check", "shc", "--data-root", tmp_path / "nowhere", "--quiet")
    assert checked.code == 2
    assert checked.err.count("\n") == 1
    assert "nowhere: no such folder" in checked.err


def test_a_patient_in_two_splits_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    data, split = tmp_path / "data", tmp_path / "split.json"
    hearts(data)
    assert invoke("data", "split", "shc", "--data-root", data, "--out", split).code == 0
    split.write_text(split.read_text().replace("ct_train_1003", "ct_train_1001").replace("1002", "1001"))
    run = ("run", "--method", "scratch", "--task", "shc", "--data-root", data, "--results", tmp_path / "results")
    done = invoke(*run, "--split", split, "--quiet", "--preset", "smoke")
    assert done.code == 2
    assert "ct_train_1001" in done.err
    assert "keep a patient's cases together" in done.err


def test_a_full_disk_while_preparing_is_said_and_leaves_nothing(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearts(tmp_path / "data")

    def full(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(np.lib.format, "write_array_header_1_0", full)
        failed = invoke("data", "prepare", "shc", "--data-root", tmp_path / "data", "--workers", 1, "--quiet")
    assert failed.code == 2
    assert failed.out.startswith("0 of 3")
    assert "No space left on device" in failed.err
    assert_nothing_half_written(tmp_path)
    again = invoke("data", "prepare", "shc", "--data-root", tmp_path / "data", "--workers", 1, "--quiet")
    assert again.code == 0
    assert again.out.startswith("3 of 3")


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ("{", "dataset.json"),
        ('{"channel_names": {"0": "CT"}}', "labels"),
        (
            '{"channel_names": {"0": "T1", "2": "T2"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii"}',
            "gap",
        ),
        (None, "dataset.json"),
    ],
    ids=["not JSON", "no labels", "a channel left out", "no description"],
)
def test_a_bad_nnunet_description_is_one_line(
    description: str | None, said: str, invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    if description is not None:
        (tmp_path / "data" / "dataset.json").write_text(description)
    checked = invoke("data", "check", f"nnunet:{tmp_path / 'data'}", "--quiet")
    assert checked.code == 2
    assert said in checked.err
    assert checked.err.count("\n") == 1
