"""The model of a leaderboard: which cells stand in one table, its rows and its columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ssl_bench.api.method_facts import PARADIGMS
from ssl_bench.api.metric import METRICS, Metric
from ssl_bench.report.results import StoreFrames
from ssl_bench.report.staleness import check_cases
from ssl_bench.spec.record import Setting
from ssl_bench.spec.specification import CorpusSpec

Column = tuple[str, str, str]
"""Task, protocol, and what identifies the cases."""

MARKS = {
    "†": "read through a random, frozen decoder",
    "◦": "not converged: validation was still gaining when the steps were spent",
    "‡": "a structure of the test cases is never predicted",
}


class Row(NamedTuple):
    """One method with one set of options."""

    paradigm: str
    method: str
    options: str
    """Those that differ from the method's defaults, and the version where a table holds several."""

    @property
    def label(self) -> str:
        """The method, with its options."""
        return f"{self.method} ({self.options})" if self.options else self.method


class Place(NamedTuple):
    """What a row has in a column, over its seeds."""

    scored: int
    """Seeds with a score that is defined."""
    mean: float
    """The mean of those scores; NaN without any."""
    spread: float
    """Their standard deviation; NaN below two."""
    marks: str
    """Which of `MARKS` its cells bear."""


@dataclass
class Table:
    """All cells of one setting, one kind of data and one pre-training corpus; what it says is worked out once."""

    setting: Setting
    data: str
    corpus: CorpusSpec | None
    """What the rows were pre-trained on; None where none was."""
    cells: pd.DataFrame
    """Lines of the store's cells in the order of rows, columns and seeds, with ``_row`` and ``_column``: their places
    in `rows` and `columns`."""
    rows: list[Row]
    """The rows by paradigm, in the order of the GVSL supplement."""
    columns: list[Column]
    """Every column that some row has, protocol by protocol."""
    frames: StoreFrames
    """The frames of the whole store; the index of `cells` names lines of its cells."""

    @property
    def is_real(self) -> bool:
        """Whether its cases are patients'; else they are grown from one anatomy."""
        return not self.data.startswith("semi-real")

    @cached_property
    def places(self) -> dict[tuple[Row, Column], Place]:
        """What stands in the table."""
        cells = self.cells.assign(
            score=self.cells["score"].where(np.isfinite(self.cells["score"])),
            through_random=self.cells["decoder"] == "random, frozen",
        )
        groups = cells.groupby(["_row", "_column"], sort=False)
        found = groups.agg(
            scored=("score", "count"),
            mean=("score", "mean"),
            spread=("score", "std"),
            through_random=("through_random", "any"),
            converged=("converged", "all"),
            dropped=("never_predicted", "max"),
        )
        return {
            (self.rows[row], self.columns[column]): Place(
                scored, mean, spread, "†" * through_random + "◦" * (not converged) + "‡" * (dropped > 0)
            )
            for (row, column), scored, mean, spread, through_random, converged, dropped in found.itertuples()
        }

    @cached_property
    def seeds(self) -> list[int]:
        """Every seed that some cell has."""
        return sorted(set(self.cells["seed"]))

    @cached_property
    def complete_rows(self) -> list[Row]:
        """The rows with a score in every column for every seed: what is ranked or bold is one of these."""
        return [row for row in self.rows if all(self._scored(row, c) == len(self.seeds) for c in self.columns)]

    @cached_property
    def pretraining_keys(self) -> set[str]:
        """The keys of the pre-trainings that its cells rest on."""
        return set(self.cells["pretraining"]) - {""}

    def place(self, row: Row, column: Column) -> Place | None:
        """What `row` has in `column`; None where it has no score there."""
        found = self.places.get((row, column))
        return found if found is not None and found.scored else None

    def best_rows(self, column: Column) -> list[Row]:
        """The complete rows whose mean, as printed, is the best of `column`; none in a table that is not ranked."""
        ranked = self.complete_rows if self.setting.ranked else []
        metric = self.metric(column)
        means = {row: metric.sign * metric.rounded(self.places[row, column].mean) for row in ranked}
        return [row for row, mean in means.items() if mean == max(means.values())]

    def metric(self, column: Column) -> Metric:
        """By what the cells of `column` are scored."""
        return METRICS[self.lines(column)["metric"].iloc[0]]

    def lines(self, column: Column, row: Row | None = None) -> pd.DataFrame:
        """The cells of `column`, or those that `row` has there, by row and seed."""
        found = self._by_column[self.columns.index(column)]
        return found if row is None else found[found["_row"] == self.rows.index(row)]

    def by_row(self, column: Column) -> Iterator[tuple[Row, pd.DataFrame]]:
        """The rows that have a cell in `column`, with their cells there."""
        for place, found in self.lines(column).groupby("_row"):
            yield self.rows[place], found

    def listed_by_task(self, name: str) -> dict[str, list[str]]:
        """What the cells of each task list in the column `name`, sorted and once; only tasks that list any."""
        lists = self.cells[self.cells[name].map(bool)]
        return {task: sorted(set(found.sum())) for task, found in lists.groupby("task")[name]}

    def row_called(self, label: str) -> Row | None:
        """The row with that label; None where there is none."""
        return next((row for row in self.rows if row.label == label), None)

    @cached_property
    def _by_column(self) -> dict[int, pd.DataFrame]:
        return dict(iter(self.cells.groupby("_column")))

    def _scored(self, row: Row, column: Column) -> int:
        found = self.places.get((row, column))
        return found.scored if found else 0


