"""Looking at every case of a data set before anything is prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ssl_bench.api.cases import Found, Problem, SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.leaks import same_scans
from ssl_bench.data.preprocessing.arrays import CaseReport, read_case
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.parallel import over_cases


def check(
    found: Found,
    preprocessing: Preprocessing,
    rule: LabelRule | None,
    workers: int,
    on_progress: Callable[[str], None],
) -> tuple[list[CaseReport], list[Problem]]:
    """Reports of the cases that can be read, in order; and all problems, by file.

    Finds whatever preprocessing would refuse, except lungs that are not there, and scans that the data set holds twice.
    `on_progress` gets the identifier of each case that ended.
    """
    work = partial(_look, preprocessing=preprocessing, rule=rule)
    reports, unreadable = over_cases(work, found.cases, workers, on_progress)
    problems = [*found.problems, *unreadable, *_duplicates(reports)]
    return reports, sorted(problems, key=lambda problem: str(problem.path))


def _look(case: SourceCase, preprocessing: Preprocessing, rule: LabelRule | None) -> CaseReport:
    _, _, report = read_case(case, preprocessing, rule)
    return report


def _duplicates(reports: Sequence[CaseReport]) -> list[Problem]:
    """Each scan that an earlier case holds already."""
    scans = {report.case.identifier: report for report in reports}
    signatures = [(identifier, report.signature) for identifier, report in scans.items()]
    earlier = {second: first for first, second in reversed(same_scans(signatures, signatures))}
    return [
        Problem(scans[second].case.image, f"the same scan as {scans[first].case.image}; keep one of them")
        for second, first in earlier.items()
    ]
