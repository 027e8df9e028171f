"""The statistics of a table as Markdown, one small table a column."""

from __future__ import annotations

import numpy as np

from ssl_bench.api.metric import Metric
from ssl_bench.report.beside import beside_table
from ssl_bench.report.cell_text import cases_text, interval_text, p_text
from ssl_bench.report.comparison import ColumnStatistics, Standing, compare_columns
from ssl_bench.report.family import Family
from ssl_bench.report.markdown_table import escaped, markdown_table
from ssl_bench.report.notes import test_notes
from ssl_bench.report.table import Row, Table, column_title


def statistics_section(table: Table, baseline: str, family: Family) -> str:
    """Every column's rows with intervals, tests against `baseline` and the best, and ranks; empty without cases."""
    parts = []
    for column, column_statistics in compare_columns(table, baseline, family).items():
        title = f"**{escaped(column_title(column, table))}**: {escaped(families(column_statistics))}\n"
        parts.append(f"{title}\n{markdown_table(*comparison_table(column_statistics))}")
        header, rows = beside_table(table, column)
        if rows:
            parts.append(f"Beside it, without a rank:\n\n{markdown_table(header, rows)}")
    notes = [f"{note}\n" for note in test_notes(table, family)]
    return "\n".join(["### Statistics\n", *notes, *parts]) if parts else ""


def families(column: ColumnStatistics) -> str:
    """What a column was corrected over, who may be its best row, and who is not ranked."""
    seeds = f"seed{'s' if len(column.seeds) > 1 else ''} {', '.join(map(str, column.seeds))}"
    compared = "methods are compared" if column.of_methods else "these networks are compared, not methods"
    folds = f" of {column.folds} folds" if column.folds > 1 else ""
    sentences = [f"{cases_text(column.cases, column.subjects, column.of_pairs)}{folds}, {seeds}: {compared}."]
    if column.baseline is not None and column.differences:
        sentences.append(f"Corrected over {_count(column.comparisons, 'comparison')} with {column.baseline.label}.")
    if column.baseline is None:
        sentences.append("The baseline has no cell here, so that nothing is compared with it.")
    if len(column.standings) > 1:
        sentences.append(f"Best and rank corrected over {_count(column.pairs, 'pair')}.")
        if not column.could_rank:
            sentences.append("With so few cases no two rows could be told apart over so many pairs.")
        first = [row.label for row, standing in column.standings.items() if standing.first == 1]
        sentences.append(
            f"Any of these may be the best: {', '.join(first)}." if len(first) > 1 else f"Best: {first[0]}."
        )
    sentences += _without_a_rank(column)
    for row, difference in column.differences.items():
        if difference.cases < column.cases:
            sentences.append(f"The difference of {row.label} is over {difference.cases} cases.")
        if column.of_methods and not difference.of_methods:
            seeds = f"{len(difference.by_seed)} of {len(column.seeds)} seeds"
            sentences.append(f"The difference of {row.label} is over {seeds}: of these networks, not of methods.")
    return " ".join(sentences)


def _without_a_rank(column: ColumnStatistics) -> list[str]:
    """Which rows of the column have no rank and why; one sentence for all that lack the same."""
    reasons: dict[str, list[str]] = {}
    for row, summary in column.summaries.items():
        if row in column.standings or row.is_control:
            continue
        if np.isnan(summary.estimate.value) and summary.cases == column.cases:
            few = "a class has fewer than two test cases" + (" in a fold" if column.folds > 1 else "")
            reason = f"{few}, so that nothing is said of how its score spreads"
        elif summary.cases == column.cases and summary.seeds == column.seeds:
            reason = "it lacks a cell of another column, or a seed"
        else:
            reason = (
                f"{summary.cases} of {column.cases} cases scored, {len(summary.seeds)} of {len(column.seeds)} seeds"
            )
        reasons.setdefault(reason, []).append(row.label)
    return [
        f"{rows[0]} is not ranked: {reason}."
        if len(rows) == 1
        else f"Not ranked, each because {reason}: {', '.join(rows)}."
        for reason, rows in reasons.items()
    ]


def comparison_table(column: ColumnStatistics) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a column's statistics, as plain text."""
    baseline = column.baseline.label if column.baseline else "baseline"
    metric = column.metric
    arrow = "" if metric.higher_is_better else " ↓"
    header = ["Method", f"Mean [95 %]{arrow}", "Seeds ±", f"To {baseline} [95 %]", "By seed", "d", "p", "Could show"]
    header += ["p, best", "Rank"]
    rows = []
    for row, summary in column.summaries.items():
        rows.append([
            row.label,
            interval_text(summary.estimate, metric),
            _number(summary.seed_spread, metric),
            *_difference(column, row),
            *_standing(column.standings.get(row)),
        ])  # fmt: skip
    return header, rows


def _difference(column: ColumnStatistics, row: Row) -> list[str]:
    difference = column.differences.get(row)
    if difference is None:
        return ["–"] * 5
    detectable = difference.detectable(column.comparisons)
    by_seed = [column.metric.text(own, "+") for own in difference.by_seed.values()]
    return [
        interval_text(difference.estimate, column.metric, "+"),
        ", ".join(by_seed) if len(by_seed) > 1 else "–",
        f"{difference.standardised:+.2f}" if np.isfinite(difference.standardised) else "n/a",
        p_text(column.difference_p[row]),
        "none" if np.isinf(detectable) else _number(detectable, column.metric),
    ]


def _standing(standing: Standing | None) -> list[str]:
    if standing is None:
        return ["–", "–"]
    return ["–" if np.isnan(standing.best_p) else p_text(standing.best_p), rank_interval(standing)]


def rank_interval(standing: Standing) -> str:
    """The first and the last rank that a row may hold."""
    return f"{standing.first}" if standing.first == standing.last else f"{standing.first}-{standing.last}"


def _number(value: float, metric: Metric) -> str:
    return "n/a" if np.isnan(value) else metric.text(value)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
