"""Two stores side by side: did a change move anything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ssl_bench.errors import UserError
from ssl_bench.report.case_scores import case_names, read_scores, subtract
from ssl_bench.report.cell_text import percent
from ssl_bench.report.comparison import summarise
from ssl_bench.report.markdown_table import markdown_table
from ssl_bench.report.significance import interval, p_value
from ssl_bench.report.statistics import holm
from ssl_bench.report.table import SEMI_REAL, Row, row_of
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store


class _Place(NamedTuple):
    """What two cells share that may be compared, whatever else a change did to them."""

    preset: str
    row: Row
    task: str
    protocol: str
    column: str
    cases: str
    seed: int


def write_changes(before: Store, after: Store) -> str:
    """Every method, task and protocol in both stores with its paired difference, averaged over the seeds in both.

    Cells pair by key; of the others, those that agree in preset, method, options, task, protocol, seed and cases.
    Raises UserError where that leaves a choice, and where nothing pairs.
    """
    old, new = _evaluations(before), _evaluations(after)
    pairs = [(old[key], new[key]) for key in old.keys() & new.keys()]
    old_places, new_places = _by_place(old, new, before), _by_place(new, old, after)
    pairs += [(old_places[place], new_places[place]) for place in old_places.keys() & new_places.keys()]
    groups: dict[tuple[str, ...], list[tuple[EvaluationRecord, EvaluationRecord]]] = defaultdict(list)
    for pair in pairs:
        groups[_but_for_the_seed(pair)].append(pair)
    alone = len(old) + len(new) - 2 * len(pairs)
    rows = _rows(group for _, group in sorted(groups.items()))
    if not rows:
        raise UserError(
            f"--compare {before.folder} {after.folder}: no cell stands in both with the same method, options, task, "
            "protocol, seed and cases; name two folders of results that share some"
        )
    header = ["Preset", "Method", "Task", "Protocol", "Seeds", "Cases", "Before", "After", "After - before [95 %]"]
    header += ["d", "p", "p, corrected"]
    same = sum(first.cases == second.cases for first, second in pairs)
    note = (
        "Mean over test cases, x 100. Paired tests over cases, conditional on the seeds run, corrected by Holm over "
        f"the {len(rows)} rows. Cells in both: {len(pairs)}, of which {same} hold exactly the same scores; in one "
        f"folder only: {alone}.\n"
    )
    if any(record.data.startswith("semi-real") for pair in pairs for record in pair):
        note = f"{SEMI_REAL}\n\n{note}"
    return "\n".join(["# After against before\n", note, markdown_table(header, rows)])


def _evaluations(store: Store) -> dict[str, EvaluationRecord]:
    return {record.key: record for record in store.records() if isinstance(record, EvaluationRecord) and record.cases}


def _by_place(
    records: dict[str, EvaluationRecord], others: dict[str, EvaluationRecord], store: Store
) -> dict[_Place, EvaluationRecord]:
    """The records whose key the other store lacks."""
    found: dict[_Place, EvaluationRecord] = {}
    for key in records.keys() - others.keys():
        place = _place(records[key])
        if place in found:
            raise UserError(
                f"--compare: {store.folder} holds cells {found[place].key} and {key} of {place.row.label}, "
                f"{place.task}, {place.protocol}, seed {place.seed}; name folders of one setting and "
                "corpus each"
            )
        found[place] = records[key]
    return found


def _place(record: EvaluationRecord) -> _Place:
    spec = record.spec
    names = (spec.task, spec.protocol, spec.data.column, record.cases_digest)
    return _Place(record.setting.preset, row_of(record), *names, spec.seed)


def _but_for_the_seed(pair: tuple[EvaluationRecord, EvaluationRecord]) -> tuple[str, ...]:
    place = _place(pair[0])
    specs = (record.spec.model_dump_json(exclude={"seed": True, "backbone": {"seed"}}) for record in pair)
    return (place.preset, place.row.label, place.task, place.protocol, *specs)


def _rows(groups: Iterable[Sequence[tuple[EvaluationRecord, EvaluationRecord]]]) -> list[list[str]]:
    rows, p = [], []
    generator = np.random.default_rng(0)
    for pairs in groups:
        place = _place(pairs[0][0])
        cases = case_names(record for pair in pairs for record in pair)
        before, after = (read_scores({pair[side].spec.seed: pair[side] for pair in pairs}, cases) for side in (0, 1))
        difference = subtract(after, before, generator)
        if difference is None:
            continue
        d = difference.standardised
        p.append(difference.p)
        rows.append([
            place.preset, place.row.label, place.task, place.protocol,
            str(len(before.by_seed)), str(difference.cases),
            *(percent(float(summarise(scores).estimate.value)) for scores in (before, after)),
            interval(difference.estimate, "+"), f"{d:+.2f}" if np.isfinite(d) else "n/a", p_value(difference.p),
        ])  # fmt: skip
    return [[*row, p_value(float(corrected))] for row, corrected in zip(rows, holm(np.array(p)), strict=True)]
