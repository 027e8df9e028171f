"""The CSV of statistics says what the Markdown says, with all digits."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from ssl_bench.report.cells_csv import PANDAS
from ssl_bench.report.comparison import compare_columns
from ssl_bench.report.family import Family
from ssl_bench.report.mean_rank import mean_ranks
from ssl_bench.report.results import read_results
from ssl_bench.report.statistics_csv import COLUMNS, write_statistics_csv
from ssl_bench.report.table import tables_of
from ssl_bench.store.store import Store
from tests.report.test_comparison import ALIKE, BASE, BETTER, keep


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    for seed in range(3):
        keep(store, "scratch", (BASE + 0.001 * seed).tolist(), seed)
        keep(store, "gvsl", (BETTER + 0.002 * seed**2).tolist(), seed)
    keep(store, "simclr", ALIKE.tolist(), 1)
    keep(store, "scratch", BASE.tolist(), task="sac")
    return store


def read(text: str) -> pandas.DataFrame:
    return pandas.read_csv(io.StringIO(text), **PANDAS)


@pytest.mark.parametrize("family", list(Family))
def test_every_number_is_that_of_the_statistics(store: Store, family: Family) -> None:
    frame = read(write_statistics_csv(store, family=family))
    (table,) = tables_of(read_results(store))
    found = compare_columns(table, "scratch", family)
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == sum(len(statistics.summaries) for statistics in found.values())
    for line in frame.itertuples():
        (column,) = [column for column in table.columns if column[0] == line.task]
        row = table.row_called(line.row)
        assert row is not None
        statistics = found[column]
        assert (line.score, line.score_low) == pytest.approx(statistics.summaries[row].estimate[:2], nan_ok=True)
        difference = statistics.differences.get(row)
        if difference is not None:
            assert (line.difference, line.p) == (difference.estimate.value, difference.p)
            assert line.p_corrected == statistics.difference_p[row]
            assert (line.comparisons, line.family) == (statistics.comparisons, family.value)
            assert len(line.difference_by_seed.split()) == len(difference.by_seed)
        rank = mean_ranks(table).over([row])
        assert (line.mean_rank == rank.value) if rank else pandas.isna(line.mean_rank)


def test_methods_and_networks_are_told_apart(store: Store) -> None:
    frame = read(write_statistics_csv(store)).set_index(["task", "row"])
    assert frame.loc[("shc", "gvsl"), "compared"] == "methods"
    assert frame.loc[("shc", "simclr"), "compared"] == "networks"
    assert frame.loc[("sac", "scratch"), "compared"] == "networks"


def test_what_is_never_ranked_is_left_out(store: Store) -> None:
    keep(store, "gvsl", BASE.tolist(), preset="smoke")
    assert set(read(write_statistics_csv(store)).preset) == {"quick"}


def test_a_name_is_no_formula(store: Store) -> None:
    keep(store, "gvsl", BASE.tolist(), 7, data="=1+1")
    assert "'=1+1" in set(read(write_statistics_csv(store)).data)


def test_through_the_command_line(store: Store, command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    folder = str(store.folder)
    made = command("report", "--results", folder, "--format", "statistics-csv", "--family", "table")
    assert made.stdout == write_statistics_csv(store, family=Family.table)
    refused = command("report", "--results", folder, "--format", "csv", "--family", "table")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--family table: the CSV of cells compares nothing; use --format statistics-csv or md" in refused.stderr
    refused = command("report", "--compare", folder, folder, "--family", "table")
    assert "takes --out only" in refused.stderr
