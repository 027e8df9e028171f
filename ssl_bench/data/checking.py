"""Looking at every case of a data set before anything is prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

from ssl_bench.api.cases import Problem, SourceCase
from ssl_bench.api.recipe import Recipe
from ssl_bench.data.leaks import overlapping
from ssl_bench.data.preprocessing.arrays import read_case
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.parallel import over_cases
from ssl_bench.data.preprocessing.signature import Signature


@dataclass(frozen=True, eq=False)
class CaseReport:
    """A case that can be read, as its files hold it."""

    case: SourceCase
    shape: tuple[int, int, int]
    """(D, H, W), before anything is cropped or resampled."""
    spacing_mm: tuple[float, float, float]
    """(D, H, W)."""
    value_range: tuple[float, float]
    label_ml: dict[int, float]
    """The volume of each value of the label file; empty without one."""
    notes: tuple[str, ...]
    """What a user should know about this case, one line each."""
    signature: Signature


def check(
    cases: Sequence[SourceCase],
    problems: Sequence[Problem],
    recipe: Recipe,
    rule: LabelRule | None,
    workers: int,
    on_progress: Callable[[str], None],
) -> tuple[list[CaseReport], list[Problem]]:
    """Reports of the cases that can be read, in order; and `problems` with those that reading finds, by file.

    Finds whatever preparing would refuse, except lungs that are not there, and scans that the data set holds twice.
    `on_progress` gets the identifier of each case that ended.
    """
    reports, unreadable = over_cases(partial(_look, recipe=recipe, rule=rule), cases, workers, on_progress)
    found = [*problems, *unreadable, *_duplicates(reports)]
    return reports, sorted(found, key=lambda problem: str(problem.path))


def _look(case: SourceCase, recipe: Recipe, rule: LabelRule | None) -> CaseReport:
    raw = read_case(case, recipe, rule)
    voxel_ml = prod(raw.image.spacing_mm) / 1000
    depth, height, width = raw.image.voxels.shape
    return CaseReport(
        case=case,
        shape=(depth, height, width),
        spacing_mm=raw.image.spacing_mm,
        value_range=raw.value_range,
        label_ml={value: count * voxel_ml for value, count in raw.label_voxels.items()},
        notes=raw.notes,
        signature=raw.signature,
    )


def _duplicates(reports: Sequence[CaseReport]) -> list[Problem]:
    """Each scan that an earlier case holds already."""
    scans = {report.case.identifier: report for report in reports}
    order = {identifier: number for number, identifier in enumerate(scans)}
    signatures = [(identifier, report.signature) for identifier, report in scans.items()]
    earlier: dict[str, str] = {}
    for first, second in overlapping(signatures, signatures):
        if order[first] < order[second]:
            earlier.setdefault(second, first)
    return [
        Problem(scans[second].case.image, f"the same scan as {scans[first].case.image}; keep one of them")
        for second, first in earlier.items()
    ]
