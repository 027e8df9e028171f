"""Looking at every case of a data set before anything is prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ssl_bench.api.cases import Found, Problem, SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.layouts.label_names import label_maps_among
from ssl_bench.data.leaks import same_scans
from ssl_bench.data.preprocessing.arrays import CaseReport, prepare_case
from ssl_bench.data.preprocessing.labels import LabelRule, nothing_to_learn
from ssl_bench.data.preprocessing.parallel import over_cases
from ssl_bench.data.preprocessing.signature import Signature
from ssl_bench.data.splits import torn_patients


class Checked(NamedTuple):
    """What was seen in a data set."""

    reports: list[CaseReport]
    """Of the cases that can be read, in order."""
    problems: list[Problem]
    """By file."""
    label_maps: list[Problem]
    """Files of a corpus that are no scans, each with why, by file."""


def check(
    found: Found,
    root: Path,
    preprocessing: Preprocessing,
    rule: LabelRule | None,
    workers: int,
    on_progress: Callable[[str], None],
) -> Checked:
    """Look at what was `found` in the folder `root`.

    Each case is prepared and nothing kept of it: so whatever preprocessing would refuse is found, and scans that the
    data set holds twice, patients that it puts on both sides, and labels that are all background. `on_progress` gets
    the identifier of each case that ended.
    """
    work = partial(_look, preprocessing=preprocessing, rule=rule)
    reports, unreadable = over_cases(work, found.cases, workers, on_progress)
    label_maps, problems = label_maps_among(found, unreadable, root)
    problems += [*torn_patients(found.cases), *_duplicates(reports)]
    problems += nothing_to_learn(found.cases, rule, [report.has_class for report in reports])
    return Checked(reports, sorted(problems, key=_by_file), sorted(label_maps, key=_by_file))


def _by_file(problem: Problem) -> str:
    return str(problem.path)


def _look(case: SourceCase, preprocessing: Preprocessing, rule: LabelRule | None) -> CaseReport:
    return prepare_case(case, preprocessing, rule)[1]


def absent_values(reports: Sequence[CaseReport], rule: LabelRule | None) -> list[int]:
    """The values of the task's classes that no label holds; none where no label holds any class, which is a problem."""
    if rule is None or not any(report.has_class for report in reports):
        return []
    held = {rule.synonyms.get(value, value) for report in reports for value in report.label_voxels}
    return [value for value in rule.values if value not in held]


def _duplicates(reports: Sequence[CaseReport]) -> list[Problem]:
    """Each scan that an earlier case holds already, in the same channel."""
    scans = {report.case.identifier: report for report in reports}
    by_channel: dict[str, list[tuple[str, Signature]]] = {}
    for identifier, report in scans.items():
        for channel in report.channels:
            by_channel.setdefault(channel.name, []).append((identifier, channel.signature))
    pairs = [pair for signatures in by_channel.values() for pair in same_scans(signatures, signatures)]
    earlier = {second: first for first, second in reversed(pairs)}
    return [
        Problem(scans[second].case.image, f"the same scan as {scans[first].case.image}; keep one of them")
        for second, first in earlier.items()
    ]
