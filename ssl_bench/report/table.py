"""The model of a leaderboard: which cells stand in one table, its rows and its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ssl_bench.api.controls import CONTROL_PREFIX
from ssl_bench.api.method_facts import PARADIGMS
from ssl_bench.api.metric import METRICS, Metric
from ssl_bench.report.results import StoreFrames
from ssl_bench.report.staleness import check_cases
from ssl_bench.spec.record import Setting
from ssl_bench.spec.specification import SHARED_NETWORK, CorpusSpec

Column = tuple[str, str, str]
"""Task, protocol, and what identifies the cases: of one fold, or of all that pool."""

MARKS = {
    "†": "read through a random, frozen decoder",
    "◦": "not converged: validation was still gaining when the steps were spent",
    "‡": "a structure or class of the test cases is never predicted",
    "◔": "lacks folds that other rows have",
    "●": "its weights were made with the task's data set, as their source says",
    "?": "nothing says whether its weights were made with the task's data set",
}

_SEEN = {"yes": "●", "unknown": "?"}
"""By what is known of weights from elsewhere; of the cells of a place the last in the alphabet speaks."""


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

    @property
    def is_control(self) -> bool:
        """Whether it stands beside the others to be read with them, and is ranked among none."""
        return self.method.startswith(CONTROL_PREFIX)


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
    whole: int
    """Seeds with a score in every fold of the column."""


@dataclass
class Table:
    """All cells of one setting, kind of data, backbone and pre-training corpus; what it says is worked out once."""

    setting: Setting
    data: str
    corpus: CorpusSpec | None
    """What the rows were pre-trained on; None where none was."""
    cells: pd.DataFrame
    """Lines of the store's cells in the order of rows, columns, seeds and folds, with ``_row`` and ``_column``: their
    places in `rows` and `columns`."""
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

    @property
    def network(self) -> str:
        """The backbone of all its cells."""
        name: str = self.cells["network"].iloc[0]
        return name

    @cached_property
    def places(self) -> dict[tuple[Row, Column], Place]:
        """What stands in the table."""
        cells = self.cells.assign(
            score=self.cells["score"].where(np.isfinite(self.cells["score"])),
            through_random=self.cells["decoder"] == "random, frozen",
        )
        place = ["_row", "_column"]
        by_seed = over_folds(cells).groupby(place, sort=False)
        found = by_seed.agg(
            scored=("score", "count"), mean=("score", "mean"), spread=("score", "std"), whole=("whole", "sum")
        )
        marks = cells.groupby(place, sort=False).agg(
            through_random=("through_random", "any"),
            converged=("converged", "all"),
            dropped=("never_predicted", "max"),
            met=("trained_on", "max"),
        )
        return {
            (self.rows[row], self.columns[column]): Place(
                scored,
                mean,
                spread,
                "†" * through_random
                + "◦" * (not converged)
                + "‡" * (dropped > 0)
                + "◔" * (whole < scored)
                + _SEEN.get(met, ""),
                whole,
            )
            for (row, column), scored, mean, spread, whole, through_random, converged, dropped, met in found.join(
                marks
            ).itertuples()
        }

    @cached_property
    def seeds(self) -> list[int]:
        """Every seed that some cell has."""
        return sorted(set(self.cells["seed"]))

    @cached_property
    def method_rows(self) -> list[Row]:
        """Those that are no controls."""
        return [row for row in self.rows if not row.is_control]

    @cached_property
    def complete_rows(self) -> list[Row]:
        """Methods' rows with a score in every column for every seed and fold: what is ranked or bold is of these."""
        return self.complete_in(self.columns)

    def complete_in(self, columns: Sequence[Column]) -> list[Row]:
        """Methods' rows with a score in every one of `columns` for every seed and fold."""
        return [row for row in self.method_rows if all(self._whole(row, c) == len(self.seeds) for c in columns)]

    @cached_property
    def pretraining_keys(self) -> set[str]:
        """The keys of the pre-trainings that its cells rest on."""
        return set(self.cells["pretraining"]) - {""}

    @cached_property
    def pretrainings(self) -> pd.DataFrame:
        """Their lines of `StoreFrames.pretrainings`, with the label of the row that each is of as ``row``."""
        every = self.frames.pretrainings
        found = every[every["key"].isin(self.pretraining_keys)]
        labels = [Row("", *names).label for names in zip(found["method"], found["options"], strict=True)]
        return found.assign(row=pd.Series(labels, found.index, dtype=object))

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

    def test_cases(self, column: Column) -> tuple[int, int]:
        """How many test cases a column has, over its folds, and of how many subjects they are."""
        most = self.lines(column).groupby("fold")[["cases", "subjects"]].max().sum()
        return int(most["cases"]), int(most["subjects"])

    def of_pairs(self, column: Column) -> bool:
        """Whether a score of a column is over pairs of test cases."""
        cases, cell = self.frames.cases, self.lines(column).index[0]
        first = int(np.searchsorted(cases["cell"].to_numpy(), cell))
        return first < len(cases) and cases["cell"].iloc[first] == cell and bool(cases["partner"].iloc[first])

    def folds(self, column: Column) -> tuple[int, int]:
        """How many folds a column pools, and how many there are; 1 and 1 for the cases of a single one."""
        lines = self.lines(column)
        pooled = lines["_pool"].iloc[0] == column[2]
        return (int(lines["fold"].nunique()), int(lines["folds"].iloc[0])) if pooled else (1, 1)

    def _whole(self, row: Row, column: Column) -> int:
        found = self.places.get((row, column))
        return found.whole if found else 0


