"""A score whose learning rate was the lowest or highest of those tried is named under the table."""

from __future__ import annotations

import pytest

from ssl_bench.api.settings import load_preset
from ssl_bench.planning.planner import Planner
from ssl_bench.report.markdown import write_markdown
from ssl_bench.spec.record import EvaluationRecord
from tests.report.made_up import StoreOf

PLANNER = Planner(load_preset("small"), [], "float32")
BEGINNING = "The learning rate that validated best was the lowest or highest of those tried"


def tuned_at(rate: float, seed: int, interior: bool | None, method: str = "scratch") -> EvaluationRecord:
    cell = PLANNER.evaluation(method, "shc", "finetune", seed)
    return EvaluationRecord.model_validate({
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": "semi-real (1 anatomy)", "provenance": {},
        "spec": cell.spec, "score": 0.5, "paradigm": "none", "learning_rate": rate, "learning_rate_interior": interior,
    })  # fmt: skip


def notes_of(*records: EvaluationRecord) -> list[str]:
    return [line for line in write_markdown(StoreOf(*records)).splitlines() if line.startswith(BEGINNING)]


def test_a_cell_at_the_edge_is_named_with_its_rate() -> None:
    (said,) = notes_of(tuned_at(0.001, 0, True), tuned_at(0.009000000000000001, 1, False))
    assert said.endswith("SHC finetune-v2 DSC in 1 of 2 cells (scratch, seed 1: 0.009).")


def test_of_many_cells_only_the_number_is_said() -> None:
    (said,) = notes_of(*(tuned_at(0.009, seed, False) for seed in range(4)), tuned_at(0.001, 4, True))
    assert said.endswith("SHC finetune-v2 DSC in 4 of 5 cells.")


@pytest.mark.parametrize("interior", [True, None])
def test_nothing_is_said_where_rates_beyond_were_tried_or_one_alone_was(interior: bool | None) -> None:
    assert not notes_of(tuned_at(0.001, 0, interior))