def tables_of(frames: StoreFrames) -> list[Table]:
    """Cells that differ in setting, kind of data or corpus never meet in a table.

    A row that no corpus made stands in the table of each corpus. Raises UserError where cells of one column met
    different cases.
    """
    tables = []
    for _, group in frames.cells.groupby(["setting", "data"], sort=False):
        corpora: list[CorpusSpec] = []
        made_by = [backbone.corpus for backbone in group["_backbone"]]
        for corpus in {id(corpus): corpus for corpus in made_by}.values():
            if corpus is not None and corpus not in corpora:
                corpora.append(corpus)
        for corpus in (*corpora,) or (None,):
            here = {id(made): made in (corpus, None) for made in made_by}
            tables.append(_table(group[[here[id(made)] for made in made_by]], corpus, frames, _shared_setting(group)))

    def place(table: Table) -> tuple[bool, str, int, str]:
        setting = table.setting
        return not setting.ranked, setting.preset, len(setting.overrides), setting.digest

    return sorted(tables, key=place)


def _shared_setting(group: pd.DataFrame) -> Setting:
    """The setting with the overrides that all cells share: options of single methods are in the names of their rows."""
    settings = list({id(setting): setting for setting in group["_setting"]}.values())
    shared = [one for one in settings[0].overrides if all(one in setting.overrides for setting in settings)]
    setting: Setting = settings[0].model_copy(update={"overrides": shared, "tuned_on": None})
    return setting


def _table(cells: pd.DataFrame, corpus: CorpusSpec | None, frames: StoreFrames, setting: Setting) -> Table:
    order = {name: place for place, name in enumerate((*PARADIGMS, "external"))}
    row_of = list(map(Row, cells["paradigm"], cells["method"], cells["_options"]))
    column_of = list(zip(cells["task"], cells["protocol"], cells["cohort"], strict=True))
    rows = sorted(set(row_of), key=lambda row: (order.get(row.paradigm, len(order)), row.method, row.options))
    columns = sorted(
        set(column_of), key=lambda column: (not column[1].startswith("linear-v"), *column[1::-1], column[2])
    )
    row_places, column_places = ({one: place for place, one in enumerate(found)} for found in (rows, columns))
    cells = cells.assign(
        _row=[row_places[row] for row in row_of], _column=[column_places[column] for column in column_of]
    )
    cells = cells.drop_duplicates(["_row", "_column", "seed"], keep="last").sort_values(["_row", "_column", "seed"])
    table = Table(setting, cells["data"].iloc[0], corpus, cells, rows, columns, frames)
    check_cases(table)
    return table


def column_title(column: Column, table: Table) -> str:
    """What a column measures; where two differ in their cases only, those too."""
    task, metric, cases = column_parts(column, table)
    return f"{task} {column[1]} {metric}{cases}"


def column_parts(column: Column, table: Table) -> tuple[str, str, str]:
    """The task and the metric of a column, and which cases it is about where that is not the usual."""
    task, _, cases = column
    said = _labels_and_fold(column, table)
    alike = [other for other in table.columns if other[:2] == column[:2] and _labels_and_fold(other, table) == said]
    # A folder's own name is not the abbreviation that a task's is.
    title = task if "-" in task else task.upper()
    return title, table.metric(column).heading, said + (f" {cases[:6]}" if len(alike) > 1 else "")


def _labels_and_fold(column: Column, table: Table) -> str:
    first: Any = table.lines(column).iloc[0]
    labels = "" if first["label_fraction"] == 1 else f", {100 * first['label_fraction']:g}% of labels"
    return labels + (f", fold {first['fold']}" if first["fold"] else "")
