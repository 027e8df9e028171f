"""The heads by which a method matches outlive its pre-training, and give the map that it has by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ssl_bench.errors import UserError
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.snapshots import matching_file
from ssl_bench.store.store import Store
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime

SILENT = Progress(shown=False)


def registered(planner: Planner, store: Store, runtime: Runtime, method: str, anew: bool = False) -> EvaluationRecord:
    record = run_cell(planner.evaluation(method, "shc", "register", 0), store, runtime, SILENT, anew=anew)
    assert isinstance(record, EvaluationRecord)
    return record


def heads(planner: Planner, store: Store, method: str) -> Path:
    return matching_file(store.backbone_path(planner.pretraining(method, 0).key).parent)


@pytest.mark.parametrize("method", ["gvsl", "gvsl_no_affine", "gvsl_no_zmatching"])
def test_a_row_with_heads_that_match_has_its_own_map_beside_the_solvers(
    method: str, planner: Planner, tmp_path: Path, runtime: Runtime
) -> None:
    store, matches = Store(tmp_path), method != "gvsl_no_zmatching"
    record = registered(planner, store, runtime, method)
    assert record.status == "ok", record.reason
    (pair,) = record.cases
    assert heads(planner, store, method).exists() == matches
    assert ("own map DSC" in record.beside) == ("own_dsc" in pair) == matches
    if matches:
        assert record.beside["own map DSC"] == pair["own_dsc"]
        assert 0 < pair["own_dsc"] < 1
        assert pair["own_tre_mm"] > 0


def test_the_map_is_that_of_the_kept_heads(planner: Planner, tmp_path: Path, runtime: Runtime) -> None:
    store = Store(tmp_path)
    first = registered(planner, store, runtime, "gvsl")
    path = heads(planner, store, "gvsl")
    tensors = load_file(path)
    # The last layer of the deformable head, set to half the volume along one axis.
    tensors["deformable_head.1.bias"] += torch.tensor([0.0, 16.0, 0.0])
    save_file(tensors, path, {"ssl_bench_key": planner.pretraining("gvsl", 0).key})
    moved = registered(planner, store, runtime, "gvsl", anew=True)
    assert moved.score == first.score
    assert moved.beside["own map TRE"] > first.beside["own map TRE"] + 10


def test_a_pretraining_that_kept_no_heads_has_the_solvers_map_alone(
    planner: Planner, tmp_path: Path, runtime: Runtime
) -> None:
    store = Store(tmp_path)
    run_cell(planner.pretraining("gvsl", 0), store, runtime, SILENT)
    heads(planner, store, "gvsl").unlink()
    assert set(registered(planner, store, runtime, "gvsl").beside) == {"TRE", "folded"}


@pytest.mark.parametrize(
    ("made_by", "other", "reason"),
    [
        ("0" * 16, {}, "holds heads of the pre-training 0000000000000000"),
        ("", {"affine_head.other": torch.zeros(1)}, "does not read as the heads of its method"),
        ("", {"deformable_head.1.bias": torch.zeros(4)}, "does not read as the heads of its method"),
        ("", None, "does not read as the heads of its method"),
    ],
)
def test_heads_that_are_no_heads_of_it_are_named(
    made_by: str, other: dict[str, torch.Tensor] | None, reason: str, planner: Planner, tmp_path: Path, runtime: Runtime
) -> None:
    store, cell = Store(tmp_path), planner.pretraining("gvsl", 0)
    run_cell(cell, store, runtime, SILENT)
    path = heads(planner, store, "gvsl")
    if other is None:
        path.write_bytes(path.read_bytes()[:-9])
    else:
        save_file(load_file(path) | other, path, {"ssl_bench_key": made_by or cell.key})
    with pytest.raises(UserError, match=f"{path.name}: {reason}"):
        registered(planner, store, runtime, "gvsl")


def test_heads_of_which_a_part_is_missing_are_named(planner: Planner, tmp_path: Path, runtime: Runtime) -> None:
    store, cell = Store(tmp_path), planner.pretraining("gvsl", 0)
    run_cell(cell, store, runtime, SILENT)
    path = heads(planner, store, "gvsl")
    tensors = load_file(path)
    del tensors["affine_head.fc_rot.0.weight"]
    save_file(tensors, path, {"ssl_bench_key": cell.key})
    with pytest.raises(UserError, match="does not read as the heads of its method"):
        registered(planner, store, runtime, "gvsl")


def test_the_map_is_of_the_backbone_that_is_measured(planner: Planner, tmp_path: Path, runtime: Runtime) -> None:
    store = Store(tmp_path)
    (whole,) = registered(planner, store, runtime, "gvsl").cases
    cell = planner.evaluation("gvsl", "shc", "register", 0, reset="decoder")
    record = run_cell(cell, store, runtime, SILENT)
    assert isinstance(record, EvaluationRecord)
    (pair,) = record.cases
    assert pair["own_tre_mm"] != whole["own_tre_mm"]
