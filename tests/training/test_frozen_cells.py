"""Cells on a frozen backbone: what they keep of its features decides about time and memory alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.planning.planner import Planner
from ssl_bench.protocols.frozen import features as frozen
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime


@pytest.mark.parametrize(("protocol", "precision"), [("linear", "bf16"), ("probe", "float32")])
def test_features_in_a_file_or_computed_again_give_the_same_scores(
    protocol: str, precision: str, planner: Planner, tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner.precision = precision  # type: ignore[assignment]
    cell = planner.evaluation("scratch", "shc", protocol, 0)
    looks, stages = [], UNet3D.stages
    monkeypatch.setattr(UNet3D, "stages", lambda *volumes: looks.append(1) or stages(*volumes))
    records, work = [], []
    for limit in (frozen.MEMORY_LIMIT, 0):
        monkeypatch.setattr(frozen, "MEMORY_LIMIT", limit)
        looks.clear()
        record = run_cell(cell, Store(tmp_path / str(limit)), runtime, Progress(shown=False))
        assert isinstance(record, EvaluationRecord)
        assert record.status == "ok", record.reason
        records.append((record.score, record.cases, record.validation_curve))
        work.append(len(looks))
    assert records[0] == records[1]
    assert work[0] < work[1]
