"""The statistics of a table as Markdown, one small table a column."""

from __future__ import annotations

import numpy as np

from ssl_bench.report.cell_text import percent
from ssl_bench.report.comparison import ColumnStatistics, Standing, compare_rows
from ssl_bench.report.markdown_table import escaped, markdown_table
from ssl_bench.report.statistics import ENOUGH_SEEDS, Estimate
from ssl_bench.report.table import Row, Table, column_title

SEMI_REAL = (
    "Semi-real data: intervals and tests speak of the volumes that the generator could have drawn, not of patients."
)
NOTE = (
    "All x 100. Intervals are 95 %, over test cases, and hold for the seeds that were run; the standard deviation of "
    f"the score over seeds stands beside them, and an interval for new seeds from {ENOUGH_SEEDS} seeds on. p is "
    "two-sided, from paired tests over cases (sign flips; for AUC DeLong's), corrected by Holm within the column and "
    "over no other: a small one says that these trained networks differ, not that other seeds would. d is the "
    "difference in standard deviations of the paired differences. Could show: the true difference that this test set "
    "finds in 80 % of draws at the corrected level. Rank: the places that the pairwise tests leave open. How, and how "
    "it was checked: docs/statistics.md."
)


def statistics_section(table: Table, baseline: str) -> str:
    """Every column's rows with intervals, tests against `baseline` and the best, and ranks; empty without cases."""
    found = [(column, compare_rows(table, column, baseline)) for column in table.columns]
    parts = [
        f"**{escaped(column_title(column, table))}**: {escaped(families(column_statistics))}\n\n"
        f"{markdown_table(*comparison_table(column_statistics))}"
        for column, column_statistics in found
        if column_statistics is not None
    ]
    notes = [SEMI_REAL, NOTE] if table.data.startswith("semi-real") else [NOTE]
    return "\n".join(["### Statistics\n", *[f"{note}\n" for note in notes], *parts]) if parts else ""


def families(column: ColumnStatistics) -> str:
    """What a column was corrected over, who may be its best row, and who is not ranked."""
    seeds = f"seed{'s' if len(column.seeds) > 1 else ''} {', '.join(map(str, column.seeds))}"
    sentences = [f"{column.cases} test cases, {seeds}."]
    if column.baseline is not None and column.differences:
        sentences.append(f"Corrected over {len(column.differences)} comparisons with {column.baseline.label}.")
    if column.baseline is None:
        sentences.append("The baseline has no cell here, so that nothing is compared with it.")
    if column.pairs:
        sentences.append(f"Best and rank corrected over {column.pairs} pairs.")
        first = [row.label for row, standing in column.standings.items() if standing.first == 1]
        sentences.append(
            f"Any of these may be the best: {', '.join(first)}." if len(first) > 1 else f"Best: {first[0]}."
        )
    for row, summary in column.summaries.items():
        if row in column.standings:
            continue
        if summary.cases == column.cases and summary.seeds == column.seeds:
            sentences.append(f"{row.label} is not ranked: it lacks a cell of another column, or a seed.")
        else:
            sentences.append(
                f"{row.label} is not ranked: {summary.cases} of {column.cases} cases scored, "
                f"{len(summary.seeds)} of {len(column.seeds)} seeds."
            )
    for row, difference in column.differences.items():
        if difference.cases < column.cases:
            sentences.append(f"The difference of {row.label} is over {difference.cases} cases.")
    return " ".join(sentences)


def comparison_table(column: ColumnStatistics) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a column's statistics, as plain text."""
    baseline = column.baseline.label if column.baseline else "baseline"
    header = ["Method", "Mean [95 %]", "Seeds ±", "New seeds", f"To {baseline} [95 %]", "d", "p", "Could show"]
    header += ["p, best", "Rank"]
    rows = []
    for row, summary in column.summaries.items():
        low, high = summary.new_seeds
        rows.append([
            row.label,
            interval(summary.estimate),
            _number(summary.seed_spread),
            "n/a" if np.isnan(low) else f"{100 * low:.1f} to {100 * high:.1f}",
            *_difference(column, row),
            *_standing(column.standings.get(row)),
        ])  # fmt: skip
    return header, rows


def _difference(column: ColumnStatistics, row: Row) -> list[str]:
    difference = column.differences.get(row)
    if difference is None:
        return ["–"] * 4
    detectable = difference.detectable(len(column.differences))
    return [
        interval(difference.estimate, "+"),
        f"{difference.standardised:+.2f}" if np.isfinite(difference.standardised) else "n/a",
        p_value(column.difference_p[row]),
        "none" if np.isinf(detectable) else _number(detectable),
    ]


def _standing(standing: Standing | None) -> list[str]:
    if standing is None:
        return ["–", "–"]
    return ["–" if np.isnan(standing.best_p) else p_value(standing.best_p), rank_interval(standing)]


def rank_interval(standing: Standing) -> str:
    """The first and the last rank that a row may hold."""
    return f"{standing.first}" if standing.first == standing.last else f"{standing.first}-{standing.last}"


def interval(estimate: Estimate, sign: str = "") -> str:
    """The value with its interval, x 100; `sign` as in a format string."""
    if np.isnan(estimate.value):
        return "n/a"
    value, low, high = (percent(float(part), sign) for part in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{'n/a' if np.isnan(estimate.low) else f'{low}, {high}'}]"


def p_value(p: float) -> str:
    """To three digits, a smaller one in its magnitude; NaN as n/a."""
    return "n/a" if np.isnan(p) else f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def _number(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{100 * value:.1f}"
