"""A matrix on a real SLURM of two nodes with two fake GPUs each: it ends whatever happens to client, node and job.

``slurm_local.sh install`` installs the daemons (Debian, root); the tests start and stop their own cluster.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ssl_bench.api.settings import load_preset
from ssl_bench.executors.cluster.settings import SlurmSettings
from ssl_bench.executors.slurm import queued_cells, submit
from ssl_bench.planning.graph import with_pretrainings
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord
from ssl_bench.store.store import Store
from ssl_bench.training.runtime import Runtime

pytestmark = pytest.mark.slurm

SCRIPT = Path(__file__).with_name("slurm_local.sh")
SMALL = SlurmSettings(gpus=1, cpus=1, memory_gb=3, minutes=30)
RUNTIME = Runtime("cpu", 1, checkpoint_seconds=1.0)
LONG = ("pretraining.steps=150", "pretraining.watch_every=1000")
DEADLINE_SECONDS = 240


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., None]]:
    """A running cluster; call it with the script's commands, such as ``kill-node n1``."""
    if shutil.which("slurmctld") is None:
        pytest.skip(f"SLURM IS NOT INSTALLED AND NOTHING OF IT IS TESTED: run {SCRIPT.name} install")
    environment = os.environ | {"SL_DIR": str(tmp_path_factory.mktemp("slurm")), "SL_DBD": "0"}

    def script(*arguments: str) -> str:
        done = subprocess.run([str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    script("start")
    added = dict(
        line.removeprefix("export ").partition("=")[::2] for line in script("env").splitlines() if "export" in line
    )
    before = dict(os.environ)
    os.environ.update({name: os.path.expandvars(value.strip("'\";")) for name, value in added.items()})
    yield lambda *arguments: script(*arguments) and None
    os.environ.clear()
    os.environ.update(before)
    script("stop")


def cells_of(*overrides: str, methods: tuple[str, ...] = ("scratch", "denoising", "rotation")) -> list[Cell]:
    planner = Planner(load_preset("smoke", overrides), overrides, "float32")
    tasks, protocols = ("shc", "sac"), ("linear",)
    return with_pretrainings([planner.evaluation(m, task, p, 0) for m in methods for task in tasks for p in protocols])


def until(happened: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < end, f"{what} did not happen; {logs()}"
        time.sleep(1)


def logs() -> str:
    return subprocess.run(["squeue"], capture_output=True, text=True, check=False).stdout


def records(cells: list[Cell], store: Store) -> list[AnyRecord]:
    found = [store.record(cell) for cell in cells]
    assert all(record is not None for record in found), "a cell has no success"
    return [record for record in found if record is not None]


def scores(found: list[AnyRecord]) -> list[object]:
    return [record.model_dump(exclude={"cost", "provenance"}) for record in found]


def test_a_matrix_completes_and_a_double_submission_is_harmless(cluster: Callable[..., None], tmp_path: Path) -> None:
    store, cells = Store(tmp_path), cells_of()
    assert submit(cells, store, SMALL, RUNTIME) == len(cells)
    assert submit(cells, store, SMALL, RUNTIME) == 0
    # A second client that saw nothing of the first submits everything once more.
    shutil.rmtree(tmp_path / "slurm")
    submit(cells, store, SMALL, RUNTIME)
    until(lambda: all(store.record(cell) for cell in cells) and not logs().splitlines()[1:], "the end of the matrix")
    found = records(cells, store)
    assert {str(record.provenance["visible_devices"]) for record in found} <= {"0", "1"}
    assert not list(tmp_path.glob("**/*.failed-*"))
    on_disk = Counter(record.key for record in store.records())
    assert on_disk == Counter(cell.key for cell in cells)


CLIENT = """
import sys
from pathlib import Path
from ssl_bench.store.store import Store
from ssl_bench.executors.slurm import submit
from tests.slurm.test_cluster import RUNTIME, SMALL, cells_of
submit(cells_of("pretraining.steps=5"), Store(Path(sys.argv[1])), SMALL, RUNTIME)
"""


def test_a_client_that_is_killed_amid_its_submission_is_called_again(
    cluster: Callable[..., None], tmp_path: Path
) -> None:
    store, cells = Store(tmp_path), cells_of("pretraining.steps=5")
    root = str(Path(__file__).parents[2])
    client = subprocess.Popen([sys.executable, "-c", CLIENT, str(tmp_path)], env=os.environ | {"PYTHONPATH": root})
    until(lambda: list(tmp_path.glob("slurm/array-*.json")), "the first array")
    client.kill()
    client.wait()
    submit(cells, store, SMALL, RUNTIME)
    until(lambda: all(store.record(cell) for cell in cells), "the end of the matrix")


def test_a_node_that_is_lost_costs_one_attempt(cluster: Callable[..., None], tmp_path: Path) -> None:
    undisturbed, store = Store(tmp_path / "undisturbed"), Store(tmp_path / "lost")
    cells = cells_of(*LONG, methods=("denoising",))
    submit(cells, undisturbed, SMALL, RUNTIME)
    until(lambda: all(undisturbed.record(cell) for cell in cells), "the undisturbed run")
    submit(cells, store, SMALL, RUNTIME)
    pretraining = cells[0]
    until(lambda: store.checkpoint_path(pretraining.key).exists(), "a checkpoint")
    node = subprocess.run(
        ["squeue", "--noheader", "--states=RUNNING", "--format=%N"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    cluster("kill-node", node)
    cluster("start-node", node)

    def done() -> bool:
        submit(cells, store, SMALL, RUNTIME)  # whoever calls again goes on
        return all(store.record(cell) for cell in cells)

    until(done, "the end of the matrix")
    assert scores(records(cells, store)) == scores(records(cells, undisturbed))


def test_a_preempted_job_resumes_from_its_checkpoint(cluster: Callable[..., None], tmp_path: Path) -> None:
    undisturbed, store = Store(tmp_path / "undisturbed"), Store(tmp_path / "preempted")
    cells = cells_of(*LONG, methods=("rotation",))
    submit(cells, undisturbed, SMALL, RUNTIME)
    until(lambda: all(undisturbed.record(cell) for cell in cells), "the undisturbed run")
    submit(cells, store, SMALL, RUNTIME)
    until(lambda: running(queued_cells(store)[cells[0].key].task), "its start")
    time.sleep(8)  # some steps of its own
    greedy = ["sbatch", "--partition=high", "--nodes=2", "--exclusive", "--time=1", "--wrap=sleep 5"]
    subprocess.run([*greedy, "--output=/dev/null"], check=True, capture_output=True)
    until(lambda: store.checkpoint_path(cells[0].key).exists() or store.record(cells[0]), "its checkpoint")

    def done() -> bool:
        submit(cells, store, SMALL, RUNTIME)
        return all(store.record(cell) for cell in cells)

    until(done, "the end of the matrix")
    assert scores(records(cells, store)) == scores(records(cells, undisturbed))


def running(task: str) -> bool:
    listed = subprocess.run(
        ["squeue", "--noheader", "--states=RUNNING", "--array", "--format=%i"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return task in listed.stdout.split()
