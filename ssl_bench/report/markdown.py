"""The leaderboard as Markdown."""

from __future__ import annotations

import pandas as pd

from ssl_bench.report.across_backbones import across_backbones_sections
from ssl_bench.report.cell_text import mean_rank_text, number_text, score_text
from ssl_bench.report.comparison import baseline_label
from ssl_bench.report.family import Family
from ssl_bench.report.markdown_table import code, escaped, markdown_table
from ssl_bench.report.mean_rank import mean_ranks
from ssl_bench.report.notes import (
    PARADIGMS,
    PRETRAININGS,
    SEMI_REAL,
    data_notes,
    mean_rank_note,
    never_predicted,
    units,
    unranked,
)
from ssl_bench.report.paradigms import paradigm_table
from ssl_bench.report.published import published_section
from ssl_bench.report.results import no_collection, read_results
from ssl_bench.report.robustness import robustness_section
from ssl_bench.report.significance import statistics_section
from ssl_bench.report.table import MARKS, Column, Row, Table, changes_text, column_title, tables_of
from ssl_bench.report.trajectories import trajectories_section
from ssl_bench.store.store import Store


@no_collection()
def write_markdown(
    store: Store,
    published: bool = False,
    baseline: str | None = None,
    family: Family = Family.column,
    single_folds: bool = False,
) -> str:
    """The leaderboard: one table per setting, its statistics, the pre-trainings behind it, and what failed.

    With `published`, the papers' numbers follow beside the measured ones. `baseline` is the label of the row that the
    others are compared with, scratch where it is None; p are corrected over `family`. With `single_folds` each fold of
    a cross-validation has a column of its own. Raises UserError if no table has that row.
    """
    frames = read_results(store)
    tables = tables_of(frames, single_folds)
    baseline = baseline_label(tables, baseline)
    parts = ["# Leaderboard\n"] if tables else ["# Leaderboard\n", "No cell has succeeded yet.\n"]
    for table in tables:
        parts.append(_table_section(table))
        if table.setting.ranked and (section := statistics_section(table, baseline, family)):
            parts.append(section)
        parts += filter(None, [robustness_section(table), trajectories_section(table)])
        if len(pretrainings := pretrainings_of(table)):
            parts += ["### Pre-trainings\n", f"{PRETRAININGS}\n", markdown_table(*pretraining_table(pretrainings))]
    parts += across_backbones_sections(tables)
    if published:
        parts.append(published_section(tables))
    failures = [[record.key, record.spec.method, record.reason or ""] for record in store.failures()]
    if failures:
        parts += ["## Failed\n", markdown_table(["Cell", "Method", "Reason"], failures)]
    return "\n".join(parts)


def _table_section(table: Table) -> str:
    setting, columns, ranks = table.setting, table.columns, mean_ranks(table)
    header = ["Paradigm", "Method", *[column_title(column, table) for column in columns], "Mean rank"]
    best = {column: table.best_rows(column) for column in columns}
    rows = [
        [
            row.paradigm,
            row.label,
            *[_cell(table, row, column, best) for column in columns],
            mean_rank_text(ranks.over([row])),
        ]
        for row in table.rows
    ]
    several = any(place.scored > 1 for place in table.places.values())
    spread = ", then mean ± standard deviation over seeds" if several else ", one seed"
    lacks_folds = any("◔" in place.marks for place in table.places.values())
    lacking = "◔ lacks folds that other rows have. " if lacks_folds else ""
    for mark in "●?":
        if any(mark in place.marks for place in table.places.values()):
            lacking += f"{mark} {MARKS[mark]}. "
    notes = [
        *unranked(table, code),
        *([] if table.is_real else [SEMI_REAL]),
        f"Mean over test cases, {units(table)}{spread}. Best complete row of a column in bold. † read through "
        "a random, frozen decoder. ◦ not converged: validation was still gaining when the steps were spent. ‡ "
        f"{never_predicted(table)}. {lacking}A row that lacks a cell has no rank and is never bold. "
        f"Setting {code(setting.digest)}.",
        *mean_rank_note(table),
        *data_notes(table, code, escaped),
    ]
    summary = ["### By paradigm\n", f"{PARADIGMS}\n", markdown_table(*paradigm_table(table, ranks))]
    title = f"## Preset {code(setting.preset)}{changes_text(table, code)}\n"
    return "\n".join([title, *[f"{note}\n" for note in notes], markdown_table(header, rows), *summary])


def _cell(table: Table, row: Row, column: Column, best: dict[Column, list[Row]]) -> str:
    place = table.place(row, column)
    if place is None:
        return "–"
    text = score_text(place, table.metric(column))
    return (f"**{text}**" if row in best[column] else text) + place.marks


def pretrainings_of(table: Table) -> pd.DataFrame:
    """The pre-trainings that the table's cells rest on, by method and seed."""
    return table.pretrainings.sort_values(["method", "seed"], kind="stable")


def pretraining_table(pretrainings: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the pre-trainings, as plain text."""
    header = ["Method", "Seed", "Training loss", "Held-out losses", "Feature std", "Effective rank", "Volumes seen"]
    held_out = [
        ", ".join(f"{name} {first:.3f} → {number_text(last, 3)}" for name, first, last in losses) or "–"
        for losses in pretrainings["_held_out"]
    ]
    rows = [
        [
            line.row,
            str(line.seed),
            "–" if line.loss_first != line.loss_first else f"{line.loss_first:.3f} → {line.loss_last:.3f}",
            losses,
            number_text(line.feature_std, 4),
            number_text(line.effective_rank, 1),
            str(line.volumes_seen),
            number_text(line.wall_seconds, 0),
        ]
        for line, losses in zip(pretrainings.itertuples(), held_out, strict=True)
    ]
    return [*header, "Seconds"], rows
