"""Two stores side by side: did a change move anything."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ssl_bench.api.metric import METRICS
from ssl_bench.errors import UserError
from ssl_bench.report.cell_text import interval_text, p_text
from ssl_bench.report.comparison import subtract, summarise
from ssl_bench.report.markdown_table import markdown_table
from ssl_bench.report.notes import SEMI_REAL, lower_is_better
from ssl_bench.report.results import StoreFrames, read_results
from ssl_bench.report.scores import Scores, lines_of, read_scores
from ssl_bench.report.statistics import ENOUGH_SEEDS, holm
from ssl_bench.report.table import Row
from ssl_bench.spec.specification import on_network
from ssl_bench.store.store import Store

PLACE = ["preset", "network", "paradigm", "method", "options", "task", "protocol", "cohort", "cases_digest", "seed"]
"""What two cells share that may be compared, whatever else a change did to them."""
SHOWN = ["preset", "label", "task", "protocol"]


def write_changes(before: Store, after: Store) -> str:
    """Every method, task and protocol in both stores with its paired difference, averaged over the seeds in both.

    Cells pair by key; of the others, those that agree in preset, backbone, method, options, task,
    protocol, seed and cases.
    Raises UserError where that leaves a choice, and where nothing pairs.
    """
    frames = read_results(before), read_results(after)
    old, new = _cells(frames[0], 0), _cells(frames[1], len(frames[0].cells))
    by_key = old.merge(new, on="key", suffixes=("", "_after"))
    rest = [one[~one["key"].isin(other["key"])] for one, other in ((old, new), (new, old))]
    by_place = rest[0].merge(rest[1], on=PLACE, suffixes=("", "_after"))
    _check_no_choice(by_place, before, after)
    pairs = pd.concat([by_key, by_place], ignore_index=True)
    cases = _joined_cases(*frames)
    rows = _rows(pairs, cases)
    if not rows:
        raise UserError(
            f"--compare {before.folder} {after.folder}: no cell stands in both with the same preset, backbone, method, "
            "options, task, protocol, seed and cases; name two folders of results that share some"
        )
    lower = lower_is_better(METRICS[name] for name in pairs["metric"].unique())
    header = ["Preset", "Method", "Task", "Protocol", "Seeds", "Cases", "Before", "After", "After - before [95 %]"]
    header += ["d", "p", "p, corrected"]
    note = (
        f"Mean over test cases, x 100{lower and f' ({lower})'}. Rows of {ENOUGH_SEEDS} and more seeds: paired tests "
        "over cases and seeds, of methods; of fewer: over cases, of these trained networks, not methods. Corrected by "
        f"Holm over the {len(rows)} rows. Cells in both: {len(pairs)}, of which {_same(pairs, cases)} hold exactly "
        f"the same scores; in one folder only: {len(old) + len(new) - 2 * len(pairs)}.\n"
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
        label=[
            on_network(Row(paradigm, method, options).label, network)
            for paradigm, method, options, network in zip(
                cells["paradigm"], cells["method"], cells["options"], cells["network"], strict=True
            )
        ],
        decided_by=[
            f"{backbones[id(backbone)]}{pool or data[id(labelled)]}{downstream!r}"
            for backbone, pool, labelled, downstream in zip(
                cells["_backbone"], cells["_pool"], cells["_data"], cells["_downstream"], strict=True
            )
        ],
    )
    return named.drop_duplicates("key", keep="last")


def _check_no_choice(pairs: pd.DataFrame, before: Store, after: Store) -> None:
    """Raise UserError where a cell of one store could pair with several of the other."""
    for _, alike in pairs[pairs.duplicated(PLACE, keep=False)].groupby(PLACE, sort=False):
        keys = {before.folder: alike["key"].unique(), after.folder: alike["key_after"].unique()}
        folder, (first, second, *_) = max(keys.items(), key=lambda item: len(item[1]))
        one = alike.iloc[0]
        raise UserError(
            f"--compare: {folder} holds cells {first} and {second} of {one['label']}, {one['task']}, "
            f"{one['protocol']}, seed {one['seed']}; name folders of one setting and corpus each"
        )


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
