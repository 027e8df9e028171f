"""An interrupted cell goes on where it stood and ends with the bits of one that was never interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ssl_bench.api.registry import METHODS
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord
from ssl_bench.store.store import Store
from ssl_bench.training.attempt import Attempt, Stopped
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime

SILENT = Progress(shown=False)
EVERY_STEP = Runtime("cpu", 2, checkpoint_seconds=0.0)
QUICK_TO_CHECK = ("deepcluster", "denoising")
"""The others are slow tests: the kit already asks every method for its state in the middle of a run."""
PRETRAINING = [
    pytest.param(name, marks=() if name in QUICK_TO_CHECK else pytest.mark.slow)
    for name in METHODS.names()
    if name != "scratch"
]


class PulledPlug(BaseException):
    """What a killed process would not even see."""


def interrupted(cell: Cell, store: Store, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Run `cell` until `after` of its steps are saved."""
    save, saved = Attempt._save, []

    def pull(self: Attempt, content: dict[str, object]) -> None:
        save(self, content)
        saved.append(1)
        if len(saved) == after:
            raise PulledPlug

    with monkeypatch.context() as patched:
        patched.setattr(Attempt, "_save", pull)
        with pytest.raises(PulledPlug):
            run_cell(cell, store, EVERY_STEP, SILENT)


def without_circumstances(record: AnyRecord) -> dict[str, object]:
    content = record.model_dump(mode="json")
    return {name: value for name, value in content.items() if name not in ("cost", "provenance")}


@pytest.mark.parametrize("method", PRETRAINING)
def test_every_method_resumes_to_the_same_bits(
    method: str, planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = planner.pretraining(method, 0)
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    expected = run_cell(cell, whole, EVERY_STEP, SILENT)
    assert expected.status == "ok", expected.reason
    interrupted(cell, broken, monkeypatch, after=3)
    resumed = run_cell(cell, broken, EVERY_STEP, SILENT)
    assert without_circumstances(resumed) == without_circumstances(expected)
    weights = [load_file(store.backbone_path(cell.key)) for store in (whole, broken)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert not broken.checkpoint_path(cell.key).exists()


@pytest.mark.parametrize(
    ("protocol", "after"),
    [
        *[("linear-v1", 3), ("finetune-v1", 1), ("finetune-v1", 4), ("probe-v1", 3), ("probe-v1", 6)],
        # In the first pilot of the grid, at the end of another, and while the best rate goes on.
        *[("linear-v2", 1), ("linear-v2", 2), ("linear-v2", 7), ("probe-v2", 3)],
        *[("finetune-v2", 3), ("finetune-v2", 6)],
    ],
)
def test_every_protocol_resumes_to_the_same_bits(
    protocol: str, after: int, planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = planner.evaluation("scratch", "shc", protocol, 0)
    expected = run_cell(cell, Store(tmp_path / "whole"), EVERY_STEP, SILENT)
    interrupted(cell, Store(tmp_path / "broken"), monkeypatch, after=after)
    resumed = run_cell(cell, Store(tmp_path / "broken"), EVERY_STEP, SILENT)
    assert without_circumstances(resumed) == without_circumstances(expected)


def test_a_resumed_cell_counts_what_the_earlier_attempt_cost(
    planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, store = planner.pretraining("denoising", 0), Store(tmp_path)
    interrupted(cell, store, monkeypatch, after=3)
    content = torch.load(store.checkpoint_path(cell.key), weights_only=True)
    content["cost"]["wall_seconds"] += 1000
    torch.save(content, store.checkpoint_path(cell.key))
    assert run_cell(cell, store, EVERY_STEP, SILENT).cost["wall_seconds"] > 1000


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_damaged_checkpoint_is_set_aside(
    damage: str, planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cell, store = planner.pretraining("denoising", 0), Store(tmp_path)
    interrupted(cell, store, monkeypatch, after=2)
    path = store.checkpoint_path(cell.key)
    path.write_bytes({"truncated": path.read_bytes()[:5000], "empty": b"", "text": b"hello"}[damage])
    assert run_cell(cell, store, EVERY_STEP, SILENT).status == "ok"
    assert "set aside" in capsys.readouterr().err
    assert path.with_name(f"{path.name}.corrupt").exists()


def test_a_checkpoint_holds_no_code(planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, store = planner.pretraining("deepcluster", 0), Store(tmp_path)
    interrupted(cell, store, monkeypatch, after=1)
    content = torch.load(store.checkpoint_path(cell.key), weights_only=True)
    assert set(content) == {"state", "cost"}
    json.dumps(content["cost"])


def test_whoever_is_told_to_stop_saves_first(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path / "state.pt", every_seconds=1e9, stop=lambda: "time is up")
    with pytest.raises(Stopped, match="time is up"):
        attempt.step_done(lambda: {"step": 1}, lambda: {"wall_seconds": 2.0})
    again = Attempt(tmp_path / "state.pt")
    assert again.state == {"step": 1}
    assert again.earlier_cost == {"wall_seconds": 2.0}


def test_the_checkpoint_of_a_cell_that_has_ended_is_removed(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path / "state.pt", every_seconds=0)
    attempt.step_done(lambda: {"step": 1}, dict)
    assert (tmp_path / "state.pt").exists()
    attempt.forget()
    assert not (tmp_path / "state.pt").exists()
    attempt.forget()
    Attempt().forget()
