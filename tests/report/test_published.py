"""Published numbers: as printed, beside measured ones, never among them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from ssl_bench.cells.store import Store
from ssl_bench.registry import METHODS, TASKS
from ssl_bench.report.cells_csv import write_csv
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.published import published_at, read_published

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "quick"


def test_every_row_and_column_of_the_table_is_there() -> None:
    places = read_published().keys()
    assert len(places) == 13 * 8
    assert {place.method for place in places} == set(METHODS.names())
    assert {place.task for place in places} == set(TASKS.names())
    assert {place.protocol for place in places} == {"linear", "finetune"}


@pytest.mark.parametrize(
    ("method", "task", "protocol", "percent"),
    [
        ("scratch", "shc", "linear-v1", 21.9),
        ("gvsl", "shc", "linear-v1", 68.4),
        ("gvsl", "sbm", "finetune-v1", 90.0),
        ("rotation", "ccc", "linear-v1", 62.1),
        ("gvsl_no_affine", "sac", "finetune-v1", 82.3),
        ("gvsl_no_fundament", "sac", "linear-v1", 0.0),
        ("deepcluster", "ccc", "finetune-v1", 59.9),
    ],
)
def test_numbers_are_as_printed(method: str, task: str, protocol: str, percent: float) -> None:
    published = published_at(method, task, protocol)
    assert published is not None
    assert published.percent == percent
    assert published.source == "He et al., GVSL, CVPR 2023, Table 1"


def test_a_protocol_of_our_own_has_no_published_number() -> None:
    assert published_at("gvsl", "shc", "probe-v1") is None


def test_the_measured_tables_stay_as_they_are_and_the_page_says_what_stands_side_by_side() -> None:
    store = Store(REFERENCE)
    plain, both = write_markdown(store), write_markdown(store, published=True)
    assert both.startswith(plain)
    added = both.removeprefix(plain)
    assert "published on patients' scans. The two cannot be compared" in added
    assert "**" not in "".join(line for line in added.splitlines() if line.startswith("|"))
    (row,) = (line for line in added.splitlines() if line.startswith("| gvsl |"))
    assert " 68.4 | " in row


def test_the_csv_keeps_published_numbers_in_columns_of_their_own() -> None:
    store = Store(REFERENCE)
    plain = list(csv.DictReader(io.StringIO(write_csv(store))))
    both = list(csv.DictReader(io.StringIO(write_csv(store, published=True))))
    assert [{name: row[name] for name in plain[0]} for row in both] == plain
    (cell,) = (r for r in both if (r["method"], r["task"], r["protocol"]) == ("gvsl", "shc", "linear-v1"))
    assert cell["published_percent"] == "68.4"
    assert cell["published_source"].endswith("on other data than this row's")
