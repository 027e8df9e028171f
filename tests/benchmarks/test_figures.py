"""What figures say: rounds, comparisons, tables."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import Part, earlier, keep, read
from benchmarks.matrix import MATRICES, REFERENCE_SCORES, SCORES, agreement, speeds
from benchmarks.planning import evaluations
from benchmarks.tables import write_into
from benchmarks.timing import Options, interleaved
from ssl_bench.api.registry import METHODS, PROTOCOLS, TASKS

OPTIONS = Options("a part", quick=False, device="cpu", threads=1)


@pytest.mark.parametrize("least", [1, 4])
def test_the_first_call_of_each_side_is_not_timed(least: int) -> None:
    calls: list[str] = []
    times = interleaved({side: partial(calls.append, side) for side in "ab"}, OPTIONS, 0.0, least)
    assert [len(taken) for taken in times.values()] == [least, least]
    assert "".join(calls) == "ab" * (1 + least)


def runs(**changed: Any) -> dict[str, Part]:
    """The three matrices, of 100 seconds each."""
    return {
        name: Part(quick=False, identity="", conditions={}, tables=[{"title": "", "rows": [row]}])
        for name in MATRICES
        for row in [{"what": "seconds", "figure": changed.get(name, 100.0)}]
    }


@pytest.mark.parametrize(("one", "wide", "reached"), [(160.0, 100.0, ["yes", "yes"]), (159.0, 99.0, ["no", "no"])])
def test_two_workers_are_to_be_1_6_times_as_fast_as_one_and_no_slower_than_a_wide_one(
    one: float, wide: float, reached: list[str]
) -> None:
    rows = speeds(runs(one_worker=one, wide_worker=wide))
    assert [row["figure"] for row in rows] == [one / 100, wide / 100]
    assert [row["reached"] for row in rows] == reached


def test_matrices_are_compared_when_all_three_were_measured_alike() -> None:
    found = runs()
    assert speeds({name: found[name] for name in list(found)[:2]}) == []
    found["one_worker"]["identity"] = "another machine"
    assert speeds(found) == []


SEEDS_OF_TWO_METHODS = [("a", 1, 2.0), ("a", 2, 4.0), ("b", 1, 1.0), ("b", 2, 1.0)]


def scored(**scores: list[dict[str, Any]]) -> dict[str, Part]:
    return {
        name: Part(quick=False, identity="", conditions={}, tables=[{"title": SCORES, "rows": rows}])
        for name, rows in scores.items()
    }


def test_scores_of_another_precision_are_weighed_by_what_seeds_do() -> None:
    # Variances over seeds: of (0, 2, 4) and (1, 1, 1), so (4 + 0) / 2. Differences 2 and 4: (4 + 16) / 2 / 2 = 5.
    # Squared distances from the rest: of 2, 0, 2, 4 none, 7.1, none, 7.1; of 5, 1, 1, 1 sixteen and three times 1.8.
    # As far as 0 + 16 lie the four choices with the 5, of sixteen.
    found = scored(
        two_workers=[{"row": "a, seed 0", "shc": 0.0}, {"row": "b, seed 0", "shc": 1.0}],
        other_seeds=[{"row": f"{name}, seed {seed}", "shc": v} for name, seed, v in SEEDS_OF_TWO_METHODS],
        float32=[{"row": "a, seed 0", "shc": 2.0}, {"row": "b, seed 0", "shc": 5.0}],
    )
    (row,) = agreement(found)
    assert row == {
        "column": "shc",
        "± over seeds": pytest.approx(2**0.5),
        "float32: difference / √2": pytest.approx(5**0.5),
        "float32: p": pytest.approx(4 / 16),
    }
    found["two_workers"]["tables"].append({"title": REFERENCE_SCORES, "rows": [{"row": "b, seed 0", "shc": 3.0}]})
    (row,) = agreement(found)
    assert row["the reference run: difference / √2"] == pytest.approx(2**0.5)


def test_columns_that_no_seed_moves_are_the_same_or_not() -> None:
    rows = [{"row": "a, seed 0", "sac": 0.0}]
    more = [{"row": f"a, seed {seed}", "sac": 0.0} for seed in (1, 2)]
    for other, p in ((0.0, 1.0), (0.5, 0.25)):
        float32 = [{"row": "a, seed 0", "sac": other}]
        (row,) = agreement(scored(two_workers=rows, other_seeds=more, float32=float32))
        assert row["float32: p"] == p


def test_planning_counts_what_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry, count in ((METHODS, 2), (TASKS, 3), (PROTOCOLS, 5)):
        monkeypatch.setattr(registry, "names", lambda count=count: ["a name"] * count)
    assert evaluations(seeds=7) == 2 * 3 * 5 * 7


def test_tables_are_written_between_their_markers_and_nowhere_else(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("prose\n<!-- step -->\nold\n<!-- end of step -->\n<!-- data -->\n<!-- end of data -->\n")
    write_into(document, {"step": "new", "a part of another version": "lost"})
    expected = "prose\n<!-- step -->\n\nnew\n\n<!-- end of step -->\n<!-- data -->\n<!-- end of data -->\n"
    assert document.read_text() == expected


@pytest.mark.parametrize(
    ("machine", "changed", "kept"),
    [
        ("one", {}, False),
        ("one", {"commit": "older"}, True),
        ("one", {"commit": "older", "threads": 1}, False),
        ("two", {"commit": "older"}, False),
    ],
)
def test_the_past_of_a_measurement_is_another_one_on_the_same_machine(
    machine: str, changed: dict[str, Any], kept: bool, tmp_path: Path
) -> None:
    conditions = {"threads": 2, "commit": "newer"}
    now, before = (
        Part(quick=False, identity="", conditions=each, tables=[]) for each in (conditions, conditions | changed)
    )
    keep(tmp_path / "before.json", machine, "step", before)
    keep(tmp_path / "before.json", machine, "a part of another version", before)
    assert earlier(tmp_path / "before.json", "one", {"step": now}) == ({"step": before} if kept else {})


def test_machines_keep_their_figures_beside_each_other(tmp_path: Path) -> None:
    older, newer = (Part(quick=False, identity=each, conditions={}, tables=[]) for each in ("older", "newer"))
    for machine, part in (("one", older), ("two", older), ("two", newer)):
        keep(tmp_path / "figures.json", machine, "step", part)
    assert read(tmp_path / "figures.json") == {"one": {"step": older}, "two": {"step": newer}}
