"""Full disks, damaged files and ill-timed deaths cost time, and neither a record nor a matrix."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from ssl_bench.api.settings import load_preset
from ssl_bench.cli import main
from ssl_bench.executors import inline
from ssl_bench.executors.cells import run_cell as run_cell_module
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.executors.inline import run_cells
from ssl_bench.methods.denoising import Denoising
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import PretrainingRecord
from ssl_bench.store import lease
from ssl_bench.store.store import Store
from ssl_bench.training.attempt import Attempt, TakenOver
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime
from ssl_bench.weights.digest import tensors_digest

SILENT = Progress(shown=False)
RUNTIME = Runtime("cpu", 1, checkpoint_seconds=0.0)
MATRIX = [
    *("matrix", "--methods", "denoising,scratch", "--tasks", "ccc", "--protocols", "linear", "--preset", "smoke"),
    *("--precision", "float32", "--checkpoint-seconds", "0", "--threads", "1"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(
            f"NO FILE SYSTEM CAN BE MOUNTED, SO NEITHER A FULL NOR A READ-ONLY DISK IS TESTED: {mounted.stderr}"
        )
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no byte free."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 12))
        except OSError:
            pass


def call(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of ``ssl-bench`` in this process."""
    monkeypatch.setattr("sys.argv", ["ssl-bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_disk_that_fills_up_costs_the_cells_and_no_record(
    disk: Path, planner: Planner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(disk / "results")
    cells = [planner.pretraining("denoising", 0), planner.evaluation("scratch", "ccc", "linear", 0)]
    with monkeypatch.context() as patched:
        patched.setattr(Denoising, "after_step", lambda self, step, steps: fill(disk) if step == 1 else None)
        pretrained, scratch = run_cells(cells, store, RUNTIME, SILENT)
    assert "its state could not be saved" in capsys.readouterr().err
    assert pretrained.status == scratch.status == "failed"
    assert "No space left on device" in (pretrained.reason or "")
    assert "not even that could be recorded" in (pretrained.reason or "")
    assert (scratch.reason or "").startswith("no room to work: No space left on device")
    assert list(disk.rglob("*.partial")) == []
    for file in disk.rglob("*.json"):
        assert json.loads(file.read_text()), file

    (disk / "filler").unlink()
    steps: list[int] = []
    monkeypatch.setattr(Denoising, "after_step", lambda self, step, of: steps.append(step))
    assert run_cells(cells[:1], store, RUNTIME, SILENT)[0].status == "ok"
    assert steps == [1, 2, 3], "it goes on from the state that had room"
    assert list(disk.rglob("*.partial")) == list(disk.rglob("*.corrupt")) == []


def test_a_result_without_room_is_a_failure_with_the_reason(
    disk: Path, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is room for a failure, which is small, and none for the weights."""
    cell, store = planner.pretraining("denoising", 0), Store(disk / "results")

    def nearly_fill(self: Denoising, step: int, steps: int) -> None:
        fill(disk)
        os.truncate(disk / "filler", (disk / "filler").stat().st_size - (1 << 16))

    with monkeypatch.context() as patched:
        patched.setattr(Denoising, "after_step", nearly_fill)
        assert run_cell(cell, store, RUNTIME, SILENT).status == "failed"
    (failure,) = store.failures()
    assert "No space left on device" in (failure.reason or "")
    assert list((disk / "results").rglob("*.partial")) == []
    (disk / "filler").unlink()
    assert run_cell(cell, store, RUNTIME, SILENT).status == "ok"


@pytest.mark.slow
def test_workers_survive_a_disk_that_fills_up(disk: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "fills_the_disk.py"
    plugin.write_text(FILLS_THE_DISK.format(disk=disk, tried=tmp_path / "tried"))
    matrix = [*MATRIX, "--plugin", str(plugin), "--executor", "local", "--workers", "2", "--results", f"{disk}/results"]
    matrix[matrix.index("denoising,scratch")] = "fills_the_disk,denoising"
    command = [sys.executable, "-c", "from ssl_bench.cli import main; main()", *matrix]
    full = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert full.returncode == 1, full.stderr
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    assert list(disk.rglob("*.partial")) == []
    (disk / "filler").unlink()
    again = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stderr
    assert len(list(Store(disk / "results").records())) == 4


FILLS_THE_DISK = """
from pathlib import Path
from ssl_bench.api.method import Method, MethodFacts

class FillsTheDisk(Method):
    facts = MethodFacts(
        title="x", paper="none", year=2026, version=1, paradigm="centroid-hidden", pretrains="encoder"
    )

    def training_step(self, volumes, draws):
        if not Path("{tried}").exists():
            Path("{tried}").touch()
            try:
                with open("{disk}/filler", "wb", buffering=0) as file:
                    while True:
                        file.write(bytes(1 << 12))
            except OSError:
                pass
        return {{"loss": self.backbone(volumes).global_[0].square().mean()}}
"""


@pytest.mark.parametrize(
    "command",
    [
        MATRIX,
        [*MATRIX, "--executor", "local"],
        [*MATRIX, "--executor", "plan"],
        ["run", "--method", "scratch", "--task", "ccc", "--preset", "smoke"],
        ["pretrain", "--method", "denoising", "--preset", "smoke", "--out", "x.safetensors"],
    ],
    ids=["matrix", "local", "plan", "run", "pretrain"],
)
def test_a_folder_that_is_read_only_ends_the_command_before_any_work(
    command: list[str], disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    monkeypatch.setattr(inline, "run_cell", lambda *_: pytest.fail("began to work"))
    assert call([*command, "--results", str(disk / "results")], monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ssl-bench: --results {disk / 'results'}: cannot be written (Read-only file system)")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with one pre-training, and the checkpoint it had; copy it."""
    store = Store(tmp_path_factory.mktemp("finished") / "results")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Attempt, "forget", lambda self: None)
        run_cell(pretraining(), store, RUNTIME, SILENT)
    return store


@pytest.fixture
def store(finished: Store, tmp_path: Path) -> Store:
    shutil.copytree(finished.folder, tmp_path / "copy")
    return Store(tmp_path / "copy")


def pretraining() -> Cell:
    return Planner(load_preset("smoke"), [], "float32").pretraining("denoising", 0)


@pytest.mark.parametrize("damaged", ["record.json", "backbone.safetensors", "checkpoint"])
def test_a_truncated_file_is_set_aside_and_its_cell_runs_again(
    damaged: str, finished: Store, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = pretraining()
    path = store.backbone_path(cell.key).with_name(damaged)
    if damaged == "checkpoint":
        path = store.checkpoint_path(cell.key)
        store.backbone_path(cell.key).unlink()
    os.truncate(path, path.stat().st_size // 2)
    again, expected = run_cell(cell, store, RUNTIME, SILENT), finished.record(cell)
    assert expected is not None
    assert again.model_dump(exclude={"cost", "provenance"}) == expected.model_dump(exclude={"cost", "provenance"})
    assert store.record(cell) == again
    assert path.with_name(f"{path.name}.corrupt").exists()
    assert str(path) in capsys.readouterr().err
    assert store.is_whole(again)  # type: ignore[arg-type]


def test_weights_that_the_record_does_not_speak_of_are_not_used(store: Store) -> None:
    cell = pretraining()
    backbone, expected = store.backbone_path(cell.key), tensors_digest(store.backbone_path(cell.key))
    save_file({name: tensor + 1 for name, tensor in load_file(backbone).items()}, backbone)
    run_cell(cell, store, RUNTIME, SILENT)
    assert tensors_digest(backbone) == expected
    assert backbone.with_name("backbone.safetensors.corrupt").exists()


def test_weights_of_a_record_that_names_no_digest_are_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of before had none."""
    cell = pretraining()
    path = store.backbone_path(cell.key).with_name("record.json")
    old = json.loads(path.read_text())
    assert old.pop("backbone_sha256")
    path.write_text(json.dumps(old))
    monkeypatch.setattr(run_cell_module, "_run", lambda *_: pytest.fail("ran again"))
    assert run_cell(cell, store, RUNTIME, SILENT).status == "ok"


def test_whoever_publishes_too_late_leaves_record_and_weights_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The takeover comes after the last look at the lease: only the order of publishing helps."""
    cell, late = pretraining(), Store(tmp_path / "late")
    theirs = tmp_path / "theirs.safetensors"
    save_file({n: t + 1 for n, t in load_file(store.backbone_path(cell.key)).items()}, theirs)
    first = store.record(cell)
    assert isinstance(first, PretrainingRecord)
    first = first.model_copy(update={"backbone_sha256": tensors_digest(theirs), "volumes_seen": 12345})
    publish = Store.publish

    def too_late(self: Store, *given: object) -> bool:
        assert publish(self, cell, first, False, theirs)
        return publish(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "publish", too_late)
    assert run_cell(cell, late, RUNTIME, SILENT) == first
    assert tensors_digest(late.backbone_path(cell.key)) == first.backbone_sha256
    assert sorted(file.name for file in late.backbone_path(cell.key).parent.iterdir()) == [
        "backbone.safetensors",
        "record.json",
    ]


class PulledPlug(BaseException):
    """What a killed process would not even see."""


def test_a_death_between_record_and_weights_costs_one_pretraining(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cell, rename = Store(tmp_path), pretraining(), Path.replace

    def pull(self: Path, target: Path) -> Path:
        if target.name == "backbone.safetensors":
            raise PulledPlug
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", pull)
        with pytest.raises(PulledPlug):
            run_cell(cell, store, RUNTIME, SILENT)
    assert store.has_succeeded(cell)
    assert not store.backbone_path(cell.key).exists()
    assert run_cell(cell, store, RUNTIME, SILENT).status == "ok"
    assert store.is_whole(store.record(cell))  # type: ignore[arg-type]


def test_what_killed_attempts_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    store, cell = Store(tmp_path), pretraining()
    left = [
        store.checkpoint_path(cell.key).with_name(f".{cell.key}.pt.abcd1234.partial"),
        store.attempt_weights_path(cell.key),
        store.backbone_path(cell.key).with_name(f".{store.attempt_weights_path(cell.key).name}.abcd1234.partial"),
    ]
    others = store.checkpoint_path("0" * 16).with_name(f".{'0' * 16}.pt.abcd1234.partial")
    for file in (*left, others):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("half")
    run_cell(cell, store, RUNTIME, SILENT)
    assert list(tmp_path.rglob("*.partial")) == [others]


def test_a_state_that_cannot_be_saved_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    attempt = Attempt(tmp_path / "file" / "state.pt", every_seconds=0)
    attempt.step_done(lambda: {"step": 1}, dict)
    assert "its state could not be saved" in capsys.readouterr().err


def test_an_attempt_that_was_taken_over_saves_no_state(tmp_path: Path) -> None:
    """The heartbeat may not have noticed yet: whoever writes looks for themselves."""

    def confirm() -> None:
        raise TakenOver

    attempt = Attempt(tmp_path / "state.pt", every_seconds=0, confirm=confirm)
    with pytest.raises(TakenOver):
        attempt.step_done(lambda: {"step": 1}, dict)
    assert not (tmp_path / "state.pt").exists()


def test_a_step_looks_at_no_lease(planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Path] = []
    read, here = lease._read, threading.current_thread()

    def noting(path: Path) -> dict[str, object] | None:
        if threading.current_thread() is here and path.exists():
            looks.append(path)
        return read(path)

    monkeypatch.setattr(lease, "_read", noting)
    run_cell(planner.pretraining("denoising", 0), Store(tmp_path), Runtime("cpu", 1), SILENT)
    assert len(looks) == 2, "once before it publishes, once as it lets go"


@pytest.mark.slow
def test_two_schedulers_share_a_store(tmp_path: Path) -> None:
    plugin, log = tmp_path / "counts.py", tmp_path / "log"
    plugin.write_text(COUNTS.format(log=log))
    matrix = [*MATRIX, "--plugin", str(plugin), "--executor", "local", "--workers", "1", "--seeds", "0-3"]
    matrix[matrix.index("denoising,scratch")] = "counts"
    command = [sys.executable, "-c", "from ssl_bench.cli import main; main()", *matrix, "--results", f"{tmp_path}/both"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    store = Store(tmp_path / "both")
    assert len({record.key for record in store.records()}) == len(list(store.records())) == 8
    assert not list(store.failures())
    workers = [line.split() for line in log.read_text().splitlines()]
    assert len({worker for worker, _ in workers}) == 2, "one of them did nothing"
    assert len(workers) <= 5, "of four pre-trainings more than one was begun twice"


COUNTS = """
import os, time
from ssl_bench.api.method import Method, MethodFacts

class Counts(Method):
    facts = MethodFacts(
        title="x", paper="none", year=2026, version=1, paradigm="centroid-hidden", pretrains="encoder"
    )

    def training_step(self, volumes, draws):
        time.sleep(0.5)
        return {{"loss": self.backbone(volumes).global_[0].square().mean()}}

    def after_step(self, step, steps):
        if step == 0:
            with open("{log}", "a") as log:
                log.write(f"{{os.getpid()}} began\\n")
"""
