"""The leaderboard as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from ssl_bench.report.cell_text import marks, mean_text, network_and_licence, score_text
from ssl_bench.report.comparison import baseline_label
from ssl_bench.report.markdown_table import code, escaped, markdown_table
from ssl_bench.report.paradigms import PARADIGM_NOTE, paradigm_table
from ssl_bench.report.published import published_section
from ssl_bench.report.reading import no_collection, read_for_tables
from ssl_bench.report.significance import statistics_section
from ssl_bench.report.table import SEMI_REAL, Column, Row, Table, changed_options, column_title, tables_of
from ssl_bench.spec.record import AnyRecord, EvaluationRecord, PretrainingRecord
from ssl_bench.store.store import Store

PRETRAINING_NOTE = (
    "Training loss: mean of the first 5 steps → of the last 20. Held-out: on fixed volumes outside the corpus, before "
    "the first step → mean after each of the last 20 steps."
)


@no_collection()
def write_markdown(store: Store, published: bool = False, baseline: str | None = None) -> str:
    """The leaderboard: one table per setting, its statistics, the pre-trainings behind it, and what failed.

    With `published`, the papers' numbers follow beside the measured ones. `baseline` is the label of the row that the
    others are compared with, scratch where it is None. Raises UserError if no table has it.
    """
    records = read_for_tables(store)
    evaluations = [record for record in records if isinstance(record, EvaluationRecord)]
    pretrainings = [record for record in records if isinstance(record, PretrainingRecord)]
    parts = ["# Leaderboard\n"]
    if not evaluations:
        parts.append("No cell has succeeded yet.\n")
    tables = tables_of(evaluations)
    baseline = baseline_label(tables, baseline)
    for table in tables:
        parts.append(_table_section(table))
        if table.setting.ranked and (section := statistics_section(table, baseline)):
            parts.append(section)
        if rested_on := [record for record in pretrainings if record.key in table.pretraining_keys]:
            parts.append(_pretraining_section(rested_on))
    if published:
        parts.append(published_section(tables))
    failures = list(store.failures())
    if failures:
        parts.append(_failure_section(failures))
    return "\n".join(parts)


def _table_section(table: Table) -> str:
    setting, columns = table.setting, table.columns
    header = ["Paradigm", "Method", *[column_title(column, table) for column in columns], "Mean"]
    best = {column: table.best_rows(column) for column in columns}
    rows = [_cells(table, row, columns, best) for row in table.rows]
    changed = f", changed by {', '.join(map(code, setting.overrides))}" if setting.overrides else ""
    title = f"## Preset {code(setting.preset)}{changed}\n"
    spread = ", then mean ± standard deviation over seeds" if _seeds(table) > 1 else ", one seed"
    notes = [
        f"Mean over test cases, x 100{spread}. Best complete row of a column in bold. † read through a random, frozen "
        "decoder. ◦ not converged: the best validation score lies in the last tenth of the steps. A row that lacks a "
        "cell has no mean and is never bold. "
        f"Setting {code(setting.digest)}.",
    ]  # fmt: skip
    if table.data.startswith("semi-real"):
        notes.insert(0, SEMI_REAL)
    notes += _data_notes(table)
    notes += [_licence_note(row, table) for row in table.rows if row.paradigm == "external"]
    if not setting.ranked:
        notes.insert(0, f"Preset {code(setting.preset)} only proves that everything runs: nothing here is ranked.")
    summary = ["### By paradigm\n", f"{PARADIGM_NOTE}\n", markdown_table(*paradigm_table(table))]
    return "\n".join([title, *[f"{note}\n" for note in notes], markdown_table(header, rows), *summary])


def _cells(table: Table, row: Row, columns: Sequence[Column], best: dict[Column, list[Row]]) -> list[str]:
    texts = []
    for column in columns:
        scores = table.scores(row, column)
        if not scores:
            texts.append("–")
            continue
        text = score_text(scores)
        text = f"**{text}**" if row in best[column] else text
        texts.append(text + marks(table.cells[row][column].values()))
    return [row.paradigm, row.label, *texts, mean_text(table, row)]


def _data_notes(table: Table) -> list[str]:
    """What a reader must know of real data."""
    notes = []
    if table.corpus is not None and table.corpus.is_real:
        notes.append(
            f"Pre-trained on {table.corpus.volumes} scans of a folder, corpus {code(table.corpus.fingerprint)}."
        )
    elif table.corpus is not None and table.data == "real":
        notes.append("Pre-trained on the embedded, semi-real corpus (1 anatomy), evaluated on real data.")
    notes += [
        f"**{escaped(task)}: validation or test cases that are in the pre-training corpus too: {len(overlap)}**, "
        f"which the user allowed ({escaped(', '.join(overlap[:5]))})."
        for task, overlap in table.said_by_task("overlap").items()
    ]
    notes += [
        f"{escaped(task)}: cases that could not be used: {len(left_out)}; the records say why."
        for task, left_out in table.said_by_task("left_out").items()
    ]
    return notes


def _licence_note(row: Row, table: Table) -> str:
    network, licence = network_and_licence(table, row)
    return f"{code(row.label)}: weights from a file, network {network}; licence of the weights: {escaped(licence)}."


def _pretraining_section(records: Sequence[PretrainingRecord]) -> str:
    return "\n".join(["### Pre-trainings\n", f"{PRETRAINING_NOTE}\n", markdown_table(*pretraining_table(records))])


def pretraining_table(records: Sequence[PretrainingRecord]) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the pre-trainings, as plain text."""
    rows = []
    for record in sorted(records, key=lambda record: (record.spec.method, record.spec.seed)):
        losses, looks = record.loss_curve, record.held_out_curve
        rows.append([
            Row("", record.spec.method, changed_options(record.spec.options)).label,
            str(record.spec.seed),
            f"{statistics.fmean(losses[:5]):.3f} → {statistics.fmean(losses[-20:]):.3f}" if losses else "–",
            ", ".join(_fall(name, looks) for name in looks[0] if name != "step") if looks else "–",
            _number(record.health.get("feature_std"), 4),
            _number(record.health.get("effective_rank"), 1),
            str(record.volumes_seen),
            _number(record.cost.get("wall_seconds"), 0),
        ])  # fmt: skip
    header = [
        "Method",
        "Seed",
        "Training loss",
        "Held-out losses",
        "Feature std",
        "Effective rank",
        "Volumes seen",
        "Seconds",
    ]
    return header, rows


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _fall(name: str, looks: Sequence[dict[str, float]]) -> str:
    final = looks[-1]["step"]
    last = [look[name] for look in looks if name in look and look["step"] > max(0, final - 20)]
    return f"{name} {looks[0][name]:.3f} → {_number(statistics.fmean(last) if last else None, 3)}"


def _failure_section(failures: Sequence[AnyRecord]) -> str:
    rows = [[record.key, record.spec.method, record.reason or ""] for record in failures]
    return "\n".join(["## Failed\n", markdown_table(["Cell", "Method", "Reason"], rows)])


def _seeds(table: Table) -> int:
    return max(len(records) for row in table.cells.values() for records in row.values())
