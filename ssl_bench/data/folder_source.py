"""Volumes that are read from a folder of the user's: prepared, split, and named by what their files hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ssl_bench.api.cases import Found, Problem
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.settings import validated
from ssl_bench.data.doubts import doubt_lines, named
from ssl_bench.data.layouts.label_names import label_maps_among
from ssl_bench.data.layouts.table_labels import unlikely_numbers
from ssl_bench.data.leaks import held_again
from ssl_bench.data.preprocessing.case_folder import PreparedCase
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.prepared import prepare
from ssl_bench.data.sizing import Shape
from ssl_bench.data.source import DataSource, Spec
from ssl_bench.errors import UserError
from ssl_bench.spec.locations import ImageStore

Track = Callable[[str, int], AbstractContextManager[Callable[[str], None]]]
"""A progress bar: a title and a number of steps in, a context whose value advances by one step out."""


def untracked(title: str, steps: int) -> AbstractContextManager[Callable[[str], None]]:
    """No progress bar."""
    return nullcontext(lambda words: None)


def unheard(line: str) -> None:
    """No warnings."""


@dataclass(frozen=True)
class Preparation:
    """How cases are prepared; no choice here changes what a case becomes."""

    skip_problems: bool = False
    """Leave out the cases that cannot be used, instead of stopping."""
    track: Track = untracked
    workers: int = 1
    store: ImageStore | None = None
    """How images lie on disk; None for as they are, new ones plain."""
    warn: Callable[[str], None] = unheard
    """Gets a line for each kind of doubt about the cases, and others that are to be said."""


class FolderSource(DataSource[Spec]):
    """The scans below a folder."""

    rule: LabelRule | None = None
    """How label files are read; None where there are none."""

    def __init__(
        self,
        root: Path,
        name: str,
        option: str,
        find: Callable[[Path], Found],
        preprocessing: Preprocessing,
        preparation: Preparation,
    ) -> None:
        """`name` is the task's, or ``corpus``; `option` chose `root`."""
        self.root = root
        self.name = name
        self.place = f"{option} {root}"
        self.preprocessing = preprocessing
        self._find = find
        self._preparation = preparation

    @cached_property
    def found(self) -> Found:
        """What the folder holds, without reading a voxel. Raises UserError if there is no such folder."""
        return self._find(self.root)

    @cached_property
    def prepared(self) -> tuple[dict[str, PreparedCase], list[Problem]]:
        """The cases that can be used, by identifier, and what is left out. Raises UserError unless that is allowed."""
        found: Found = self.found
        preparation = self._preparation
        prepared: list[PreparedCase]
        bad: list[Problem]
        with preparation.track(f"preparing {self.root.name}", len(found.cases)) as advance:
            prepared, bad = prepare(
                found.cases,
                self.preprocessing,
                self.rule,
                preparation.workers,
                advance,
                preparation.store,
                lambda line: preparation.warn(f"{self.place}: {line}"),
            )
        label_maps, problems = label_maps_among(found, bad, self.root)
        if problems and (not prepared or not preparation.skip_problems):
            raise UserError(named(_summary(problems), self.name))
        left_out = f"{len(label_maps)} of its files are label maps, not scans" if label_maps else ""
        if not prepared:
            no_scan = f": {left_out}; --take-labels takes them all the same" if label_maps else ""
            raise UserError(f"{self.place}: holds no usable case{no_scan}")
        if label_maps:
            preparation.warn(
                f"{self.place}: {left_out}, and are left out (the first: {label_maps[0].path}); ssl-bench data check "
                "lists them with why, --take-labels takes them as scans"
            )
        for line in warnings_about(prepared, self.name):
            preparation.warn(f"{self.place}: {line}")
        return {case.identifier: case for case in prepared}, problems

    @property
    def cases(self) -> dict[str, PreparedCase]:
        """Those that can be used, by identifier, in order."""
        return self.prepared[0]

    @property
    def left_out(self) -> tuple[str, ...]:
        """See `DataSource`."""
        return tuple(f"{problem.path.name}: {problem.reason}" for problem in self.prepared[1])

    @property
    def shapes(self) -> list[Shape]:
        """Those of the prepared cases (D, H, W)."""
        return [case.shape for case in self.cases.values()]

    @cached_property
    def fingerprint(self) -> str:
        """Digest of what the files hold and how it is read, wherever they lie and in whatever order."""
        digests = sorted((case.identifier, case.digest) for case in self.cases.values())
        return hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:16]


def changed(preprocessing: Preprocessing, changes: Mapping[str, Any], name: str) -> Preprocessing:
    """`preprocessing` with the user's changes. Raises UserError for one that makes no sense."""
    return validated(Preprocessing, preprocessing.model_dump() | dict(changes), f"data.{name}")


def _summary(problems: Sequence[Problem]) -> str:
    first = problems[0]
    others = f" (and {len(problems) - 1} more; ssl-bench data check lists them)" if len(problems) > 1 else ""
    return f"{first.path}: {first.reason}; or leave such cases out with --skip-problems{others}"


def warnings_about(prepared: Sequence[PreparedCase], name: str) -> list[str]:
    """What is suspicious about the cases of data set `name`, one line each, and which are there twice."""
    doubts = doubt_lines(name, {case.identifier: case.doubts for case in prepared})
    return [*doubts, *filter(None, (held_again(prepared), unlikely_numbers(case.label for case in prepared)))]
