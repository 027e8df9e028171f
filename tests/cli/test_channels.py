"""A set of four channels through the command line: checked, prepared, run, reported, and what is refused on the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from tests.cli.conftest import Done, Invoke
from tests.data.brats import CHANNELS, head, save, write_brats

pytestmark = pytest.mark.usefixtures("fresh_registry")

NAME = "nnunet-Dataset001_BRATS"
KEPT = [f"--set=data.{name}.spacing_mm=null" for name in (NAME, "corpus")]
SHORT = [f"--set=protocols.linear-v1.{name}=1" for name in ("steps", "validate_every")]
SHORT += ["--set=pretraining.steps=1", "--set=pretraining.crop=16", "--set=crop=16"]
DECLARED = f"--set=data.corpus.channels={json.dumps(CHANNELS)}"


@pytest.fixture
def brats(tmp_path: Path) -> Path:
    write_brats(tmp_path / "Dataset001_BRATS", cases=6)
    return tmp_path / "Dataset001_BRATS"


def smoke(invoke: Invoke, brats: Path, *arguments: object) -> Done:
    """Cells of the smoke preset with one step each, on windows of 16 voxels."""
    store = ("--results", brats.parent / "results", "--quiet", "--preset", "smoke", "--protocol", "linear-v1")
    return invoke("run", "--task", f"nnunet:{brats}", *store, *KEPT, *SHORT, *arguments)


def record_of(brats: Path, row: str) -> EvaluationRecord:
    records = Store(brats.parent / "results").records()
    (found,) = [one for one in records if isinstance(one, EvaluationRecord) and one.spec.row == row]
    return found


def write_corpus(root: Path, scans: range) -> None:
    for number in scans:
        images, labels = head(number)
        for index, channel in enumerate(CHANNELS):
            save(root / "scans" / f"p{number}_{index:04d}.nii.gz", images[channel])
        save(root / "labels" / f"p{number}.nii.gz", labels)


def test_four_channels_are_checked_prepared_run_and_reported(invoke: Invoke, brats: Path) -> None:
    checked = invoke("data", "check", f"nnunet:{brats}", *KEPT, "--workers", 1, "--quiet")
    assert checked.code == 0
    assert "usable cases: 6, problems: 0" in checked.out
    assert all(f"{channel} (mr) 0 to " in checked.out for channel in CHANNELS)
    seen = json.loads(invoke("data", "check", f"nnunet:{brats}", *KEPT, "--workers", 1, "--quiet", "--json").out)
    assert [channel["name"] for channel in seen["cases"][0]["channels"]] == list(CHANNELS)
    prepared = invoke("data", "prepare", f"nnunet:{brats}", *KEPT, "--workers", 1, "--quiet")
    assert (prepared.code, prepared.out) == (0, "6 of 6 cases are ready\n")
    arrays = [np.load(file, mmap_mode="r") for file in (brats.parent / "cache" / "prepared").glob("*/image.npy")]
    assert [array.shape for array in arrays] == [(4, 24, 24, 24)] * 6
    ran = smoke(invoke, brats, "--method", "scratch")
    assert ran.code == 0, ran.err
    record = record_of(brats, "scratch")
    assert (record.spec.data.channels, record.spec.stem) == (4, "")
    assert record.spec.data.recipe["channels"] == list(CHANNELS)
    reported = invoke("report", "--results", brats.parent / "results", "--format", "md")
    assert reported.code == 0
    assert f"| {NAME} linear-v1 DSC |" in reported.out
    shown = invoke("data", "show", f"nnunet:{brats}", *KEPT, "--out", brats.parent / "brats.png")
    assert shown.code == 0


def test_weights_of_one_channel_enter_by_a_declared_stem_alone(invoke: Invoke, brats: Path) -> None:
    undeclared = smoke(invoke, brats, "--method", "denoising")
    assert undeclared.code == 2
    assert undeclared.err == (
        f"ssl-bench: task {NAME!r}: its volumes have 4 channels, and denoising was pre-trained on volumes of one "
        "channel; say how they enter with --stem copy or --stem new\n"
    )
    wrong = smoke(invoke, brats, "--method", "denoising", "--stem", "mean")
    assert wrong.code == 2
    assert "--stem mean averages several channels; use --stem copy or --stem new" in wrong.err
    for stem in ("copy", "new"):
        done = smoke(invoke, brats, "--method", "denoising", "--stem", stem)
        assert done.code == 0, done.err
    copied, new = (record_of(brats, f"denoising (stem {stem})") for stem in ("copy", "new"))
    assert copied.spec.backbone == new.spec.backbone
    assert copied.key != new.key
    assert (copied.modules.tensors_matched, new.modules.tensors_matched) == (72, 71)


def test_a_corpus_of_as_many_channels_needs_no_stem_and_is_guarded_in_every_channel(
    invoke: Invoke, brats: Path
) -> None:
    corpus = brats.parent / "corpus"
    write_corpus(corpus, range(20, 26))
    ran = smoke(invoke, brats, "--method", "denoising", "--corpus", corpus, DECLARED)
    assert ran.code == 0, ran.err
    assert "6 of its files are label maps" in ran.err
    record = record_of(brats, "denoising")
    assert (record.spec.backbone.channels, record.spec.stem, record.overlap) == (4, "", [])
    # One channel of a test case, as another channel of a scan of the corpus.
    (test,) = [case["case"] for case in record.cases][:1]
    shutil.copy(brats / "imagesTr" / f"{test}_0003.nii.gz", corpus / "scans" / "p21_0001.nii.gz")
    leaked = smoke(invoke, brats, "--method", "denoising", "--corpus", corpus, DECLARED)
    assert leaked.code == 2
    assert (
        f"p21_0000.nii.gz: the same scan as {test}, a validation or test case of {NAME} (1 such in all)" in leaked.err
    )


def test_missing_channels_are_refused_or_0_and_counted(invoke: Invoke, brats: Path) -> None:
    for lacking in ("BRATS_002_0001.nii.gz", "BRATS_004_0001.nii.gz"):
        (brats / "imagesTr" / lacking).unlink()
    refused = invoke("data", "prepare", f"nnunet:{brats}", *KEPT, "--workers", 1, "--quiet")
    assert refused.code == 2
    assert refused.err.count("the case lacks channel T1ce; add the file") == 2
    assert f"--set data.{NAME}.missing_channels=zero" in refused.err
    allowed = f"--set=data.{NAME}.missing_channels=zero"
    filled = invoke("data", "prepare", f"nnunet:{brats}", *KEPT, allowed, "--workers", 1, "--quiet")
    assert filled.code == 0
    assert "2 of 6 cases: channel T1ce is missing and 0 everywhere (BRATS_002: 1 of 4 channels)" in filled.err
