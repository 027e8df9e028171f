"""The model of a leaderboard: which records stand in one table, its rows and its columns."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from ssl_bench.api.method_facts import PARADIGMS
from ssl_bench.spec.record import EvaluationRecord, Setting
from ssl_bench.spec.specification import CorpusSpec, PretrainingSpec

SEMI_REAL = (
    "Semi-real data: every volume is grown from one real chest CT or one average brain by smooth warps, synthetic "
    "lesions and simulated acquisition (1 anatomy). Smooth warps of one anatomy are exactly what a method with a "
    "deformable matching head can invert, so such methods are favoured here. Scores are not comparable with any "
    "paper's, and differences speak of the generator, not of patients."
)


Column = tuple[str, str, str]
"""Task, protocol, and what identifies the cases."""


@dataclass(frozen=True)
class Row:
    """One method with one set of options."""

    paradigm: str
    method: str
    options: str

    @property
    def label(self) -> str:
        """The method, with the options that differ from its defaults."""
        return f"{self.method} ({self.options})" if self.options else self.method


@dataclass
class Table:
    """All cells of one setting, one kind of data and one pre-training corpus; what it says is worked out once."""

    setting: Setting
    data: str
    corpus: CorpusSpec | None = None
    """What the rows were pre-trained on; None where none was."""
    cells: dict[Row, dict[Column, dict[int, EvaluationRecord]]] = field(default_factory=lambda: defaultdict(dict))

    @cached_property
    def columns(self) -> list[Column]:
        """Every column that some row has, protocol by protocol."""
        found = {column for row in self.cells.values() for column in row}
        return sorted(found, key=lambda column: (column[1] != "linear-v1", column[1], column[0], column[2]))

    @cached_property
    def rows(self) -> list[Row]:
        """Rows by paradigm, in the order of the GVSL supplement."""
        order = {name: place for place, name in enumerate((*PARADIGMS, "external"))}
        return sorted(self.cells, key=lambda row: (order.get(row.paradigm, len(order)), row.method, row.options))

    @cached_property
    def seeds(self) -> list[int]:
        """Every seed that some cell has."""
        return sorted({seed for row in self.cells.values() for records in row.values() for seed in records})

    @cached_property
    def complete_rows(self) -> list[Row]:
        """The rows with a score in every column for every seed: what is ranked, bold or averaged is one of these."""
        return [
            row for row in self.rows if all(len(self.scores(row, column)) == len(self.seeds) for column in self.columns)
        ]

    @cached_property
    def pretraining_keys(self) -> set[str]:
        """The keys of the pre-trainings that its cells rest on."""
        backbones = (record.spec.backbone for record in self.records())
        return {backbone.key for backbone in backbones if isinstance(backbone, PretrainingSpec)}

    def records(self, column: Column | None = None) -> Iterator[EvaluationRecord]:
        """Every record, or every one of `column`, row by row."""
        for row in self.rows:
            for place, by_seed in self.cells[row].items():
                if column in (None, place):
                    yield from by_seed.values()

    def said_by_task(self, name: Literal["overlap", "left_out"]) -> dict[str, list[str]]:
        """What the records of each task list under `name`, sorted and without repetition; only tasks that list any."""
        found: dict[str, set[str]] = defaultdict(set)
        for record in self.records():
            if listed := getattr(record, name):
                found[record.spec.task].update(listed)
        return {task: sorted(listed) for task, listed in sorted(found.items())}

    def row_called(self, label: str) -> Row | None:
        """The row with that label; None where there is none."""
        return next((row for row in self.rows if row.label == label), None)

    def best_rows(self, column: Column) -> list[Row]:
        """The complete rows whose mean, as printed, is the best of `column`; none in a table that is not ranked."""
        ranked = self.complete_rows if self.setting.ranked else []
        means = {row: round(round(statistics.fmean(self.scores(row, column)), 8), 3) for row in ranked}
        return [row for row, mean in means.items() if mean == max(means.values())]

    def scores(self, row: Row, column: Column) -> list[float]:
        """The scores over seeds, undefined ones left out."""
        records = self.cells[row].get(column, {})
        found = [record.score for _, record in sorted(records.items()) if record.score is not None]
        return [score for score in found if math.isfinite(score)]

    def is_complete(self, row: Row) -> bool:
        """Whether `row` is one of the `complete_rows`."""
        return row in self.complete_rows


def rows_of(records: Iterable[EvaluationRecord]) -> list[Row]:
    """The row of each record: `row_of`, told apart where one name stands for several pieces of code or files."""
    versions: dict[Row, set[str]] = defaultdict(set)
    found = [(row_of(record), record.spec.backbone.version) for record in records]
    for row, version in found:
        versions[row].add(version)
    return [
        row if len(versions[row]) == 1 else replace(row, options=", ".join(filter(None, (row.options, version))))
        for row, version in found
    ]


def tables_of(records: Iterable[EvaluationRecord]) -> list[Table]:
    """Records that differ in setting, kind of data or corpus never meet in a table.

    A row that no corpus made stands in the table of each corpus.
    """
    groups: dict[tuple[str, str], list[EvaluationRecord]] = defaultdict(list)
    for record in records:
        groups[record.setting.digest, record.data].append(record)
    tables = []
    for (_, data), group in groups.items():
        corpora: list[CorpusSpec] = []
        for record in group:
            corpus = corpus_of(record)
            if corpus is not None and corpus not in corpora:
                corpora.append(corpus)
        rows = rows_of(group)
        # Options of single methods, which not all cells share, are in the names of their rows.
        shared = [one for one in group[0].setting.overrides if all(one in r.setting.overrides for r in group)]
        setting = group[0].setting.model_copy(update={"overrides": shared})
        for here in (*corpora,) or (None,):
            table = Table(setting, data, here)
            for record, row in zip(group, rows, strict=True):
                if corpus_of(record) in (here, None):
                    column = (record.spec.task, record.spec.protocol_title, record.spec.data.column)
                    table.cells[row].setdefault(column, {})[record.spec.seed] = record
            tables.append(table)
    return sorted(tables, key=lambda table: (not table.setting.ranked, table.setting.preset, table.setting.digest))


def corpus_of(record: EvaluationRecord) -> CorpusSpec | None:
    """What the record's backbone was pre-trained on; None where nothing is known or needed."""
    return getattr(record.spec.backbone, "corpus", None)


def row_of(record: EvaluationRecord) -> Row:
    """The row that a record stands in."""
    options: dict[str, Any] = getattr(record.spec.backbone, "options", {})
    return Row(record.paradigm, record.spec.method, changed_options(options))


def changed_options(options: dict[str, Any]) -> str:
    """The options that differ from a method's defaults, in words."""
    return ", ".join(f"{name}={value}" for name, value in sorted(options.items()))


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
    return title, next(table.records(column)).metric, said + (f" {cases[:6]}" if len(alike) > 1 else "")


def _labels_and_fold(column: Column, table: Table) -> str:
    data = next(table.records(column)).spec.data
    labels = "" if data.label_fraction == 1 else f", {100 * data.label_fraction:g}% of labels"
    return labels + (f", fold {data.fold}" if data.fold else "")
