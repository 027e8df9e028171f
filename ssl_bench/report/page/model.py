"""What the page says, as plain text and numbers that the template only has to place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from ssl_bench.report.table import Table

Facts = Sequence[tuple[str, str]]
"""Names with their values."""


@dataclass(frozen=True)
class Block:
    """A part of a configuration that several cells share and that stands on the page once."""

    id: str
    title: str
    facts: Facts


@dataclass(frozen=True)
class Detail:
    """One record in words and curves."""

    key: str
    title: str
    facts: Facts
    curves: Sequence[Markup]
    blocks: Sequence[Block]
    pretraining: str = ""
    """Where on the page the pre-training of the record's backbone stands; empty without one."""


@dataclass(frozen=True)
class Entry:
    """What the page shows at one place of a table: a row's records of every seed."""

    id: str
    score: str
    marks: Sequence[tuple[str, str]]
    """Each with its meaning."""
    best: bool
    may_be_best: bool
    interval: str
    rank: str
    difference: str
    """To the baseline; empty where there is none."""
    difference_interval: str
    p: str
    direction: str
    """``better`` or ``worse`` where the corrected p is below 0.05, else empty."""
    score_number: float | None
    difference_number: float | None
    details: Sequence[Detail]


@dataclass(frozen=True)
class Heading:
    """What stands above a column: one task under one protocol."""

    title: str
    task: str
    task_title: str
    protocol: str
    measure: str
    """The metric, and which cases where that is not the usual."""
    opens_protocol: bool
    """Whether it is the first column of its protocol."""
    lower_is_better: bool


@dataclass(frozen=True)
class EntryRow:
    """One method with one set of options."""

    label: str
    paradigm: str
    mark: Literal["", "incomplete", "control"]
    """Why it has no rank."""
    cells: Sequence[Entry | None]
    mean_rank: str


@dataclass(frozen=True)
class Lines:
    """A table of text, each line with the paradigm it is of."""

    header: Sequence[str]
    lines: Sequence[tuple[str, Sequence[str]]]
    columns: Sequence[Heading | None] = ()
    """What each part of a line is about, where it is about a column of the leaderboard."""


@dataclass(frozen=True)
class ColumnTests:
    """The statistics of one column."""

    column: Heading
    families: str
    lines: Lines
    cells: Sequence[str]
    """The id of the cell that each line is about."""
    beside: Lines
    """What is shown beside the metric; no lines where nothing is."""


@dataclass(frozen=True)
class ColumnLines:
    """A table about one column."""

    column: Heading
    lines: Lines


@dataclass(frozen=True)
class Figure:
    """A picture on the page."""

    name: str
    title: str
    caption: str
    description: str
    address: str
    """The image itself as a data URI; empty where the page has no room for it."""


@dataclass(frozen=True)
class Section:
    """All that stands under the heading of one table."""

    id: str
    title: str
    table: Table
    baseline: str
    """The label of the row that differences are to; empty without differences."""
    notes: Sequence[str]
    units: str
    """What the numbers are multiplied by."""
    never_predicted: str
    """What the mark of a row says that misses a structure or a class altogether."""
    columns: Sequence[Heading]
    rows: Sequence[EntryRow]
    paradigms: Lines
    test_notes: Sequence[str]
    """How to read `tests`."""
    tests: Sequence[ColumnTests]
    robustness: Sequence[ColumnLines]
    """The columns in which some cell was scored under shifts."""
    trajectories: Sequence[ColumnLines]
    """The columns in which some pre-training was read before its end."""
    pretrainings: Lines
    pretraining_details: Sequence[Detail]
    """One for each line of `pretrainings`."""
    pretraining_ids: Sequence[str]
    blocks: Sequence[Block]
    figures: Sequence[Figure]
    published: Lines
    """Papers' numbers beside the measured ones; no lines where none are asked for or known."""
    published_note: str


@dataclass(frozen=True)
class AcrossBackbones:
    """Ranks on several backbones side by side."""

    title: str
    note: str
    ranks: Lines
    tau_note: str
    agreements: Lines
    """No lines where there are too few methods."""


@dataclass(frozen=True)
class Page:
    """The whole page."""

    summary: str
    warning: str
    """What must be read before any number; empty where all data are real."""
    filters: Sequence[tuple[str, str, Sequence[str]]]
    """What can be filtered by: the attribute's name, its title and its values."""
    sections: Sequence[Section]
    across_backbones: Sequence[AcrossBackbones]
    published_note: str
    """Empty where no published numbers are asked for."""
    failures: Lines
