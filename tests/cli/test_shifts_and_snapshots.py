"""``--shifts`` and ``--snapshots``: wrong ones cost one line and nothing else, right ones plan what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Invoke

RUN = "run --method denoising --task sbm --protocol linear --preset smoke --quiet"
MATRIX = "matrix --methods scratch,denoising --tasks sbm --protocols linear --preset smoke --precision float32"
PRETRAIN = "pretrain --method denoising --preset smoke --quiet --out"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{RUN} --shifts fog", "--shifts fog: 'fog' is no shift; use all, or some of noise, bias, gamma, thickness"),
        (f"{MATRIX} --dry-run --shifts noise,fog", "--shifts noise,fog: 'fog' is no shift"),
        ("evaluate --backbone none.safetensors --task sbm --shifts fog", "--shifts fog"),
        (f"{RUN} --snapshots 0", "--snapshots 0: use at least 1 and at most the 4 steps of the pre-training"),
        (f"{RUN} --snapshots 5", "--snapshots 5: use at least 1 and at most the 4 steps"),
        (f"{MATRIX} --dry-run --snapshots -1", "--snapshots -1: use at least 1"),
        (f"{RUN} --snapshots some", "--snapshots"),
        (f"{RUN.replace('denoising', 'scratch')} --snapshots 2", "no method that is named pre-trains; leave it out"),
    ],
)
def test_bad_input_is_one_line(command: str, said: str, invoke: Invoke, tmp_path: Path) -> None:
    done = invoke(*command.split(), "--results", tmp_path / "results")
    assert done.code == 2
    assert done.out == ""
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_pretrain_refuses_a_wrong_number_too(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke(*PRETRAIN.split(), tmp_path / "out.safetensors", "--snapshots", 9, "--results", tmp_path / "results")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "--snapshots 9: use at least 1" in done.err
    assert not (tmp_path / "out.safetensors").exists()


def test_a_matrix_plans_each_snapshot_once_and_keeps_the_keys_of_what_has_none(invoke: Invoke) -> None:
    plain, more = invoke(*MATRIX.split(), "--dry-run"), invoke(*MATRIX.split(), "--dry-run", "--snapshots", 3)
    assert (plain.code, more.code) == (0, 0)
    lines = [line.split("  ") for line in more.out.splitlines() if "to do" in line]
    titles = [line[-1] for line in lines]
    assert titles == [
        "scratch sbm linear-v2, seed 0",
        "denoising pre-training, seed 0",
        "denoising sbm linear-v2, seed 0, snapshot at step 1",
        "denoising sbm linear-v2, seed 0, snapshot at step 2",
        "denoising sbm linear-v2, seed 0",
    ]
    assert {line.split()[0] for line in plain.out.splitlines() if "to do" in line} <= {line[0] for line in lines}


def test_what_a_shift_cannot_change_is_planned_without_and_named(invoke: Invoke) -> None:
    matrix = MATRIX.replace("sbm", "shc").replace("linear", "match") + " --dry-run"
    plain, more = invoke(*matrix.split()), invoke(*matrix.split(), "--shifts", "noise")
    assert (plain.code, more.code) == (0, 0), more.err
    assert more.err.splitlines() == [
        *plain.err.splitlines(),
        "--shifts leaves cells as they are: control:position sees no intensities, and nothing else is changed by noise",
        "--shifts leaves cells as they are: control:truth knows every shift",
    ]
    before, after = (
        {line.split("  ")[-1]: line.split()[0] for line in done.out.splitlines() if "to do" in line}
        for done in (plain, more)
    )
    changed = {title for title, key in after.items() if before[title] != key}
    assert changed == {
        f"{row} shc match-v1, seed 0" for row in ("scratch", "denoising", "control:patches", "control:mind")
    }


@pytest.mark.slow
def test_a_run_under_shifts_and_along_snapshots_is_reported(invoke: Invoke, tmp_path: Path) -> None:
    results = ("--results", tmp_path / "results")
    probe = RUN.replace("linear", "probe-v1")
    done = invoke(*probe.split(), "--shifts", "noise,rotation", "--snapshots", 2, "--threads", 1, *results)
    assert done.code == 0, done.err
    assert [", step 1 " in line for line in done.out.splitlines()[:2]] == [True, False]
    again = invoke(*probe.split(), "--shifts", "rotation, noise", "--snapshots", 2, "--threads", 1, *results)
    assert again.out == done.out
    text = invoke("report", *results).out
    assert "### Robustness" in text
    assert "| rotation: 10, 20, 30 degrees | denoising | no |" in text
    assert "| noise: 0.05, 0.1, 0.15 of the intensity range | denoising | yes |" in text
    assert "| Method | Step 1 | Step 4 |" in text
    out = tmp_path / "out.safetensors"
    kept = invoke(*PRETRAIN.split(), out, "--snapshots", 2, "--threads", 1, *results)
    assert kept.code == 0, kept.err
    (snapshot,) = (tmp_path / "results").glob("pretrained/*/snapshots/*.safetensors")
    assert f"snapshots: {snapshot.parent}" in kept.out
    read = invoke("evaluate", "--backbone", snapshot, *probe.split()[3:], "--threads", 1, *results)
    assert read.code == 0, read.err
    first = next(line for line in done.out.splitlines() if "denoising" in line)
    assert read.out.split("DSC ")[1][:5] == first.split("DSC ")[1][:5]
