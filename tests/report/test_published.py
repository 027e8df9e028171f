"""Published numbers: as printed, beside measured ones, never among them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from ssl_bench.api.registry import METHODS, TASKS
from ssl_bench.report.cells_csv import write_csv
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.published import (
    Place,
    Published,
    published_at,
    published_beside,
    published_section,
    read_published,
)
from ssl_bench.report.table import Row
from ssl_bench.store.store import Store
from tests.report.made_up import tables

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "quick"


def test_every_row_and_column_of_the_table_is_there() -> None:
    places = read_published().keys()
    assert len(places) == 13 * 8
    assert {place.method for place in places} <= set(METHODS.names())
    assert {place.task for place in places} == set(TASKS.names())
    assert {place.protocol for place in places} == {"linear", "finetune"}


# He et al., CVPR 2023, Table 1 (page 6) as printed: linear, then fine-tuning.
TABLE_1 = """
                    SHC   SAC   CCC   SBM    SHC   SAC   CCC   SBM
scratch            21.9  10.0  52.7  56.4   87.8  80.4  74.4  89.7
denoising          31.4   9.3  57.9  28.3   90.3  80.5  75.6  89.7
inpainting         32.3   5.9  57.1  25.0   90.4  80.3  79.9  89.9
models_genesis     47.4  22.5  60.4  44.9   90.3  79.9  80.7  89.4
rotation           56.1  21.9  62.1  54.1   90.6  81.1  77.1  89.6
deepcluster        55.9   4.4  57.9  67.5   85.4  80.5  59.9  89.1
simsiam            56.5   9.7  61.0  66.2   87.5  80.1  73.6  89.8
byol               46.9   8.6  53.7  52.7   88.6  80.7  76.5  89.5
simclr             48.7  15.5  61.3  58.7   86.9  79.9  74.3  89.3
gvsl_no_zmatching  49.1  21.1  55.8  45.1   88.3  81.2  81.3  89.7
gvsl_no_fundament  45.3   0.0  58.8  48.5   87.0  79.5  76.6  89.0
gvsl_no_affine     57.7  17.9  57.6  53.4   89.4  82.3  79.8  89.8
gvsl               68.4  28.7  60.8  79.9   91.2  81.3  82.2  90.0
"""


def test_numbers_are_as_printed() -> None:
    tasks, *rows = (line.split() for line in TABLE_1.strip().splitlines())
    places = list(zip(map(str.lower, tasks), ["linear"] * 4 + ["finetune"] * 4, strict=True))
    printed = {
        Place(method, *place): Published(float(percent), "He et al., GVSL, CVPR 2023, Table 1")
        for method, *percents in rows
        for place, percent in zip(places, percents, strict=True)
    }
    assert read_published() == printed


def test_a_versioned_protocol_finds_its_number() -> None:
    found = published_at("gvsl_no_affine", "sac", "finetune-v1")
    assert found is not None
    assert found.percent == 82.3


def test_a_protocol_of_our_own_has_no_published_number() -> None:
    assert published_at("gvsl", "shc", "probe-v1") is None


@pytest.mark.parametrize(
    ("options", "preset", "percent"),
    [
        ("", "quick", 55.9),
        ("clusters=50, period=76", "paper", 55.9),
        ("clusters=50, period=76", "quick", None),
        ("clusters=60, period=76", "paper", None),
        ("", "../a preset of another version", 55.9),
    ],
)
def test_numbers_stand_beside_default_options_and_those_of_the_preset(
    options: str, preset: str, percent: float | None
) -> None:
    found = published_beside(Row("centroid-absolute", "deepcluster", options), preset, "shc", "linear-v1")
    assert (found and found.percent) == percent


def test_the_measured_tables_stay_as_they_are_and_the_page_says_what_stands_side_by_side() -> None:
    store = Store(REFERENCE)
    plain, both = write_markdown(store), write_markdown(store, published=True)
    assert both.startswith(plain)
    added = both.removeprefix(plain)
    assert "published on patients' scans. The two cannot be compared" in added
    assert "Published: " in added
    assert "They enter no mean, no comparison and no bold type of this page." in added
    assert "**" not in "".join(line for line in added.splitlines() if line.startswith("|"))
    (row,) = (line for line in added.splitlines() if line.startswith("| gvsl |"))
    assert " 68.4 | " in row


@pytest.mark.parametrize("measured", [False, True], ids=["an empty store", "a protocol of our own alone"])
def test_where_nothing_was_measured_the_published_table_stands_alone(measured: bool) -> None:
    record = next(Store(REFERENCE).evaluations())
    probed = record.model_copy(update={"spec": record.spec.model_copy(update={"protocol": "probe-v1"})})
    page = published_section(tables(probed) if measured else [])
    assert "Nothing was measured that could stand beside them." in page
    header, _, *rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    assert header[:3] == ["Method", "SHC linear published", "SAC linear published"]
    assert [row[0] for row in rows] == list(dict.fromkeys(place.method for place in read_published()))
    assert rows[0] == ["scratch", "21.9", "10.0", "52.7", "56.4", "87.8", "80.4", "74.4", "89.7"]


def test_the_csv_keeps_published_numbers_in_columns_of_their_own() -> None:
    store = Store(REFERENCE)
    plain = list(csv.DictReader(io.StringIO(write_csv(store))))
    both = list(csv.DictReader(io.StringIO(write_csv(store, published=True))))
    assert [{name: row[name] for name in plain[0]} for row in both] == plain
    (cell,) = (r for r in both if (r["method"], r["task"], r["protocol"]) == ("gvsl", "shc", "linear-v1"))
    assert cell["published_percent"] == "68.4"
    assert cell["published_source"].endswith("on other data than this row's")
