"""``--executor slurm`` on the command line; what happens on a cluster is in tests/slurm."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ssl_bench.api.executor import Devices
from ssl_bench.cli import app
from ssl_bench.cli.option_groups import Scheduling
from ssl_bench.errors import UserError
from ssl_bench.executors import slurm
from ssl_bench.spec.cell import Cell
from ssl_bench.store.store import Store

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_settings_of_jobs_are_named_and_checked() -> None:
    given = ["partition=gpu", "minutes=90", "gpus=0", "extra.qos=low"]
    found = Scheduling("slurm", slurm=given).chosen(Devices()).settings
    assert isinstance(found, slurm.SlurmSettings)
    assert (found.partition, found.minutes, found.gpus, found.extra) == ("gpu", 90, 0, {"qos": "low"})
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


def test_several_gpus_are_for_pretrainings_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: dict[str, slurm.CellJob] = {}

    def record(cells: Sequence[Cell], store: Store, job: slurm.CellJob, dependency: str | None) -> dict[str, str]:
        submitted.update({cell.kind: job for cell in cells})
        return {cell.key: "1_0" for cell in cells}

    monkeypatch.setattr(slurm, "_submit_all", record)
    monkeypatch.setattr(slurm.shutil, "which", lambda command: command)
    monkeypatch.setattr(slurm, "_squeue", dict)
    call = ["matrix", "--methods", "gvsl", "--tasks", "shc", "--preset", "smoke", "--results", str(tmp_path)]
    ended = CliRunner().invoke(app, [*call, *DDP, "--slurm", "gpus=2", "--set", "pretraining.batch=4"])
    assert ended.exit_code == 0, ended.exception
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
