"""Whether methods that rank high on one backbone do so on another: ranks side by side, and how they agree.

Scores of two backbones never stand in one column: another network is another question. Ranks within each may be
compared, over the methods and columns that all of them have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import kendalltau

from ssl_bench.report.cell_text import mean_rank_text
from ssl_bench.report.markdown_table import markdown_table
from ssl_bench.report.mean_rank import MeanRanks, Resampling, ranks_over
from ssl_bench.report.statistics import ENOUGH_SEEDS
from ssl_bench.report.table import Column, Row, Table, column_title

FEWEST_METHODS = 3
"""Of two methods the correlation is 1 or -1 whatever they are."""


TAU = (
    "Kendall's tau-b of these mean ranks: 1 is one order, 0 is none in common, -1 the reverse. The interval is the "
    "middle 95 % of the same draws. A draw blurs ranks, so that it leans towards 0; of few methods it is wide."
)
"""How to read the agreement."""


class Agreement(NamedTuple):
    """How the mean ranks of two backbones agree."""

    one: str
    other: str
    tau: float
    """Kendall's tau-b of the methods' mean ranks (Kendall, Biometrika 1945); NaN where one backbone ties them all."""
    low: float
    high: float
    """The middle 95 % of what draws of cases and seeds give; NaN where cases are not known."""


@dataclass(frozen=True)
class AcrossBackbones:
    """The methods that are complete in the columns that tables have in common which differ in their backbone alone."""

    tables: Sequence[Table]
    """One for each backbone."""
    rows: Sequence[Row]
    columns: Sequence[Column]
    ranks: Sequence[MeanRanks]
    """Of `rows` among each other, for each of `tables`."""

    @property
    def title(self) -> str:
        """What stands above it."""
        return f"Ranks across backbones, preset {self.tables[0].setting.preset}"

    @property
    def note(self) -> str:
        """What the ranks are over, and how they may be read."""
        first = self.tables[0]
        over = ", ".join(column_title(column, first) for column in self.columns)
        drawn = "cases and seeds" if len(first.seeds) >= ENOUGH_SEEDS else "cases alone, for these networks"
        return (
            f"Mean rank among the {len(self.rows)} methods that are complete there on every backbone, over {over}; "
            f"95 % intervals by drawing {drawn}, the same for all backbones. A rank is among the methods on its own "
            "backbone: scores of two backbones are not compared."
        )

    @property
    def agreements(self) -> list[Agreement]:
        """Of every two backbones; of none where there are fewer methods than `FEWEST_METHODS`."""
        if len(self.rows) < FEWEST_METHODS:
            return []
        paired = zip(self.tables, self.ranks, strict=True)
        return [_agreement(*one, *other) for one, other in combinations(paired, 2)]


def across_backbones(tables: Sequence[Table]) -> list[AcrossBackbones]:
    """What all ranked `tables` have in common that differ in their backbone alone; a table by itself says nothing."""
    groups: dict[Any, list[Table]] = {}
    for table in tables:
        if table.setting.ranked:
            groups.setdefault(_but_for_the_backbone(table), []).append(table)
    found = (_in_common(group) for group in groups.values() if len({table.network for table in group}) > 1)
    return [one for one in found if one is not None]


def across_backbones_sections(tables: Sequence[Table]) -> Iterator[str]:
    """Each group as a section of Markdown."""
    for found in across_backbones(tables):
        yield f"## {found.title}\n"
        yield f"{found.note}\n"
        yield markdown_table(*rank_lines(found))
        if found.agreements:
            yield f"{TAU}\n"
            yield markdown_table(*agreement_lines(found))


def rank_lines(found: AcrossBackbones) -> tuple[list[str], list[list[str]]]:
    """The header, and a line for each method with its mean rank on every backbone."""
    lines = [
        [row.paradigm, row.label, *(mean_rank_text(ranks.over([ranks.rows[place]])) for ranks in found.ranks)]
        for place, row in enumerate(found.rows)
    ]
    return ["Paradigm", "Method", *(table.network for table in found.tables)], lines


def agreement_lines(found: AcrossBackbones) -> tuple[list[str], list[list[str]]]:
    """The header, and a line for every two backbones."""
    lines = [[one.one, one.other, _tau_text(one)] for one in found.agreements]
    return ["Backbone", "Backbone", "Kendall's tau [95 %]"], lines


def _but_for_the_backbone(table: Table) -> Any:
    """What tables share whose cells differ in their backbone alone."""
    overrides = [one for one in table.setting.overrides if not one.startswith("backbone=")]
    corpus = table.corpus.fingerprint if table.corpus else ""
    made_by = {backbone.numerics for backbone in table.cells["_backbone"] if not backbone.is_external}
    code_of = tuple(sorted(made_by)), tuple(sorted(set(table.cells["precision"])))
    return table.setting.preset, tuple(overrides), table.data, corpus, code_of


def _in_common(tables: Sequence[Table]) -> AcrossBackbones | None:
    first, *others = sorted(tables, key=lambda table: (table.network != "unet3d", table.network))
    columns = [column for column in first.columns if all(column in other.columns for other in others)]
    rows = [row for row in first.complete_in(columns) if all(row in other.complete_in(columns) for other in others)]
    if not rows or not columns or any(table.seeds != first.seeds for table in others):
        return None
    # One source of draws: where cases are the same, every backbone meets the same ones, and so it does with seeds.
    resampling = Resampling(len(first.seeds))
    every = (first, *others)
    return AcrossBackbones(every, rows, columns, [ranks_over(table, rows, columns, resampling) for table in every])


def _agreement(one: Table, own: MeanRanks, other: Table, theirs: MeanRanks) -> Agreement:
    tau = float(kendalltau(own.values, theirs.values).statistic)
    low = high = np.nan
    if own.draws.shape[1] and own.draws.shape == theirs.draws.shape:
        drawn = [kendalltau(a, b).statistic for a, b in zip(own.draws.T, theirs.draws.T, strict=True)]
        low, high = np.nanquantile(drawn, (0.025, 0.975))
    return Agreement(one.network, other.network, tau, float(low), float(high))


def _tau_text(found: Agreement) -> str:
    if np.isnan(found.tau):
        return "n/a"
    return f"{found.tau:.2f}" + ("" if np.isnan(found.low) else f" [{found.low:.2f}, {found.high:.2f}]")
