"""``--executor slurm`` on the command line; what happens on a cluster is in tests/slurm."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ssl_bench.cli.option_groups import Scheduling
from ssl_bench.cli.slurm import slurm_settings
from ssl_bench.errors import UserError

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_settings_of_jobs_are_named_and_checked() -> None:
    given = ["partition=gpu", "minutes=90", "gpus=0", "extra.qos=low"]
    found = slurm_settings(Scheduling("slurm", slurm=given))
    assert found is not None
    assert (found.partition, found.minutes, found.gpus, found.extra) == ("gpu", 90, 0, {"qos": "low"})
    with pytest.raises(UserError, match=r"--slurm: partitoin: .*known: partition, account"):
        slurm_settings(Scheduling("slurm", slurm=["partitoin=gpu"]))
    with pytest.raises(UserError, match="--slurm minutes=9: needs --executor slurm"):
        slurm_settings(Scheduling("local", slurm=["minutes=9"]))


def test_a_machine_without_slurm_is_told_so(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command("matrix", "--methods", "scratch", "--tasks", "shc", "--preset", "smoke", "--executor", "slurm")
    assert done.returncode == 2
    assert "--executor slurm: there is no sbatch here" in done.stderr
    assert "Traceback" not in done.stderr
