"""Published numbers beside measured ones: never in a statistic, never without saying what they were measured on."""

from __future__ import annotations

import csv
import importlib.resources
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from ssl_bench.api.settings import load_preset, preset_names
from ssl_bench.report.markdown_table import markdown_table
from ssl_bench.report.row_options import changed_options
from ssl_bench.report.table import Row, Table, column_parts

ON_SEMI_REAL = (
    "**measured here on semi-real volumes grown from one anatomy, published on patients' scans. The two cannot be "
    "compared**; they stand side by side to show which rows and columns of the paper are covered."
)
ON_REAL = "measured on real data with this project's splits, which are not the paper's: those are unpublished."


class Place(NamedTuple):
    """A cell of a published table."""

    method: str
    task: str
    protocol: str
    """Without a version: papers number none."""


class Published(NamedTuple):
    """What a paper prints there."""

    percent: float
    source: str


@cache
def read_published() -> dict[Place, Published]:
    """Every published number that ships with ssl-bench."""
    found = {}
    for file in importlib.resources.files("ssl_bench.published").iterdir():
        if file.name.endswith(".csv"):
            for row in csv.DictReader(file.read_text("utf-8").splitlines()):
                place = Place(row["method"], row["task"], row["protocol"])
                found[place] = Published(float(row["percent"]), row["source"])
    return found


def published_at(method: str, task: str, protocol: str) -> Published | None:
    """What was published for `method` with its default options; `protocol` is versioned."""
    return read_published().get(Place(method, task, protocol.rpartition("-v")[0]))


def published_beside(row: Row, preset: str, task: str, protocol: str) -> Published | None:
    """What was published for `row`; None where its options are neither its method's defaults nor those of `preset`."""
    return published_at(row.method, task, protocol) if row.options in ("", _options_of(preset, row.method)) else None


@cache
def _options_of(preset: str, method: str) -> str:
    """What `preset`, which a record names and this version may not know, changes in `method`."""
    return changed_options(load_preset(preset).methods.get(method, {})) if preset in preset_names() else ""


def published_section(tables: Sequence[Table]) -> str:
    """For each measured table, the published numbers and the measured ones side by side; without any, those alone."""
    parts = []
    for table in tables:
        header, rows = published_table(table)
        if header[1:]:
            parts.append(f"Preset `{table.setting.preset}`: {ON_REAL if table.is_real else ON_SEMI_REAL}\n")
            parts.append(markdown_table(header, rows))
    if not parts:
        parts = ["Nothing was measured that could stand beside them.\n", markdown_table(*_whole_table())]
    return "\n".join(["## Published numbers beside measured ones\n", f"{sources_note()}\n", *parts])


def sources_note() -> str:
    """Where the published numbers come from, and what they do not enter."""
    sources = "; ".join(sorted({published.source for published in read_published().values()}))
    return (
        f"Published: {sources}; percent as printed there, one run each, without spread. They enter no mean, no "
        "comparison and no bold type of this page."
    )


def published_table(table: Table) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the columns of `table` that papers have too, as plain text."""
    columns = [column for column in table.columns if published_at("scratch", column[0], column[1])]
    here = "here" if table.is_real else "here, semi-real"
    header = ["Method"]
    for column in columns:
        task, protocol, _ = column
        header += [
            f"{task.upper()} {protocol.rpartition('-v')[0]} published",
            f"{here}{column_parts(column, table)[2]}",
        ]
    rows = []
    for row in table.rows:
        cells = [row.label]
        for column in columns:
            published = published_beside(row, table.setting.preset, column[0], column[1])
            place = table.place(row, column)
            cells.append(f"{published.percent:.1f}" if published else "–")
            cells.append(table.metric(column).text(place.mean) if place else "–")
        rows.append(cells)
    return header, rows


def _whole_table() -> tuple[list[str], list[list[str]]]:
    """Everything that was published, in the papers' order."""
    found = read_published()
    columns = list(dict.fromkeys((place.task, place.protocol) for place in found))
    rows = []
    for method in dict.fromkeys(place.method for place in found):
        here = [found.get(Place(method, *column)) for column in columns]
        rows.append([method, *(f"{published.percent:.1f}" if published else "–" for published in here)])
    return ["Method", *(f"{task.upper()} {protocol} published" for task, protocol in columns)], rows
