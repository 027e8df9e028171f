"""From the records of a store to all that the page says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ssl_bench.api.controls import CONTROL_PREFIX
from ssl_bench.report import across_backbones as across
from ssl_bench.report import notes
from ssl_bench.report.comparison import baseline_label
from ssl_bench.report.family import Family
from ssl_bench.report.page.details import describe_evaluation, describe_pretraining
from ssl_bench.report.page.figures import figures_of
from ssl_bench.report.page.model import AcrossBackbones, Lines, Page, Section
from ssl_bench.report.page.sections import section_of
from ssl_bench.report.pictures import Picture
from ssl_bench.report.published import sources_note
from ssl_bench.report.results import StoreFrames, no_collection, read_results
from ssl_bench.report.table import Table, tables_of
from ssl_bench.spec.record import SEMI_REAL, AnyRecord
from ssl_bench.store.store import Store

Pictures = Callable[[Table, Store, str], Sequence[Picture]]
"""The pictures of a table, those of its cells' examples from the store, set against the row with that label."""


def gather(
    store: Store,
    published: bool,
    baseline: str | None,
    family: Family,
    pictures: Pictures,
    single_folds: bool = False,
) -> Page:
    """All that the page says of `store`; p corrected over `family`. Raises UserError if no table has `baseline`."""
    frames = read_results(store, details=True)
    found = tables_of(frames, single_folds)
    label = baseline_label(found, baseline)
    with no_collection():
        evaluations = {record.key: describe_evaluation(record) for record in store.evaluations()}
        pretrainings = {record.key: describe_pretraining(record) for record in store.pretrainings()}
    sections = [
        section_of(
            f"t{place}",
            table,
            label,
            family,
            evaluations,
            pretrainings,
            published,
            figures_of(pictures(table, store, label)),
        )
        for place, table in enumerate(found, 1)
    ]
    failures = list(store.failures())
    return Page(
        summary=_summary(frames, len(failures)),
        warning=notes.SEMI_REAL if (frames.cells["data"] == SEMI_REAL).any() else "",
        filters=_filters(sections),
        sections=sections,
        across_backbones=[_across(one) for one in across.across_backbones(found)],
        published_note=sources_note() if published else "",
        failures=Lines(
            ("Cell", "Method", "What", "Reason"),
            [("", (record.key, record.spec.method, _what(record), record.reason or "")) for record in failures],
        ),
    )


def _summary(frames: StoreFrames, failures: int) -> str:
    cells = frames.cells
    controls = cells["method"].str.startswith(CONTROL_PREFIX)
    counts = [
        (len(cells), "cell"),
        (cells["method"][~controls].nunique(), "method"),
        *([(cells["method"][controls].nunique(), "control")] if controls.any() else []),
        *((cells[name].nunique(), name) for name in ("task", "protocol", "seed")),
        (len(frames.pretrainings), "pre-training"),
        (failures, "failed cell"),
    ]
    return ", ".join(f"{count} {noun}{'s' if count != 1 else ''}" for count, noun in counts)


def _across(found: across.AcrossBackbones) -> AcrossBackbones:
    header, lines = across.rank_lines(found)
    ranks = Lines(header, [(line[0], line) for line in lines])
    header, lines = across.agreement_lines(found)
    agreements = Lines(header, [("", line) for line in lines])
    return AcrossBackbones(found.title, found.note, ranks, across.TAU, agreements)


def _filters(sections: Sequence[Section]) -> list[tuple[str, str, Sequence[str]]]:
    columns = [column for section in sections for column in section.columns]
    values = {
        ("task", "Task"): [column.task for column in columns],
        ("protocol", "Protocol"): [column.protocol for column in columns],
        ("paradigm", "Paradigm"): [row.paradigm for section in sections for row in section.rows],
        ("data", "Data"): [section.table.data for section in sections],
    }
    return [(name, title, list(dict.fromkeys(found))) for (name, title), found in values.items()]


def _what(record: AnyRecord) -> str:
    return record.spec.title.removeprefix(f"{record.spec.method} ")
