"""What figures say: rounds, comparisons, tables."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import Part
from benchmarks.matrix import MATRICES, comparison
from benchmarks.planning import evaluations
from benchmarks.tables import write_into
from benchmarks.timing import Options, interleaved
from ssl_bench.registry import METHODS, PROTOCOLS, TASKS

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
    rows = comparison(runs(one_worker=one, wide_worker=wide))
    assert [row["figure"] for row in rows] == [one / 100, wide / 100]
    assert [row["reached"] for row in rows] == reached


def test_matrices_are_compared_when_all_three_were_measured_alike() -> None:
    found = runs()
    assert comparison({name: found[name] for name in list(found)[:2]}) == []
    found["one_worker"]["identity"] = "another machine"
    assert comparison(found) == []


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
