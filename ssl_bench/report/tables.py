"""The leaderboard as Markdown, and every cell as CSV."""

from __future__ import annotations

import csv
import io
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ssl_bench.cells.record import AnyRecord, EvaluationRecord, PretrainingRecord, Setting
from ssl_bench.cells.science import CorpusScience, FolderCorpusScience, FolderDataScience
from ssl_bench.cells.store import Store
from ssl_bench.errors import UserError
from ssl_bench.method_facts import PARADIGMS

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
    """All cells of one setting, one kind of data and one pre-training corpus."""

    setting: Setting
    data: str
    corpus: CorpusScience | FolderCorpusScience | None = None
    """What the rows were pre-trained on; None where none was."""
    cells: dict[Row, dict[Column, dict[int, EvaluationRecord]]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def columns(self) -> list[Column]:
        """Every column that some row has, protocol by protocol."""
        found = {column for row in self.cells.values() for column in row}
        return sorted(found, key=lambda column: (column[1] != "linear-v1", column[1], column[0], column[2]))

    @property
    def rows(self) -> list[Row]:
        """Rows by paradigm, in the order of the GVSL supplement."""
        order = {name: place for place, name in enumerate((*PARADIGMS, "external"))}
        return sorted(self.cells, key=lambda row: (order.get(row.paradigm, len(order)), row.method, row.options))

    def scores(self, row: Row, column: Column) -> list[float]:
        """The scores over seeds, undefined ones left out."""
        records = self.cells[row].get(column, {})
        return [record.score for _, record in sorted(records.items()) if record.score is not None]

    def is_complete(self, row: Row) -> bool:
        """Whether the row has a score in every column for every seed that the table has anywhere."""
        seeds = {seed for columns in self.cells.values() for records in columns.values() for seed in records}
        return all(
            {seed for seed, record in self.cells[row].get(column, {}).items() if record.score is not None} == seeds
            for column in self.columns
        )


def write_markdown(store: Store, published: bool = False, baseline: str | None = None) -> str:
    """The leaderboard: one table per setting, its statistics, the pre-trainings behind it, and what failed.

    With `published`, the papers' numbers follow beside the measured ones. `baseline` is the label of the row that the
    others are compared with, scratch where it is None. Raises UserError if no table has it.
    """
    from ssl_bench.report.significance import statistics_section

    records = list(store.records())
    evaluations = [record for record in records if isinstance(record, EvaluationRecord)]
    pretrainings = [record for record in records if isinstance(record, PretrainingRecord)]
    parts = ["# Leaderboard\n"]
    if not evaluations:
        parts.append("No cell has succeeded yet.\n")
    tables = tables_of(evaluations)
    labels = {row.label for table in tables for row in table.cells}
    if baseline is not None and baseline not in labels:
        raise UserError(f"--baseline {baseline}: no such row; there is {', '.join(sorted(labels)) or 'none yet'}")
    for table in tables:
        parts.append(_table_section(table))
        if table.setting.ranked and (section := statistics_section(table, baseline or "scratch")):
            parts.append(section)
        rested_on = [record for record in pretrainings if record.setting.digest == table.setting.digest]
        if rested_on:
            parts.append(_pretraining_section(rested_on))
    if published:
        from ssl_bench.report.published import published_section

        parts.append(published_section(tables))
    failures = list(store.failures())
    if failures:
        parts.append(_failure_section(failures))
    return "\n".join(parts)


def write_csv(store: Store, published: bool = False) -> str:
    """One line per evaluation, nothing aggregated; with `published`, the paper's percentage in columns of its own."""
    out = io.StringIO()
    records = [record for record in store.records() if isinstance(record, EvaluationRecord)]
    rows = [{**_flat(record), **(_published(record) if published else {})} for record in records]
    names = [*CSV_COLUMNS, *(("published_percent", "published_source") if published else ())]
    writer = csv.DictWriter(out, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


CSV_COLUMNS = (
    "preset", "overrides", "setting", "ranked", "data", "paradigm", "method", "options", "task",
    "label_fraction", "split", "fold", "overlap", "scene", "protocol",
    "licence", "seed", "metric", "score", "cases", "best_step", "converged", "decoder", "wall_seconds",
    "peak_process_mib", "precision", "device", "key",
)  # fmt: skip


def tables_of(records: Iterable[EvaluationRecord]) -> list[Table]:
    """Records that differ in setting, kind of data or corpus never meet in a table.

    A row that no corpus made stands in the table of each corpus.
    """
    found = list(records)
    corpora: dict[tuple[str, str], list[CorpusScience | FolderCorpusScience]] = defaultdict(list)
    for record in found:
        corpus, known = corpus_of(record), corpora[record.setting.digest, record.data]
        if corpus is not None and corpus not in known:
            known.append(corpus)
    tables = []
    for digest, data in corpora:
        here = [record for record in found if (record.setting.digest, record.data) == (digest, data)]
        for corpus in (*corpora[digest, data],) or (None,):
            table = Table(here[0].setting, data, corpus)
            for record in here:
                if corpus_of(record) in (corpus, None):
                    column = (record.science.task, record.science.protocol, record.science.data.column)
                    table.cells[row_of(record)].setdefault(column, {})[record.science.seed] = record
            tables.append(table)
    return sorted(tables, key=lambda table: (not table.setting.ranked, table.setting.preset, table.setting.digest))


def corpus_of(record: EvaluationRecord) -> CorpusScience | FolderCorpusScience | None:
    """What the record's backbone was pre-trained on; None where nothing is known or needed."""
    return getattr(record.science.backbone, "corpus", None)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; text from records cannot break out of its cell."""
    lines = [header, ["---"] * len(header), *[[escaped(text) for text in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _table_section(table: Table) -> str:
    setting, columns = table.setting, table.columns
    header = ["Paradigm", "Method", *[column_title(column, table) for column in columns], "Mean"]
    best = {
        column: max(values)
        for column in columns
        if setting.ranked and (values := [statistics.mean(s) for row in table.rows if (s := table.scores(row, column))])
    }
    rows = [_cells(table, row, columns, best) for row in table.rows]
    changed = f", changed by {', '.join(f'`{change}`' for change in setting.overrides)}" if setting.overrides else ""
    title = f"## Preset `{setting.preset}`{changed}\n"
    spread = ", then mean ± standard deviation over seeds" if _seeds(table) > 1 else ", one seed"
    notes = [
        f"Mean over test cases, x 100{spread}. Best of a column in bold. † read through a random, frozen decoder. "
        "◦ not converged: the best validation score lies in the last tenth of the steps. A row that lacks a cell has "
        "no mean. "
        f"Setting `{setting.digest}`.",
    ]  # fmt: skip
    if table.data.startswith("semi-real"):
        notes.insert(0, SEMI_REAL)
    notes += _data_notes(table)
    notes += [_licence_note(row, table) for row in table.rows if row.paradigm == "external"]
    if not setting.ranked:
        notes.insert(0, f"Preset `{setting.preset}` only proves that everything runs: nothing here is ranked.")
    return "\n".join([title, *[f"{note}\n" for note in notes], markdown_table(header, rows)])


def _cells(table: Table, row: Row, columns: Sequence[Column], best: dict[Column, float]) -> list[str]:
    texts = []
    for column in columns:
        scores = table.scores(row, column)
        if not scores:
            texts.append("–")
            continue
        mean = statistics.mean(scores)
        text = f"{100 * mean:.1f}" + (f" ± {100 * statistics.stdev(scores):.1f}" if len(scores) > 1 else "")
        text = f"**{text}**" if column in best and round(mean, 3) == round(best[column], 3) else text
        texts.append(text + _marks(table.cells[row][column].values()))
    means = [statistics.mean(table.scores(row, column)) for column in columns] if table.is_complete(row) else []
    return [row.paradigm, row.label, *texts, f"{100 * statistics.mean(means):.1f}" if means else "–"]


def _data_notes(table: Table) -> list[str]:
    """What a reader must know of real data."""
    notes = []
    if isinstance(table.corpus, FolderCorpusScience):
        notes.append(f"Pre-trained on {table.corpus.volumes} scans of a folder, corpus `{table.corpus.fingerprint}`.")
    elif table.corpus is not None and table.data == "real":
        notes.append("Pre-trained on the embedded, semi-real corpus (1 anatomy), evaluated on real data.")
    records = [record for row in table.cells.values() for cells in row.values() for record in cells.values()]
    for task in sorted({record.science.task for record in records}):
        overlap = {case for record in records if record.science.task == task for case in record.overlap}
        if overlap:
            notes.append(
                f"**{escaped(task)}: validation or test cases that are in the pre-training corpus too: "
                f"{len(overlap)}**, "
                f"which the user allowed ({escaped(', '.join(sorted(overlap)[:5]))})."
            )
        left_out = {reason for record in records if record.science.task == task for reason in record.left_out}
        if left_out:
            notes.append(f"{escaped(task)}: cases that could not be used: {len(left_out)}; the records say why.")
    return notes


def _licence_note(row: Row, table: Table) -> str:
    record = next(record for records in table.cells[row].values() for record in records.values())
    network = getattr(record.science.backbone, "network", "")
    licence = record.licence or "not recorded"
    return f"`{escaped(row.label)}`: weights from a file, network {network}; licence of the weights: {licence}."


def _marks(records: Iterable[EvaluationRecord]) -> str:
    found = list(records)
    decoder = any(record.modules is not None and record.modules.decoder == "random, frozen" for record in found)
    return ("†" if decoder else "") + ("" if all(record.converged for record in found) else "◦")


def _pretraining_section(records: Sequence[PretrainingRecord]) -> str:
    rows = []
    for record in sorted(records, key=lambda record: (record.science.method, record.science.seed)):
        losses, looks = record.loss_curve, record.held_out_curve
        rows.append([
            record.science.method,
            str(record.science.seed),
            f"{statistics.mean(losses[:5]):.3f} → {statistics.mean(losses[-20:]):.3f}" if losses else "–",
            ", ".join(_fall(name, looks) for name in looks[0] if name != "step") if looks else "–",
            f"{record.health.get('feature_std', 0):.4f}",
            f"{record.health.get('effective_rank', 0):.1f}",
            str(record.volumes_seen),
            f"{record.cost.get('wall_seconds', 0):.0f}",
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
    note = (
        "Training loss: mean of the first 5 steps → of the last 20. Held-out: on fixed volumes outside the corpus, "
        "before the first step → mean after each of the last 20 steps.\n"
    )
    return "\n".join(["### Pre-trainings\n", note, markdown_table(header, rows)])


def _fall(name: str, looks: Sequence[dict[str, float]]) -> str:
    final = looks[-1]["step"]
    last = [look[name] for look in looks if look["step"] > max(0, final - 20)]
    return f"{name} {looks[0][name]:.3f} → {statistics.mean(last):.3f}"


def _failure_section(failures: Sequence[AnyRecord]) -> str:
    rows = [[record.key, record.science.method, record.reason or ""] for record in failures]
    return "\n".join(["## Failed\n", markdown_table(["Cell", "Method", "Reason"], rows)])


def column_title(column: Column, table: Table) -> str:
    """What a column measures; where two differ in their cases only, those too."""
    task, protocol, cases = column
    with_fingerprint = sum(column[:2] == other[:2] for other in table.columns) > 1
    record = next(record for row in table.cells.values() for record in row.get(column, {}).values())
    data = record.science.data
    labels = "" if data.label_fraction == 1 else f", {data.label_fraction:.0%} of labels"
    fold = f", fold {data.fold}" if isinstance(data, FolderDataScience) and data.fold else ""
    # A folder's own name is not the abbreviation that a task's is.
    title = task if "-" in task else task.upper()
    return f"{title} {protocol} {record.metric}{labels}{fold}" + (f" {cases[:6]}" if with_fingerprint else "")


def row_of(record: EvaluationRecord) -> Row:
    """The row that a record stands in."""
    options: dict[str, Any] = getattr(record.science.backbone, "options", {})
    changed = ", ".join(f"{name}={value}" for name, value in sorted(options.items()))
    return Row(record.paradigm, record.science.method, changed)


def _seeds(table: Table) -> int:
    return max(len(records) for row in table.cells.values() for records in row.values())


def _flat(record: EvaluationRecord) -> dict[str, Any]:
    science, row = record.science, row_of(record)
    return {
        "preset": record.setting.preset,
        "overrides": " ".join(record.setting.overrides),
        "setting": record.setting.digest,
        "ranked": record.setting.ranked,
        "data": record.data,
        "paradigm": row.paradigm,
        "method": row.method,
        "options": row.options,
        "task": science.task,
        "label_fraction": science.data.label_fraction,
        "split": getattr(science.data, "split", ""),
        "fold": getattr(science.data, "fold", 0),
        "overlap": len(record.overlap),
        "scene": record.scene,
        "protocol": science.protocol,
        "licence": record.licence,
        "seed": science.seed,
        "metric": record.metric,
        "score": record.score,
        "cases": len(record.cases),
        "best_step": record.best_step,
        "converged": record.converged,
        "decoder": record.modules.decoder if record.modules else "",
        "wall_seconds": record.cost.get("wall_seconds"),
        "peak_process_mib": record.cost.get("peak_process_mib"),
        "precision": science.precision,
        "device": record.provenance.get("device"),
        "key": record.key,
    }


def _published(record: EvaluationRecord) -> dict[str, Any]:
    from ssl_bench.report.published import published_at

    row = row_of(record)
    found = None if row.options else published_at(row.method, record.science.task, record.science.protocol)
    return {
        "published_percent": found.percent if found else "",
        "published_source": f"{found.source}; on other data than this row's" if found else "",
    }


def escaped(text: str) -> str:
    """Text that stays text in a line of Markdown."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
