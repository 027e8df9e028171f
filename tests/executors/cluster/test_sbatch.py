"""The files that `sbatch` gets, on sites with rules of their own and with an old SLURM."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ssl_bench.errors import UserError
from ssl_bench.executors.cluster.cell_job import CellJob
from ssl_bench.executors.cluster.settings import SlurmSettings
from ssl_bench.executors.slurm import queued_cells, scripts, submit
from ssl_bench.planning.graph import with_pretrainings
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.store.store import Store
from ssl_bench.training.runtime import Runtime

from .conftest import Site, options

RUNTIME = Runtime("cpu", 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def cells_of(planner: Planner, method: str = "scratch", seeds: int = 1) -> list[Cell]:
    return with_pretrainings([planner.evaluation(method, "shc", "linear", seed) for seed in range(seeds)])


def asked(cells: list[Cell], store: Store, site: Site, **settings: Any) -> dict[str, str]:
    """The options of the one file in which `cells` are submitted."""
    submit(cells, store, SlurmSettings(**settings), RUNTIME)
    (script,) = site.scripts
    return options(script)


def test_an_old_slurm_takes_a_job_that_asks_for_all(site: Site, planner: Planner, store: Store) -> None:
    found = asked(cells_of(planner), store, site, partition="gpu", account="me", gpus=2, cpus=4, memory_gb=7, minutes=9)
    logs = store.folder / "slurm" / "logs"
    assert found == {
        "partition": "gpu", "account": "me", "gres": "gpu:2", "cpus-per-task": "4", "mem": "7GB", "time": "9",
        "job-name": "ssl-bench", "nodes": "1", "kill-on-invalid-dep": "yes", "open-mode": "append",
        "signal": "USR2@120", "output": f"{logs}/%j_0_log.out", "error": f"{logs}/%j_0_log.err",
    }  # fmt: skip
    # A newer one gives a step the cores of its job only if it asks for them.
    assert "--cpus-per-task=4 " in site.scripts[0].splitlines()[-1]


def test_memory_is_left_out_where_a_site_forbids_it(
    site: Site, planner: Planner, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORBIDS_MEM", "1")
    with pytest.raises(UserError, match=r"sbatch refused the job: .*--mem is not allowed here; correct .* memory_gb"):
        submit(cells_of(planner), store, SlurmSettings(), RUNTIME)
    assert "mem" not in asked(cells_of(planner), store, site, memory_gb="none")


@pytest.mark.parametrize(
    ("extra", "absent"),
    [
        ({"mem-per-cpu": "4G"}, "mem"),
        ({"mem_per_cpu": "4G"}, "mem"),
        ({"mem": "64G"}, ""),
        ({"gres": "gpu:a100:2"}, ""),
        ({"time": "2:00:00", "job-name": "mine", "cpus-per-task": 3, "open-mode": "truncate"}, ""),
    ],
)
def test_a_further_option_takes_the_place_of_ours(
    extra: dict[str, Any], absent: str, site: Site, planner: Planner, store: Store
) -> None:
    found = asked(cells_of(planner), store, site, extra=extra)
    assert found.items() >= {(name.replace("_", "-"), str(value)) for name, value in extra.items()}
    assert absent not in found


def test_a_further_option_may_be_a_flag_or_take_one_away(site: Site, planner: Planner, store: Store) -> None:
    found = asked(cells_of(planner), store, site, extra={"requeue": True, "kill-on-invalid-dep": False})
    assert found["requeue"] == ""
    assert "kill-on-invalid-dep" not in found


def sizes(site: Site) -> list[int]:
    found = (re.match(r"0-(\d+)%", options(script).get("array", "0-0%")) for script in site.scripts)
    return [int(match[1]) + 1 for match in found if match]


def test_arrays_are_as_long_as_the_cluster_says(site: Site, planner: Planner, store: Store) -> None:
    cells = cells_of(planner, seeds=150)
    assert submit(cells, store, SlurmSettings(), RUNTIME) == 150
    assert sizes(site) == [100, 50]
    site.queue.write_text("1001_99|RUNNING|None\n1002_0|PENDING|Resources\n")
    assert set(queued_cells(store)) == {cells[99].key, cells[100].key}


def test_arrays_are_as_long_as_a_setting_says(
    site: Site, planner: Planner, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMIT", "3")
    (site.commands / "scontrol").unlink()
    with pytest.raises(UserError, match=r"Invalid job array specification; correct .* array_size"):
        submit(cells_of(planner, seeds=7), store, SlurmSettings(), RUNTIME)
    assert submit(cells_of(planner, seeds=7), store, SlurmSettings(array_size=3), RUNTIME) == 7
    assert sizes(site) == [3, 3, 1]


def test_without_arrays_every_cell_is_a_job(site: Site, planner: Planner, store: Store) -> None:
    (site.commands / "scontrol").write_text("#!/bin/bash\necho 'MaxArraySize = 0'\n")
    submit(cells_of(planner, seeds=2), store, SlurmSettings(), RUNTIME)
    assert not any("array" in options(script) for script in site.scripts)
    kept = [json.loads(path.read_text()) for path in sorted((store.folder / "slurm").glob("array-*.json"))]
    assert [list(tasks) for tasks in kept] == [["1001"], ["1002"]]


def test_what_a_dry_run_shows_is_what_is_submitted(site: Site, planner: Planner, store: Store) -> None:
    cells, settings = cells_of(planner, "denoising", seeds=2), SlurmSettings(extra={"qos": "low"})
    shown = scripts(cells, store, settings, RUNTIME)
    assert not site.scripts
    assert not store.folder.exists()
    submit(cells, store, settings, RUNTIME)
    assert [text.partition("\n")[0] for text in shown] == [
        "# JOB1 of 3, pretraining cells: 2",
        "# JOB2 of 3, evaluation cells: 1",
        "# JOB3 of 3, evaluation cells: 1",
    ]
    texts = [re.sub(r"JOB(\d)", r"100\1", text.partition("\n")[2]) for text in shown]
    assert texts == site.scripts
    assert [options(script).get("dependency") for script in site.scripts] == [None, "afterok:1001_0", "afterok:1001_1"]


def test_what_is_queued_is_neither_shown_nor_submitted_again(site: Site, planner: Planner, store: Store) -> None:
    cells = cells_of(planner, "denoising", seeds=2)
    submit(cells, store, SlurmSettings(), RUNTIME)
    site.queue.write_text("1001_0|RUNNING|None\n1002|PENDING|Dependency\n1003|PENDING|Dependency\n")
    (shown,) = scripts(cells, store, SlurmSettings(), RUNTIME)
    assert submit(cells, store, SlurmSettings(), RUNTIME) == 1
    assert shown.partition("\n")[2] == site.scripts[-1]


def test_an_answer_of_sbatch_without_a_number_is_an_error(site: Site, planner: Planner, store: Store) -> None:
    (site.commands / "sbatch").write_text("#!/bin/bash\necho 'welcome'\n")
    with pytest.raises(UserError, match="sbatch refused the job"):
        submit(cells_of(planner), store, SlurmSettings(), RUNTIME)


def test_a_job_that_is_to_end_lets_its_cell_stop_and_is_queued_again(tmp_path: Path) -> None:
    """What submitit asks of it before preemption or the time limit."""
    job = CellJob(tmp_path, RUNTIME, SlurmSettings(minutes=9))
    ends = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); print(flush=True); signal.pause()"
    job.child = subprocess.Popen([sys.executable, "-c", f"import signal, sys; {ends}"], stdout=subprocess.PIPE)
    assert job.child.stdout is not None
    job.child.stdout.readline()
    again = job.checkpoint("0123456789abcdef")
    assert job.child.returncode == 3, "it was told to end and has ended in order"
    assert (again.args, again.kwargs) == (("0123456789abcdef",), {})
    assert isinstance(again.function, CellJob)
    assert again.function is not job
    assert (again.function.results, again.function.runtime, again.function.settings) == (
        (job.results, job.runtime, job.settings)
    )
