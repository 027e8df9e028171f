"""Snapshots change nothing of their pre-training, outlive an interruption, and are what an evaluation then reads."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ssl_bench.api.settings import load_preset
from ssl_bench.data.sources import source_of
from ssl_bench.data.windows import Corpus
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.planning.planner import Planner
from ssl_bench.planning.snapshots import along_snapshots, keeping_snapshots
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import PretrainingRecord
from ssl_bench.spec.specification import PretrainingSpec
from ssl_bench.store.snapshots import snapshot_file
from ssl_bench.store.store import Store
from ssl_bench.training import evaluation
from ssl_bench.training import pretraining as training
from ssl_bench.training.attempt import Attempt
from ssl_bench.training.pretraining import PretextTraining, build_backbone, build_method
from ssl_bench.training.runtime import Runtime, make_fabric
from ssl_bench.training.snapshots import Snapshots
from ssl_bench.weights.loading import load_weights
from tests.training.test_resume import EVERY_STEP, SILENT, interrupted, without_circumstances


def run(store: Store, planner: Planner, method: str, snapshots: int | None = 3) -> PretrainingRecord:
    cell = planner.pretraining(method, 0)
    record = run_cell(cell if snapshots is None else keeping_snapshots(cell, snapshots), store, EVERY_STEP, SILENT)
    assert isinstance(record, PretrainingRecord)
    assert record.status == "ok", record.reason
    return record


@pytest.mark.parametrize("method", ["denoising", pytest.param("moco", marks=pytest.mark.slow)])
def test_the_run_keeps_its_bits_and_each_snapshot_is_the_backbone_of_its_step(
    method: str, planner: Planner, tmp_path: Path
) -> None:
    without, kept = Store(tmp_path / "without"), Store(tmp_path / "with")
    plain, record = run(without, planner, method, None), run(kept, planner, method)
    assert record.backbone_sha256 == plain.backbone_sha256
    left_out = without_circumstances(record) | {"snapshots": []}
    assert left_out == without_circumstances(plain)
    assert [snapshot.step for snapshot in record.snapshots] == [1, 2]

    spec, cell, fabric = record.spec, planner.pretraining(method, 0), make_fabric(EVERY_STEP, "float32")
    scans, by_hand = source_of(cell).load(), build_method(record.spec)
    volumes = [Corpus([c.image for c in scans[p]], by_hand.region, fabric.device) for p in ("corpus", "held-out")]
    steps = PretextTraining(fabric, spec, by_hand, *volumes)
    for snapshot in record.snapshots:
        steps.step()
        found = load_file(snapshot_file(kept.snapshots_folder(record.key), snapshot.step))
        assert all(torch.equal(found[name], value) for name, value in by_hand.backbone.state_dict().items())
        ranks = {name: stage.rank for name, stage in steps.stages().items()}
        assert snapshot.stage_ranks == pytest.approx(ranks)
    # `watch_every` is 2: that look is the snapshot's.
    assert record.snapshots[1].stage_ranks == {k: v for k, v in record.stage_ranks[1].items() if k != "step"}


def test_an_interrupted_pretraining_keeps_its_snapshots(
    planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    expected = run(whole, planner, "denoising")
    interrupted(keeping_snapshots(planner.pretraining("denoising", 0), 3), broken, monkeypatch, after=2)
    first = snapshot_file(broken.snapshots_folder(expected.key), 1)
    before = first.stat().st_mtime_ns
    assert without_circumstances(run(broken, planner, "denoising")) == without_circumstances(expected)
    assert first.stat().st_mtime_ns == before


def test_a_pretraining_without_the_snapshots_runs_once_more_and_serves_old_cells_as_before(
    planner: Planner, tmp_path: Path
) -> None:
    store, cell = Store(tmp_path), planner.pretraining("denoising", 0)
    plain = run(store, planner, "denoising", None)
    wanted = keeping_snapshots(cell, 3)
    assert store.record(cell) == plain
    assert store.record(wanted) is None
    again = run(store, planner, "denoising")
    assert again.backbone_sha256 == plain.backbone_sha256
    assert store.record(wanted) == store.record(cell) == again
    path = snapshot_file(store.snapshots_folder(cell.key), 2)
    path.write_bytes(path.read_bytes()[:-1])  # truncated
    assert store.record(cell) == again
    assert store.record(wanted) is None
    assert run(store, planner, "denoising").snapshots == again.snapshots
    assert store.record(wanted) is not None


def test_an_evaluation_of_a_snapshot_reads_that_backbone(
    planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, read = Store(tmp_path), []

    def evaluate(cell: Cell, runtime: object, progress: object, weights: Path, seen: int, attempt: object) -> None:
        read.append((cell.evaluation.snapshot, weights, seen))
        raise ValueError("enough is known")

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    cells = along_snapshots([planner.evaluation("denoising", "sbm", "linear-v2", 0)], 2)
    for cell in cells:
        assert run_cell(cell, store, EVERY_STEP, SILENT).status == "failed"
    assert isinstance(cells[0].backbone, PretrainingSpec)
    key, batch = cells[0].backbone.key, cells[0].backbone.batch
    first = snapshot_file(store.snapshots_folder(key), 1)
    assert read == [(1, first, batch), (None, store.backbone_path(key), 4 * batch)]
    tensors = load_file(first)
    backbone = build_backbone(8, 0)
    load_weights(backbone, first)
    assert all(torch.equal(tensors[name], value) for name, value in backbone.state_dict().items())


def test_a_snapshot_that_cannot_be_kept_costs_its_evaluation_and_nothing_else(
    planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save = training.save_backbone

    def full(backbone: object, cell: object, path: Path, *rest: object) -> None:
        if path.parent.name == "snapshots":
            raise OSError(28, "No space left on device")
        save(backbone, cell, path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "save_backbone", full)
    store = Store(tmp_path)
    early, _, _ = along_snapshots([planner.evaluation("denoising", "sbm", "linear-v2", 0)], 3)
    record = run_cell(early, store, EVERY_STEP, SILENT)
    assert record.status == "failed"
    assert record.reason is not None
    assert "snapshot is missing" in record.reason
    assert "the snapshot could not be kept" in capsys.readouterr().err
    assert store.record(planner.pretraining("denoising", 0)) is not None


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path / "state.pt")
    attempt.keep_snapshot(1, lambda path: pytest.fail("written"))
    assert attempt.snapshot_path(1) is None


@pytest.mark.slow
def test_snapshots_take_at_most_a_twentieth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planner, spent = Planner(load_preset("quick"), [], "float32"), []
    step_done = Snapshots.step_done

    def timed(self: Snapshots, *arguments: Any) -> None:
        start = time.process_time()
        step_done(self, *arguments)
        spent.append(time.process_time() - start)

    monkeypatch.setattr(Snapshots, "step_done", timed)
    cell = keeping_snapshots(planner.pretraining("denoising", 0), 8)
    record = run_cell(cell, Store(tmp_path), Runtime("cpu", 1), SILENT)
    share = sum(spent) / record.cost["processor_seconds"]
    assert len(record.snapshots) == 7  # type: ignore[union-attr]
    assert share < 0.05
