"""From the records of a store to all that the page says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ssl_bench.report import table as report_table
from ssl_bench.report.comparison import baseline_label
from ssl_bench.report.page.details import Said, said_of
from ssl_bench.report.page.figures import figures_of
from ssl_bench.report.page.model import Lines, Page, Table
from ssl_bench.report.page.tables import table_of
from ssl_bench.report.pictures import Picture
from ssl_bench.report.published import sources_note
from ssl_bench.report.reading import read_for_pictures
from ssl_bench.spec.record import SEMI_REAL as SEMI_REAL_DATA
from ssl_bench.spec.record import AnyRecord, EvaluationRecord, PretrainingRecord
from ssl_bench.store.store import Store

Pictures = Callable[[report_table.Table, Store, str], Sequence[Picture]]
"""The pictures of a table, those of its cells' examples from the store, set against the row with that label."""


def gather(store: Store, published: bool, baseline: str | None, pictures: Pictures) -> Page:
    """All that the page says of `store`. Raises UserError if no table has the row `baseline`."""
    said: dict[str, Said] = {}
    records = read_for_pictures(store, lambda record: said.update({record.key: said_of(record)}))
    evaluations = [record for record in records if isinstance(record, EvaluationRecord)]
    pretrainings = [record for record in records if isinstance(record, PretrainingRecord)]
    failures = list(store.failures())
    found = report_table.tables_of(evaluations)
    label = baseline_label(found, baseline)
    tables = [
        table_of(f"t{place}", table, label, pretrainings, said, published, figures_of(pictures(table, store, label)))
        for place, table in enumerate(found, 1)
    ]
    semi_real = any(record.data == SEMI_REAL_DATA for record in evaluations)
    return Page(
        summary=_summary(evaluations, pretrainings, failures),
        warning=report_table.SEMI_REAL if semi_real else "",
        filters=_filters(tables),
        tables=tables,
        published_note=sources_note() if published else "",
        failures=Lines(
            ("Cell", "Method", "What", "Reason"),
            [("", (record.key, record.spec.method, _what(record), record.reason or "")) for record in failures],
        ),
    )


def _summary(
    evaluations: Sequence[EvaluationRecord], pretrainings: Sequence[PretrainingRecord], failures: Sequence[AnyRecord]
) -> str:
    counts = [
        (len(evaluations), "cell"),
        (len({record.spec.method for record in evaluations}), "method"),
        (len({record.spec.task for record in evaluations}), "task"),
        (len({record.spec.protocol for record in evaluations}), "protocol"),
        (len({record.spec.seed for record in evaluations}), "seed"),
        (len(pretrainings), "pre-training"),
        (len(failures), "failed cell"),
    ]
    return ", ".join(f"{count} {noun}{'s' if count != 1 else ''}" for count, noun in counts)


def _filters(tables: Sequence[Table]) -> list[tuple[str, str, Sequence[str]]]:
    columns = [column for table in tables for column in table.columns]
    values = {
        ("task", "Task"): [column.task for column in columns],
        ("protocol", "Protocol"): [column.protocol for column in columns],
        ("paradigm", "Paradigm"): [row.paradigm for table in tables for row in table.rows],
        ("data", "Data"): [table.data for table in tables],
    }
    return [(name, title, list(dict.fromkeys(found))) for (name, title), found in values.items()]


def _what(record: AnyRecord) -> str:
    spec = record.spec
    if isinstance(record, EvaluationRecord):
        return f"{record.spec.task} {record.spec.protocol}, seed {spec.seed}"
    return f"pre-training, seed {spec.seed}"
