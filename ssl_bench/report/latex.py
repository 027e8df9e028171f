"""The leaderboard as LaTeX, laid out as Table 1 of the GVSL paper: booktabs and graphicx are all it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from ssl_bench.report.cell_text import mean_rank_text
from ssl_bench.report.comparison import baseline_label, compare_columns
from ssl_bench.report.family import Family
from ssl_bench.report.latex_caption import caption, protocol_titles
from ssl_bench.report.latex_text import latex
from ssl_bench.report.mean_rank import MeanRank, mean_ranks
from ssl_bench.report.results import no_collection, read_results
from ssl_bench.report.table import Column, Row, Table, column_parts, tables_of
from ssl_bench.store.store import Store

SCENES = {"inner": "Inner scene", "inter": "Inter scene", "": ""}
"""Titles of the scenes in the order of the paper; empty where no row of a column has a known corpus."""
MARKS = {"†": r"\dagger", "◦": r"\circ", "‡": r"\ddagger", "◔": r"\diamond", "●": r"\bullet", "?": "?"}


@no_collection()
def write_latex(
    store: Store, baseline: str | None = None, family: Family = Family.column, single_folds: bool = False
) -> str:
    r"""One ``table*`` for each table: columns by protocol and scene, rows by paradigm, for ``\input`` into a paper.

    In small type the difference to the row whose label is `baseline`, scratch where it is None, with a star where its
    p, corrected over `family`, is below 0.05. Raises UserError if no table has that row.
    """
    tables = tables_of(read_results(store), single_folds)
    baseline = baseline_label(tables, baseline)
    parts = ["% \\usepackage{booktabs,graphicx}\n" if tables else "% No cell has succeeded yet.\n"]
    parts += [_environment(table, baseline, family, number) for number, table in enumerate(tables, 1)]
    return "\n".join(parts)


def scene_of(column: Column, table: Table) -> str:
    """``inner`` or ``inter``, as the records of the column say; empty where none does, or they differ."""
    known = set(table.lines(column)["scene"]) & {"inner", "inter"}
    return known.pop() if len(known) == 1 else ""


def _environment(table: Table, baseline: str, family: Family, number: int) -> str:
    scenes = {column: scene_of(column, table) for column in table.columns}
    protocols = protocol_titles(table.columns)
    columns = sorted(
        table.columns, key=lambda column: (list(protocols).index(column[1]), list(SCENES).index(scenes[column]), column)
    )
    # Each score takes two columns of TeX: the number to the right; spread, marks and difference to the left.
    lines = [
        r"\begin{table*}[t]",
        r"\centering",
        r"\setlength{\belowcaptionskip}{6pt}",
        rf"\caption{{{caption(table, columns, baseline, family)}}}",
        rf"\label{{tab:ssl-bench-{number}}}",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}l{'r@{}l' * (len(columns) + 1)}@{{}}}}",
        r"\toprule",
        *_grouped(columns, lambda column: (column[1], protocols[column[1]])),
        *(_grouped(columns, lambda column: (column[1], SCENES[scenes[column]])) if any(scenes.values()) else []),
        *_titles(columns, table),
        *_body(columns, table, baseline, family),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _grouped(columns: Sequence[Column], group_of: Callable[[Column], tuple[str, str]]) -> list[str]:
    """A line of titles, each over the neighbours that are of one protocol and share it, and the rules below them."""
    cells, rules, start = [""], [], 2
    for (_, title), group in groupby(columns, group_of):
        width = 2 * len(list(group))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{title}}}")
        rules += [rf"\cmidrule(lr){{{start}-{start + width - 1}}}"] if title else []
        start += width
    return [" & ".join([*cells, r"\multicolumn{2}{c}{}"]) + r" \\", "".join(rules)]


def _titles(columns: Sequence[Column], table: Table) -> list[str]:
    parts = [column_parts(column, table) for column in columns]
    lines = [["Pre-training", *[task for task, _, _ in parts], "Mean"]]
    lines.append(["", *[metric for _, metric, _ in parts], "rank"])
    if any(cases for _, _, cases in parts):
        lines.append(["", *[cases.strip(", ") for _, _, cases in parts], ""])
    return [
        " & ".join([first, *[rf"\multicolumn{{2}}{{c}}{{{latex(text)}}}" for text in others]]) + r" \\"
        for first, *others in lines
    ]


def _body(columns: Sequence[Column], table: Table, baseline: str, family: Family) -> list[str]:
    base, ranks = table.row_called(baseline), mean_ranks(table)
    tests = compare_columns(table, baseline, family) if table.setting.ranked else {}
    best = {column: table.best_rows(column) for column in columns}
    lines = []
    for paradigm, rows in groupby(table.rows, lambda row: row.paradigm):
        lines.append(r"\midrule")
        if paradigm != "none":
            title = "weights from files" if paradigm == "external" else paradigm
            lines.append(
                rf"\multicolumn{{{2 * len(columns) + 3}}}{{@{{}}l}}{{\textit{{{latex(title).capitalize()}}}}} \\"
            )
        for row in rows:
            cells = [
                _cell(table, row, column, row in best[column], base, column in tests and tests[column].differs(row))
                for column in columns
            ]
            lines.append(" & ".join([latex(row.label), *cells, _rank(ranks.over([row]))]) + r" \\")
    return lines


def _rank(rank: MeanRank | None) -> str:
    if rank is None:
        return r"\multicolumn{2}{c}{--}"
    value, _, interval = mean_rank_text(rank).partition(" ")
    return rf"{value} & \,{{\scriptsize{{}}{interval}}}" if interval else f"{value} &"


def _cell(table: Table, row: Row, column: Column, is_best: bool, base: Row | None, differs: bool) -> str:
    place = table.place(row, column)
    if place is None:
        return r"\multicolumn{2}{c}{--}"
    metric = table.metric(column)
    text = metric.text(place.mean)
    text = rf"\textbf{{{text}}}" if is_best else text
    beside = rf"\,{{\scriptsize$\pm${metric.text(place.spread)}}}" if place.scored > 1 else ""
    signs = "".join(MARKS[mark] for mark in place.marks)
    beside += f"$^{{{signs}}}$" if signs else ""
    other = table.place(base, column) if base is not None and row != base else None
    if other is not None and base is not None and _ran_alike(table, column, row, base):
        # Of the printed numbers, so that the table agrees with itself.
        difference = f"{float(metric.text(place.mean)) - float(metric.text(other.mean)):+.{metric.decimals}f}"
        star = "$^{*}$" if differs else ""
        beside += rf"\,{{\tiny({difference.replace('-', '$-$')}){star}}}"
    return f"{text} & {beside}".rstrip()


def _ran_alike(table: Table, column: Column, row: Row, other: Row) -> bool:
    """Whether both have the same seeds and folds in `column`, and as many scores."""
    ran = [set(table.lines(column, one)[["seed", "fold"]].itertuples(index=False)) for one in (row, other)]
    return ran[0] == ran[1] and table.places[row, column].scored == table.places[other, column].scored
