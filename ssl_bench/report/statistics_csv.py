"""The statistics of every row in every column, as one line of CSV each."""

from __future__ import annotations

from collections.abc import Iterator
from math import isinf, nan
from typing import Any

import pandas as pd

from ssl_bench.report.cells_csv import harmless
from ssl_bench.report.comparison import ColumnStatistics, baseline_label, compare_columns
from ssl_bench.report.family import Family
from ssl_bench.report.mean_rank import MeanRank, mean_ranks
from ssl_bench.report.results import no_collection, read_results
from ssl_bench.report.table import Column, Row, Table, column_title, tables_of
from ssl_bench.store.store import Store

COLUMNS = (
    "preset", "setting", "data", "corpus", "column", "task", "protocol", "metric", "better", "paradigm", "row",
    "compared", "seeds", "cases", "subjects", "folds", "score", "score_low", "score_high", "seed_spread", "baseline",
    "difference", "difference_low", "difference_high", "difference_by_seed", "d", "p", "p_corrected", "could_show",
    "family", "comparisons", "p_best", "rank_first", "rank_last", "pairs", "mean_rank", "mean_rank_low",
    "mean_rank_high",
)  # fmt: skip
_WHOLE = ("seeds", "cases", "subjects", "folds", "comparisons", "rank_first", "rank_last", "pairs")


@no_collection()
def write_statistics_csv(
    store: Store, baseline: str | None = None, family: Family = Family.column, single_folds: bool = False
) -> str:
    """The statistics of every ranked table: what Markdown shows of a row in a column, with all digits, as fractions.

    ``compared`` says of what a difference speaks: methods or networks. Arguments and errors as in
    `ssl_bench.report.markdown.write_markdown`. ``pandas.read_csv(file, **PANDAS)`` of `cells_csv` reads it.
    """
    tables = tables_of(read_results(store), single_folds)
    baseline = baseline_label(tables, baseline)
    lines = [line for table in tables if table.setting.ranked for line in _lines(table, baseline, family)]
    frame = pd.DataFrame(lines, columns=list(COLUMNS)).astype(dict.fromkeys(_WHOLE, "Int64"))
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _lines(table: Table, baseline: str, family: Family) -> Iterator[dict[str, Any]]:
    ranks = mean_ranks(table)
    for column, statistics in compare_columns(table, baseline, family).items():
        for row in statistics.summaries:
            line = {
                "preset": table.setting.preset,
                "setting": table.setting.digest,
                "data": table.data,
                "corpus": table.corpus.fingerprint if table.corpus else "",
                "family": family.value,
                **_score(table, column, statistics, row),
                **_difference(statistics, row),
                **_standing(statistics, row),
            }
            line |= zip(COLUMNS[-3:], ranks.over([row]) or MeanRank(nan, nan, nan), strict=True)
            yield {name: harmless(value) for name, value in line.items()}


def _score(table: Table, column: Column, statistics: ColumnStatistics, row: Row) -> dict[str, Any]:
    summary = statistics.summaries[row]
    return {
        "column": column_title(column, table),
        "task": column[0],
        "protocol": column[1],
        "metric": statistics.metric.name,
        "better": statistics.metric.better,
        "paradigm": row.paradigm,
        "row": row.label,
        "compared": "methods" if summary.of_methods else "networks",
        "seeds": len(summary.seeds),
        "cases": summary.cases,
        "subjects": summary.subjects,
        "folds": summary.folds,
        "score": summary.estimate.value,
        "score_low": summary.estimate.low,
        "score_high": summary.estimate.high,
        "seed_spread": summary.seed_spread,
    }


def _difference(statistics: ColumnStatistics, row: Row) -> dict[str, Any]:
    """To the baseline; what is compared there is what has the seeds of both."""
    difference = statistics.differences.get(row)
    if difference is None or statistics.baseline is None:
        return {}
    detectable = difference.detectable(statistics.comparisons)
    return {
        "compared": "methods" if difference.of_methods else "networks",
        "baseline": statistics.baseline.label,
        "difference": difference.estimate.value,
        "difference_low": difference.estimate.low,
        "difference_high": difference.estimate.high,
        "difference_by_seed": " ".join(f"{seed}:{value!r}" for seed, value in difference.by_seed.items()),
        "d": difference.standardised,
        "p": difference.p,
        "p_corrected": statistics.difference_p[row],
        "could_show": nan if isinf(detectable) else detectable,
        "comparisons": statistics.comparisons,
    }


def _standing(statistics: ColumnStatistics, row: Row) -> dict[str, Any]:
    standing = statistics.standings.get(row)
    if standing is None:
        return {}
    return {
        "p_best": standing.best_p,
        "rank_first": standing.first,
        "rank_last": standing.last,
        "pairs": statistics.pairs,
    }
