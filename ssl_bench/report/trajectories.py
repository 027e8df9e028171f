"""How scores, pretext losses and stage ranks go along pre-training, out of its snapshots."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from ssl_bench.report.markdown_table import escaped, markdown_table
from ssl_bench.report.rank_correlation import Correlation, rank_correlation
from ssl_bench.report.snapshot_lines import AVERAGED_LOSSES, SNAPSHOTS
from ssl_bench.report.table import Column, Row, Table, column_title

NOTE = (
    "Every pre-training read at snapshots of its backbone, by the same protocol each time; the last one is its end. "
    "Mean over seeds and folds, at the steps that all of a row's have."
)
CORRELATIONS = (
    f"Spearman's rank correlation of a row's score with its pretext loss (mean training loss of the last "
    f"{AVERAGED_LOSSES} steps) and with its stage rank (the smallest share of the effective rank that a pre-trained "
    "stage has of what it began with). Within a row: over its snapshots, whose steps follow on each other, so that two "
    "quantities that both grow with the steps correlate whatever the one does to the other; no interval. Over rows: at "
    "the end of pre-training; losses of different pretexts have different units, of which ranks keep the order alone. "
    "Scores whose lower values are better count with their sign changed: + always says that more goes with better."
)
_PLACE = list(SNAPSHOTS[:9])


@dataclass(frozen=True)
class Trajectory:
    """One row along its pre-training, mean over seeds and folds."""

    steps: list[int]
    """Ascending; the last is the end."""
    scores: list[float]
    """As the records hold them."""
    losses: list[float]
    """See `CORRELATIONS`."""
    ranks: list[float]


def trajectories(table: Table, column: Column) -> dict[Row, Trajectory]:
    """Those of the rows of `column` that have snapshots; a row without any has its end alone, and scratch nothing."""
    ends = table.lines(column)
    ends = ends[ends["pretraining"] != ""]
    snapshots = table.frames.snapshots.merge(ends[[*_PLACE, "_row"]], on=_PLACE)
    pretrainings = table.frames.pretrainings.set_index("key")["_trajectory"]
    looks = pd.DataFrame(
        [(key, *look) for key in set(ends["pretraining"]) for look in pretrainings.get(key, [])],
        columns=["pretraining", "step", "loss", "rank"],
    ).astype({"step": int, "loss": float, "rank": float})
    found = {}
    for place, own in ends.groupby("_row"):
        last = looks.groupby("pretraining")["step"].max()
        at_end = own.assign(snapshot=own["pretraining"].map(last)).dropna(subset="snapshot")
        points = pd.concat([at_end, snapshots[snapshots["_row"] == place]])[["pretraining", "snapshot", "score"]]
        points = points.merge(looks, left_on=["pretraining", "snapshot"], right_on=["pretraining", "step"])
        means = points.groupby("step")[["score", "loss", "rank"]].mean()
        whole = means[points.groupby("step").size() == len(own)]
        if len(whole):
            columns = (whole[name].tolist() for name in ("score", "loss", "rank"))
            found[table.rows[place]] = Trajectory([int(step) for step in whole.index], *columns)
    return found


def with_snapshots(table: Table) -> dict[Column, dict[Row, Trajectory]]:
    """The trajectories of the columns in which some row has more than its end."""
    if not len(table.frames.snapshots):
        return {}
    every = {column: trajectories(table, column) for column in table.columns}
    return {
        column: rows for column, rows in every.items() if any(len(trajectory.steps) > 1 for trajectory in rows.values())
    }


def trajectory_table(table: Table, column: Column, rows: dict[Row, Trajectory]) -> tuple[list[str], list[list[str]]]:
    """The scores of `rows` by step, and their correlations within the row; header and lines of plain text."""
    steps = sorted({step for trajectory in rows.values() for step in trajectory.steps})
    metric = table.metric(column)
    header = ["Method", *(f"Step {step}" for step in steps), "With pretext loss", "With stage rank"]
    lines = []
    for row, trajectory in rows.items():
        scores = dict(zip(trajectory.steps, trajectory.scores, strict=True))
        within = [_within_text(one) for one in correlations_within(trajectory, metric.sign)]
        lines.append([row.label, *(metric.text(scores[step]) if step in scores else "–" for step in steps), *within])
    over = [str(one) for one in correlations_over(rows, metric.sign)]
    return header, [*lines, ["Over rows, at the end", *["–"] * len(steps), *over]]


def correlations_within(trajectory: Trajectory, sign: float = 1.0) -> tuple[Correlation, Correlation]:
    """Of the score with pretext loss and with stage rank, over the snapshots of one row."""
    scores = [sign * score for score in trajectory.scores]
    return rank_correlation(scores, trajectory.losses), rank_correlation(scores, trajectory.ranks)


def correlations_over(rows: dict[Row, Trajectory], sign: float = 1.0) -> tuple[Correlation, Correlation]:
    """The same over the ends of `rows`."""
    scores = [sign * trajectory.scores[-1] for trajectory in rows.values()]
    losses, ranks = ([getattr(one, name)[-1] for one in rows.values()] for name in ("losses", "ranks"))
    return rank_correlation(scores, losses), rank_correlation(scores, ranks)


def _within_text(found: Correlation) -> str:
    """Without an interval: snapshots of one training are no independent pairs."""
    value = "n/a" if math.isnan(found.value) else f"{found.value:+.2f}"
    return f"{value}, {found.pairs} snapshot{'s' if found.pairs != 1 else ''}"


def trajectories_section(table: Table) -> str:
    """The trajectories of every column as Markdown; empty where no pre-training was read before its end."""
    parts = [
        f"**{escaped(column_title(column, table))}**\n\n{markdown_table(*trajectory_table(table, column, rows))}"
        for column, rows in with_snapshots(table).items()
    ]
    return "\n".join(["### Trajectories\n", f"{NOTE}\n", f"{CORRELATIONS}\n", *parts]) if parts else ""
