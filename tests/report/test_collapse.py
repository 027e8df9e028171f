"""A collapsed stage is named wherever a pre-training is shown: on stderr, in tables and pages, in the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from ssl_bench.api.settings import load_preset
from ssl_bench.cli import app
from ssl_bench.executors.cells.outcomes import outcome
from ssl_bench.planning.planner import Planner
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.pictures import style
from ssl_bench.report.pictures.health import health_pictures
from ssl_bench.report.results import load_results, read_results
from ssl_bench.report.table import tables_of
from ssl_bench.spec.record import EvaluationRecord, PretrainingRecord
from ssl_bench.store.store import Store

PLANNER = Planner(load_preset("quick"), [], "float32")
START = {"step": 0.0, "inc": 8.0, "up1": 20.0, "up3": 18.0}
ENDS = {"gvsl": {"inc": 6.0, "up1": 4.0, "up3": 1.5}, "simsiam": {"inc": 6.0, "up1": 18.0, "up3": 1.5}}
NOTE = (
    "Collapsed in pre-training, to below 25% of the effective rank over voxels that a stage of the backbone began "
    "with, the worst stage of each: gvsl: up3 1.5 from 18.0 and 1 more."
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """GVSL with two collapsed stages; SimSiam, whose decoder is not judged; scratch."""
    found = Store(tmp_path / "results")
    for method in ("scratch", *ENDS):
        cell = PLANNER.evaluation(method, "shc", "linear", 0)
        common: dict[str, Any] = {
            "status": "ok", "setting": cell.setting, "data": "semi-real (1 anatomy)", "provenance": {},
        }  # fmt: skip
        if cell.pretraining is not None:
            trained = {"inc": 16} if method == "simsiam" else {"inc": 16, "up1": 128, "up3": 16}
            middle = {name: (value + START[name]) / 2 for name, value in ENDS[method].items()}
            ranks = [START, {"step": 90.0, **middle}, {"step": 370.0, **ENDS[method]}]
            values = common | {
                "key": cell.pretraining.key, "spec": cell.pretraining.spec, "loss_curve": [2.0, 1.0],
                "stage_ranks": ranks, "trained_stages": trained,
            }  # fmt: skip
            found.publish(cell.pretraining, PretrainingRecord.model_validate(values))
        values = common | {"key": cell.key, "spec": cell.spec, "score": 0.5, "paradigm": "none"}
        found.publish(cell, EvaluationRecord.model_validate(values))
    return found


@pytest.mark.parametrize("command", ["run --method gvsl --task shc --protocol linear", "matrix --tasks shc"])
def test_a_collapsed_stage_is_warned_of_on_stderr(command: str, store: Store) -> None:
    arguments = [
        *command.split(),
        "--precision",
        "float32",
        "--results",
        str(store.folder),
        "--quiet",
        "--rerun",
        "failed",
    ]
    result = CliRunner().invoke(app, arguments)
    (warning,) = [line for line in result.stderr.splitlines() if "collapsed" in line]
    assert warning == (
        "warning: gvsl pre-training, seed 0: collapsed stages, below 25% of the effective rank they began with: "
        "up3 1.5 of 16 channels, random start 18.0; up1 4.0 of 128 channels, random start 20.0; "
        "lower --set pretraining.optimiser.learning_rate, or train longer: docs/collapse.md"
    )


def test_progress_names_the_stages(store: Store) -> None:
    said = {record.spec.method: outcome(record) for record in store.pretrainings()}
    assert said["gvsl"].endswith(", collapsed: up3, up1")
    assert "collapsed" not in said["simsiam"]


@pytest.mark.parametrize("form", ["md", "html"])
def test_reports_name_the_worst_stage_and_count_the_others(form: str, store: Store) -> None:
    text = CliRunner().invoke(app, ["report", "--format", form, "--results", str(store.folder)]).stdout
    assert text.count(NOTE) == 1
    assert text.count("Collapsed in pre-training") == 1
    if form == "html":
        assert "inc 8.0 → 6.0, up1 20.0 → 4.0, up3 18.0 → 1.5" in text


def test_nothing_is_said_where_no_stage_collapsed(store: Store) -> None:
    (gvsl,) = [record for record in store.pretrainings() if record.spec.method == "gvsl"]
    cell = PLANNER.pretraining("gvsl", 0)
    store.publish(cell, gvsl.model_copy(update={"stage_ranks": [START, {**START, "step": 370.0}]}), replace=True)
    assert "Collapsed" not in write_markdown(store)


def test_ranks_are_curves_of_the_frames(store: Store) -> None:
    found = load_results(store.folder)
    pretrainings = found.pretrainings.set_index("method")
    assert (pretrainings.collapsed["gvsl"], pretrainings.collapsed["simsiam"]) == ("up3, up1", "")
    curves = found.curves[(found.curves.key == pretrainings.key["gvsl"]) & (found.curves.curve == "rank of up3")]
    assert dict(zip(curves.step, curves.value, strict=True)) == {0: 18.0, 90: 9.75, 370: 1.5}


def test_the_picture_shows_shares_of_the_random_start(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    (table,) = tables_of(read_results(store, details=True))
    with style.drawing():
        pictures = health_pictures(table, None)
    assert [picture.name for picture in pictures] == ["health-stages"]
    panels = {axes.get_title(): axes for axes in figures[0].axes}
    assert panels.keys() == {"gvsl", "simsiam"}
    drawn = [list(line.get_ydata()) for line in panels["gvsl"].lines if len(line.get_xdata()) == 3]
    assert sorted(drawn) == [[1, pytest.approx(9.75 / 18), pytest.approx(1.5 / 18)], [1, 0.6, 0.2], [1, 0.875, 0.75]]
    (threshold,) = [line for line in panels["gvsl"].lines if line.get_linestyle() == "--"]
    assert list(threshold.get_ydata()) == [0.25, 0.25]