def over_folds(cells: pd.DataFrame) -> pd.DataFrame:
    """One line a row, column and seed of `cells`: the ``score`` over its folds, and whether it is ``whole``.

    Each fold's score is weighted by its test cases: a DSC is so the mean over all cases, an AUC one of each fold's own.
    A score is whole that has every fold of the column.
    """
    folds = cells.groupby("_column")["fold"].nunique()
    if (folds == 1).all():
        return cells.assign(whole=cells["score"].notna())
    scored = cells[cells["score"].notna()]
    weight = scored["cases"].clip(lower=1)
    sums = scored.assign(_score=scored["score"] * weight, _weight=weight).groupby(["_row", "_column", "seed"])
    found = sums.agg(_score=("_score", "sum"), _weight=("_weight", "sum"), _folds=("fold", "nunique"))
    whole = found["_folds"].to_numpy() == folds.reindex(found.index.get_level_values("_column")).to_numpy()
    pooled = found.assign(score=found["_score"] / found["_weight"], whole=whole)[["score", "whole"]]
    every = cells[["_row", "_column", "seed"]].drop_duplicates()
    return every.join(pooled, on=["_row", "_column", "seed"]).fillna({"whole": False}).astype({"whole": bool})


def tables_of(frames: StoreFrames, single_folds: bool = False) -> list[Table]:
    """Cells that differ in setting, kind of data, backbone or corpus never meet in a table.

    The folds of one cross-validation pool in one column, or with `single_folds` have one each. A row that no corpus
    made stands in the table of each corpus. Raises UserError where cells of one column met different cases.
    """
    cells = frames.cells
    pools = cells["cohort"] if single_folds else cells["_pool"].where(cells["_pool"] != "", cells["cohort"])
    frames = frames._replace(cells=cells.assign(_cases=pools))
    tables = []
    for _, group in frames.cells.groupby(["setting", "data", "network"], sort=False):
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
    column_of = list(zip(cells["task"], cells["protocol"], cells["_cases"], strict=True))
    rows = sorted(set(row_of), key=lambda row: (order.get(row.paradigm, len(order)), row.method, row.options))
    fold_of = dict(zip(column_of, cells["fold"].where(cells["_cases"] != cells["_pool"], 0), strict=True))
    columns = sorted(
        set(column_of),
        key=lambda column: (not column[1].startswith("linear-v"), *column[1::-1], fold_of[column], column[2]),
    )
    row_places, column_places = ({one: place for place, one in enumerate(found)} for found in (rows, columns))
    cells = cells.assign(
        _row=[row_places[row] for row in row_of], _column=[column_places[column] for column in column_of]
    )
    place = ["_row", "_column", "seed", "fold"]
    # Of two cells that differ in their shifts alone, the one that was scored under more of them stands for both.
    cells = cells.sort_values("shifts", kind="stable", key=lambda names: names.str.len())
    cells = cells.drop_duplicates(place, keep="last").sort_values(place)
    table = Table(setting, cells["data"].iloc[0], corpus, cells, rows, columns, frames)
    check_cases(table)
    return table


def changes_text(table: Table, code: Callable[[str], str]) -> str:
    """What stands behind the preset's name: the backbone where it is not the shared one, and other changes."""
    changes = [one for one in table.setting.overrides if one != f"backbone={table.network}"]
    network = "" if table.network == SHARED_NETWORK else f", backbone {code(table.network)}"
    return network + (f", changed by {', '.join(map(code, changes))}" if changes else "")


def column_title(column: Column, table: Table) -> str:
    """What a column measures; where two differ in their cases only, those too."""
    task, metric, cases = column_parts(column, table)
    return f"{task} {column[1]} {metric}{cases}"


def column_parts(column: Column, table: Table) -> tuple[str, str, str]:
    """The task and the metric of a column, and which cases it is about where that is not the usual."""
    task, _, cases = column
    said = _labels_and_folds(column, table)
    alike = [other for other in table.columns if other[:2] == column[:2] and _labels_and_folds(other, table) == said]
    # A folder's own name is not the abbreviation that a task's is.
    title = task if "-" in task else task.upper()
    return title, table.metric(column).heading, said + (f" {cases[:6]}" if len(alike) > 1 else "")


def _labels_and_folds(column: Column, table: Table) -> str:
    first: Any = table.lines(column).iloc[0]
    labels = "" if first["label_fraction"] == 1 else f", {100 * first['label_fraction']:g}% of labels"
    there, every = table.folds(column)
    if every > 1:
        return f"{labels}, {f'{there} of ' if there < every else ''}{every} folds"
    return labels + (f", fold {first['fold']}" if first["fold"] or first["folds"] > 1 else "")
