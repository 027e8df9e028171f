"""Two stores side by side: did a change move anything."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ssl_bench.api.metric import METRICS
from ssl_bench.errors import UserError
from ssl_bench.report.cell_text import interval_text, p_text
from ssl_bench.report.comparison import subtract, summarise
from ssl_bench.report.markdown_table import markdown_table
from ssl_bench.report.notes import SEMI_REAL
from ssl_bench.report.results import StoreFrames, read_results
from ssl_bench.report.scores import Scores, lines_of, read_scores
from ssl_bench.report.statistics import ENOUGH_SEEDS, holm
from ssl_bench.report.table import Row
from ssl_bench.store.store import Store

PLACE = ["preset", "paradigm", "method", "options", "task", "protocol", "cohort", "cases_digest", "seed"]
"""What two cells share that may be compared, whatever else a change did to them."""
LOWER = " (MAE ↓: in the unit of the target, lower is better)"
SHOWN = ["preset", "label", "task", "protocol"]


def write_changes(before: Store, after: Store) -> str:
    """Every method, task and protocol in both stores with its paired difference, averaged over the seeds in both.

    Cells pair by key; of the others, those that agree in preset, method, options, task, protocol, seed and cases.
    Raises UserError where that leaves a choice, and where nothing pairs.
    """
    frames = read_results(before), read_results(after)
    old, new = _cells(frames[0], 0), _cells(frames[1], len(frames[0].cells))
    by_key = old.merge(new, on="key", suffixes=("", "_after"))
    rest = [
        _without_choice(one[~one["key"].isin(other["key"])], store)
        for one, other, store in ((old, new, before), (new, old, after))
    ]
    by_place = rest[0].merge(rest[1], on=PLACE, suffixes=("", "_after"))
    pairs = pd.concat([by_key, by_place], ignore_index=True)
    cases = _joined_cases(*frames)
    rows = _rows(pairs, cases)
    if not rows:
        raise UserError(
            f"--compare {before.folder} {after.folder}: no cell stands in both with the same method, options, task, "
            "protocol, seed and cases; name two folders of results that share some"
        )
    lower = "" if all(METRICS[name].higher_is_better for name in pairs["metric"]) else LOWER
    header = ["Preset", "Method", "Task", "Protocol", "Seeds", "Cases", "Before", "After", "After - before [95 %]"]
    header += ["d", "p", "p, corrected"]
    note = (
        f"Mean over test cases, x 100{lower}. Rows of {ENOUGH_SEEDS} and more seeds: paired tests over cases and "
        "seeds, of methods; of fewer: over cases, of these trained networks, not methods. Corrected by Holm over "
        f"the {len(rows)} rows. Cells in both: {len(pairs)}, of which {_same(pairs, cases)} hold exactly the same "
        f"scores; in one folder only: {len(old) + len(new) - 2 * len(pairs)}.\n"
    )
    if any(cells["data"].str.startswith("semi-real").any() for cells in (old, new)):
        note = f"{SEMI_REAL}\n\n{note}"
    return "\n".join(["# After against before\n", note, markdown_table(header, rows)])


def _cells(frames: StoreFrames, start: int) -> pd.DataFrame:
    """Those that hold scores of cases, once each, with their lines and all that decided their scores but the seed.

    Of the folds of one cross-validation that is the same. Lines count from `start`.
    """
    cells = frames.cells[frames.cells["cases"] > 0]
    backbones = {id(one): one.model_dump_json(exclude={"seed"}) for one in cells["_backbone"]}
    data = {id(one): one.model_dump_json() for one in cells["_data"]}
    named = cells.assign(
        line=cells.index + start,
        label=list(map(lambda *parts: Row(*parts).label, cells["paradigm"], cells["method"], cells["options"])),
        decided_by=[
            f"{backbones[id(backbone)]}{pool or data[id(labelled)]}{downstream!r}"
            for backbone, pool, labelled, downstream in zip(
                cells["_backbone"], cells["_pool"], cells["_data"], cells["_downstream"], strict=True
            )
        ],
    )
    return named.drop_duplicates("key", keep="last")


def _without_choice(cells: pd.DataFrame, store: Store) -> pd.DataFrame:
    """`cells`, if no two of them could pair with the same one. Raises UserError otherwise."""
    for _, alike in cells[cells.duplicated(PLACE, keep=False)].groupby(PLACE, sort=False):
        (_, first), (_, second), *_ = alike.iterrows()
        raise UserError(
            f"--compare: {store.folder} holds cells {first['key']} and {second['key']} of {first['label']}, "
            f"{first['task']}, {first['protocol']}, seed {first['seed']}; name folders of one setting and corpus each"
        )
    return cells


def _joined_cases(before: StoreFrames, after: StoreFrames) -> pd.DataFrame:
    """The cases of both; those of `after` count their cells from where `before` ends."""
    later = after.cases.assign(cell=after.cases["cell"] + len(before.cells))
    names = ["case", "subject", "class"]
    frames = (frame.astype(dict.fromkeys(names, object)) for frame in (before.cases, later))
    return pd.concat(frames, ignore_index=True).astype(dict.fromkeys(names, "category"))


def _same(pairs: pd.DataFrame, cases: pd.DataFrame) -> int:
    """How many pairs hold exactly the same scores."""
    count = 0
    for places in zip(pairs["line"], pairs["line_after"], strict=True):
        one, other = (lines_of(cases, np.array([place]))[0].drop(columns="cell") for place in places)
        count += one.reset_index(drop=True).equals(other.reset_index(drop=True))
    return count


def _scores(pairs: pd.DataFrame, cases: pd.DataFrame) -> Scores | None:
    """`pairs`, which differ in their seeds and folds alone, as those before the change and those after it."""
    cells = np.concatenate([pairs["line"], pairs["line_after"]])
    sides, seeds, folds = np.repeat([0, 1], len(pairs)), np.tile(pairs["seed"], 2), np.tile(pairs["fold"], 2)
    return read_scores(cases, cells, sides, seeds, pairs["metric"].iloc[0], folds)


def _rows(pairs: pd.DataFrame, cases: pd.DataFrame) -> list[list[str]]:
    rows, p = [], []
    generator = np.random.default_rng(0)
    for shown, group in pairs.groupby([*SHOWN, "decided_by", "decided_by_after"]):
        scores = _scores(group, cases)
        difference = subtract(scores, 0, generator).get(1) if scores else None
        if scores is None or difference is None:
            continue
        d, metric = difference.standardised, scores.metric
        p.append(difference.p)
        rows.append([
            *shown[: len(SHOWN)], str(len(scores.seeds)), str(difference.cases),
            *(metric.text(float(summary.estimate.value)) for summary in summarise(scores).values()),
            interval_text(difference.estimate, metric, "+") + ("" if metric.higher_is_better else " ↓"),
            f"{d:+.2f}" if np.isfinite(d) else "n/a", p_text(difference.p),
        ])  # fmt: skip
    return [[*row, p_text(float(corrected))] for row, corrected in zip(rows, holm(np.array(p)), strict=True)]
