"""One table of the report with everything that stands under its heading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssl_bench.report.beside import beside_table
from ssl_bench.report.cell_text import mean_rank_text
from ssl_bench.report.comparison import compare_columns
from ssl_bench.report.family import Family
from ssl_bench.report.markdown import pretraining_table, pretrainings_of
from ssl_bench.report.mean_rank import MeanRanks, mean_ranks
from ssl_bench.report.notes import (
    data_notes,
    environments,
    mean_rank_note,
    never_predicted,
    test_notes,
    units,
    unranked,
)
from ssl_bench.report.page.cells import cell_id, cell_of
from ssl_bench.report.page.configuration import Blocks
from ssl_bench.report.page.details import Described, pretraining_detail
from ssl_bench.report.page.model import ColumnLines, ColumnTests, EntryRow, Figure, Heading, Lines, Section
from ssl_bench.report.paradigms import paradigm_table
from ssl_bench.report.published import ON_REAL, ON_SEMI_REAL, published_at, published_table
from ssl_bench.report.robustness import robustness_tables
from ssl_bench.report.significance import comparison_table, families
from ssl_bench.report.table import Column, Table, changes_text, column_parts, column_title
from ssl_bench.report.trajectories import trajectory_table, with_snapshots
from ssl_bench.spec.record import EvaluationRecord, PretrainingRecord


def section_of(
    name: str,
    table: Table,
    baseline: str,
    family: Family,
    evaluations: Mapping[str, Described[EvaluationRecord]],
    pretrainings: Mapping[str, Described[PretrainingRecord]],
    published: bool,
    figures: Sequence[Figure],
) -> Section:
    """Everything about `table`; `name` begins every id in it, the records stand under their keys.

    p of differences to the row called `baseline`, and of pairs, are corrected over `family`.
    """
    blocks, setting = Blocks(name), table.setting
    tests = compare_columns(table, baseline, family) if setting.ranked else {}
    ranks = mean_ranks(table)
    columns, best = _columns(table), {column: table.best_rows(column) for column in table.columns}
    heading = dict(zip(table.columns, columns, strict=True))
    paradigm_of = {row.method: row.paradigm for row in table.rows}
    rested_on = pretrainings_of(table)
    header, lines = pretraining_table(rested_on)
    rows = [
        EntryRow(
            label=row.label,
            paradigm=row.paradigm,
            mark="control" if row.is_control else "" if row in table.complete_rows else "incomplete",
            cells=[
                cell_of(table, row, column, best[column], tests.get(column), evaluations, blocks, name)
                for column in table.columns
            ],
            mean_rank=mean_rank_text(ranks.over([row])),
        )
        for row in table.rows
    ]
    return Section(
        id=name,
        title=f"Preset {setting.preset}{changes_text(table, str)}",
        table=table,
        baseline=baseline if any(found.differences for found in tests.values()) else "",
        notes=_notes(table),
        units=units(table),
        never_predicted=never_predicted(table),
        columns=columns,
        rows=rows,
        paradigms=_paradigms(table, columns, ranks),
        test_notes=test_notes(table, family),
        tests=[
            ColumnTests(
                column,
                families(tests[key]),
                Lines(*_with_paradigms([row.paradigm for row in tests[key].summaries], *comparison_table(tests[key]))),
                [cell_id(table, row, key, name) for row in tests[key].summaries],
                _beside(table, key),
            )
            for column, key in zip(columns, table.columns, strict=True)
            if key in tests
        ],
        robustness=[
            ColumnLines(heading[key], _about_rows(table, *lines, label_at=1)) for key, lines in robustness_tables(table)
        ],
        trajectories=[
            ColumnLines(heading[key], _about_rows(table, *trajectory_table(table, key, rows), label_at=0))
            for key, rows in with_snapshots(table).items()
        ],
        pretrainings=Lines(*_with_paradigms([paradigm_of.get(m, "") for m in rested_on["method"]], header, lines)),
        pretraining_details=[pretraining_detail(pretrainings[key], blocks) for key in rested_on["key"]],
        pretraining_ids=[f"{name}-{key}" for key in rested_on["key"]],
        blocks=list(blocks),
        figures=figures,
        published=_published(table, columns) if published else Lines((), ()),
        published_note=ON_REAL if table.is_real else ON_SEMI_REAL.replace("**", ""),
    )


def _notes(table: Table) -> list[str]:
    seeds = ", ".join(map(str, table.seeds))
    spread = f", then mean ± standard deviation over seeds {seeds}" if len(table.seeds) > 1 else f", seed {seeds}"
    incomplete = "A row that lacks a cell or a seed is incomplete: shown, never bold and never ranked."
    controls = "A control is no method: it says what a score is worth, and has no rank."
    return [
        *unranked(table, str),
        f"Mean over test cases, {units(table)}{spread}. Setting {table.setting.digest}.",
        *([incomplete] if len(table.complete_rows) < len(table.method_rows) else []),
        *([controls] if len(table.method_rows) < len(table.rows) else []),
        *mean_rank_note(table),
        *data_notes(table, str, str),
        *environments(table),
    ]


def _columns(table: Table) -> list[Heading]:
    columns = []
    for place, column in enumerate(table.columns):
        task, metric, cases = column_parts(column, table)
        lower = not table.metric(column).higher_is_better
        opens = place == 0 or table.columns[place - 1][1] != column[1]
        columns.append(Heading(column_title(column, table), column[0], task, column[1], metric + cases, opens, lower))
    return columns


def _paradigms(table: Table, columns: Sequence[Heading], ranks: MeanRanks) -> Lines:
    header, lines = paradigm_table(table, ranks)
    return Lines(*_with_paradigms([line[0] for line in lines], header, lines), columns=(None, None, *columns, None))


def _beside(table: Table, column: Column) -> Lines:
    header, lines = beside_table(table, column)
    paradigms = [row.paradigm for row, _ in table.by_row(column)]
    return Lines(*_with_paradigms(paradigms, header, lines)) if lines else Lines((), ())


def _about_rows(table: Table, header: Sequence[str], lines: Sequence[Sequence[str]], label_at: int) -> Lines:
    """Lines that name a row of `table` at one place, or none."""
    paradigm_of = {row.label: row.paradigm for row in table.rows}
    return Lines(*_with_paradigms([paradigm_of.get(line[label_at], "") for line in lines], header, lines))


def _published(table: Table, columns: Sequence[Heading]) -> Lines:
    header, lines = published_table(table)
    if not header[1:]:
        return Lines((), ())
    known = [column for column in columns if published_at("scratch", column.task, column.protocol)]
    twice = [column for column in known for _ in ("published", "here")]
    return Lines(*_with_paradigms([row.paradigm for row in table.rows], header, lines), columns=(None, *twice))


def _with_paradigms(
    paradigms: Sequence[str], header: Sequence[str], lines: Sequence[Sequence[str]]
) -> tuple[Sequence[str], list[tuple[str, Sequence[str]]]]:
    return header, list(zip(paradigms, lines, strict=True))
