"""``--executor slurm`` on the command line; what happens on a cluster is in tests/slurm."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ssl_bench.api.executor import Devices
from ssl_bench.cli import app
from ssl_bench.cli.option_groups import Scheduling
from ssl_bench.errors import UserError
from ssl_bench.executors import slurm
from ssl_bench.executors.cluster import sbatch
from ssl_bench.executors.cluster.cell_job import CellJob
from ssl_bench.executors.cluster.job_array import JobArray
from ssl_bench.spec.cell import Cell

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_settings_of_jobs_are_named_and_checked() -> None:
    given = ["partition=gpu", "minutes=90", "gpus=0", "extra.qos=low"]
    found = Scheduling("slurm", slurm=given).chosen(Devices()).settings
    assert isinstance(found, slurm.SlurmSettings)
    assert (found.partition, found.minutes, found.gpus, found.extra) == ("gpu", 90, 0, {"qos": "low"})
    assert found.memory_gb == 32
    without = Scheduling("slurm", slurm=["memory_gb=none"]).chosen(Devices()).settings
    assert isinstance(without, slurm.SlurmSettings)
    assert without.memory_gb is None
    with pytest.raises(UserError, match=r"--slurm: memory_gb: .*greater than 0"):
        Scheduling("slurm", slurm=["memory_gb=0"]).chosen(Devices())
    with pytest.raises(UserError, match=r"--slurm: partitoin: .*known: partition, account"):
        Scheduling("slurm", slurm=["partitoin=gpu"]).chosen(Devices())
    with pytest.raises(UserError, match="--slurm minutes=9: needs --executor slurm"):
        Scheduling("local", slurm=["minutes=9"]).chosen(Devices())


def test_a_machine_without_slurm_is_told_so(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command("matrix", "--methods", "scratch", "--tasks", "shc", "--preset", "smoke", "--executor", "slurm")
    assert done.returncode == 2
    assert "--executor slurm: there is no sbatch here" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_shows_the_files_for_sbatch_anywhere_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    call = ["matrix", "--methods", "scratch", "--tasks", "shc", "--preset", "smoke", "--executor", "slurm", "--dry-run"]
    ended = CliRunner().invoke(app, [*call, "--results", str(tmp_path / "results"), "--slurm", "partition=gpu"])
    assert ended.exit_code == 0, ended.exception
    assert ended.stdout.count("#!/bin/bash") == 1
    assert "#SBATCH --partition=gpu" in ended.stdout
    assert "#SBATCH --array=0-1%2" in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_several_gpus_are_for_pretrainings_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: dict[str, CellJob] = {}
    cells: list[Cell] = []

    def record(array: JobArray, folder: Path, dependency: str | None) -> str:
        cells.extend(array.cells)
        submitted.update({cell.kind: array.job for cell in array.cells})
        return "1"

    monkeypatch.setattr(sbatch, "submit_array", record)
    monkeypatch.setattr(slurm.shutil, "which", lambda command: command)
    monkeypatch.setattr(slurm, "largest_array", lambda: 1000)
    call = ["matrix", "--methods", "gvsl", "--tasks", "shc", "--preset", "smoke", "--results", str(tmp_path)]
    ended = CliRunner().invoke(app, [*call, *DDP, "--slurm", "gpus=2", "--set", "pretraining.batch=4"])
    assert ended.exit_code == 0, ended.exception
    assert len(cells) > 1
    assert f"submitted cells: {len(cells)}; the same command submits what is left" in ended.stdout
    assert submitted["pretraining"].runtime.ranks == ("cuda:0", "cuda:1")
    assert submitted["pretraining"].settings.gpus == 2
    assert submitted["evaluation"].runtime.ranks == ()
    assert submitted["evaluation"].settings.gpus == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "name how many GPUs with --slurm gpus=N"),
        (["--slurm", "gpus=2", "--devices", "0,1"], "name how many GPUs with --slurm gpus=N"),
        (["--slurm", "gpus=3"], "does not divide into 3 equal shares"),
    ],
)
def test_gpus_that_cannot_share_a_batch_are_refused_before_anything_is_submitted(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm.shutil, "which", lambda command: command)
    call = ["matrix", "--methods", "gvsl", "--tasks", "shc", "--preset", "smoke", "--results", str(tmp_path)]
    ended = CliRunner().invoke(app, [*call, *DDP, *options])
    assert isinstance(ended.exception, UserError)
    assert said in str(ended.exception)


DDP = ("--executor", "slurm", "--strategy", "ddp")
