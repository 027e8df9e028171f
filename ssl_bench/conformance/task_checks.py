"""What every task owes the harness: facts that agree with each other, and a generator that keeps to them."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ssl_bench.api.cases import IGNORED, SPLITS, Case, Split
from ssl_bench.api.dataset import Dataset
from ssl_bench.api.generator import Generator
from ssl_bench.api.kinds import KINDS, of_voxels
from ssl_bench.api.registry import TASKS
from ssl_bench.api.task import TaskFacts
from ssl_bench.conformance import BrokenPromiseError, Check, checks_of

COUNT = 3


class TaskUnderTest:
    """A registered task and a few cases of it."""

    def __init__(self, name: str) -> None:
        """Raises UserError if there is no such task or it does not import."""
        self.name = name
        self.plugin = TASKS.load(name)
        self.facts = self.plugin.facts

    @property
    def checks(self) -> tuple[Check[TaskUnderTest], ...]:
        """Those that can be made: a task on real cases alone has facts, and its cases are for ``data check``."""
        return TASK_CHECKS if self.plugin.generator else TASK_CHECKS[:1]

    @cached_property
    def generator(self) -> Generator:
        """What grows the cases."""
        if self.plugin.generator is None:
            raise BrokenPromiseError("it has no generator")
        return self.plugin.generator()

    def grow(self, split: Split, count: int = COUNT, seed: int = 0) -> list[Case]:
        """Cases at the coarsest detail."""
        return self.generator.grow(split, count, 1.0, seed)

    @cached_property
    def cases(self) -> dict[Split, list[Case]]:
        """A few cases of every split."""
        return {split: self.grow(split) for split in SPLITS}


def facts_are_complete(subject: TaskUnderTest) -> str | None:
    """The facts name classes and metric, a data set its licence and label values, and they agree with each other."""
    facts, dataset = subject.facts, subject.plugin.dataset
    if not facts.title or (dataset and not all((dataset.title, dataset.licence, dataset.access))):
        return "facts.title, and the data set's title, licence and access, must say what is asked of which data"
    if facts.metric != KINDS[facts.kind].metric:
        return f"a {facts.kind} cannot be ranked by {facts.metric}"
    if len(set(facts.classes)) != len(facts.classes):
        return "two classes share a name"
    if facts.kind == "classification" and len(facts.classes) != 1:
        return "a classification has one positive class"
    if facts.kind == "multi-class" and len(facts.classes) < 2:
        return f"a task of several classes names {len(facts.classes)}; name all, the first too"
    if facts.kind == "regression" and facts.classes:
        return "a regression has no classes"
    if facts.kind == "region segmentation":
        return _regions_fit(facts, dataset)
    wanted = len(facts.classes) if of_voxels(facts.kind) else 0
    if dataset and len(dataset.label_values) != wanted:
        return f"{len(facts.classes)} classes of a {facts.kind} have {len(dataset.label_values)} label values"
    return None


def _regions_fit(facts: TaskFacts, dataset: Dataset | None) -> str | None:
    if len(facts.region_codes) != len(facts.classes):
        return f"{len(facts.classes)} regions have {len(facts.region_codes)} region_codes"
    if dataset and len(dataset.label_regions) != len(facts.classes):
        return f"{len(facts.classes)} regions have {len(dataset.label_regions)} label_regions"
    return None


def images_are_in_range(subject: TaskUnderTest) -> str | None:
    """Images are finite float32 in [0, 1], and vary."""
    for case in _all(subject):
        image = np.asarray(case.image)
        if image.dtype != np.float32 or image.ndim != 3:
            return f"{case.identifier}: the image is {image.dtype} of {image.ndim} axes; give float32 (D, H, W)"
        if not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
            return f"{case.identifier}: intensities run from {image.min():.4g} to {image.max():.4g}, not in [0, 1]"
        if image.std() == 0:
            return f"{case.identifier}: the image is constant"
    return None


def labels_fit(subject: TaskUnderTest) -> str | None:
    """Labels are class indices on the image's grid, or classes or numbers of whole volumes."""
    for case in _all(subject):
        if not of_voxels(subject.facts.kind):
            if said := _of_volume(subject.facts, case.label):
                return f"{case.identifier}: the label is {case.label!r}, {said}"
            continue
        label = np.asarray(case.label)
        if label.dtype not in (np.uint8, np.uint16) or label.shape != case.image.shape:
            return f"{case.identifier}: the label is {label.dtype} {label.shape}, the image {case.image.shape}"
        highest = int(np.where(label == IGNORED, 0, label).max())
        regions = subject.facts.kind == "region segmentation"
        if (highest.bit_length() if regions else highest) > len(subject.facts.classes):
            return f"{case.identifier}: class {highest} of {len(subject.facts.classes)}"
    return None


def classes_occur(subject: TaskUnderTest) -> str | None:
    """Every class occurs in a few training cases."""
    training = subject.cases["train"]
    facts = subject.facts
    if facts.kind == "classification":
        labels = {int(np.asarray(case.label)) for case in subject.grow("train", 8)}
        return None if labels == {0, 1} else f"eight training cases are all of class {labels.pop()}"
    if facts.kind == "regression":
        same = len({float(np.asarray(case.label)) for case in training}) == 1
        return "all training cases have the same number" if same else None
    cases = subject.grow("train", 8 * len(facts.classes)) if facts.kind == "multi-class" else training
    found = {int(value) for case in cases for value in np.unique(np.asarray(case.label)) if value != IGNORED}
    if facts.kind == "region segmentation":
        found = {1 + region for region in range(len(facts.classes)) if any(value >> region & 1 for value in found)}
    elif facts.kind == "multi-class":
        found = {1 + value for value in found}
    missing = [name for index, name in enumerate(facts.classes, 1) if index not in found]
    return f"no training case shows {', '.join(missing)}" if missing else None


def spacing_is_kept(subject: TaskUnderTest) -> str | None:
    """Cases have the spacing and the field of view that the generator promises."""
    generator = subject.generator
    for case in _all(subject):
        if not np.allclose(case.spacing_mm, generator.spacing_mm):
            return f"{case.identifier}: spacing {case.spacing_mm} mm, promised {generator.spacing_mm}"
        extent = np.multiply(case.image.shape, case.spacing_mm)
        if np.any(extent > np.asarray(generator.field_of_view_mm) + case.spacing_mm):
            return f"{case.identifier}: covers {extent.tolist()} mm, promised {generator.field_of_view_mm}"
    return None


def cases_reproduce(subject: TaskUnderTest) -> str | None:
    """The same seed grows the same bits, a case does not depend on how many are grown, another seed differs."""
    again, fewer, other = subject.grow("train"), subject.grow("train", 1), subject.grow("train", 1, seed=1)
    first = subject.cases["train"]
    if not all(_equal(one, two) for one, two in zip(first, again, strict=True)):
        return "the same seed grows other cases"
    if not _equal(first[0], fewer[0]):
        return "a case depends on how many are grown"
    if np.array_equal(first[0].image, other[0].image):
        return "another seed grows the same case"
    return None


def splits_differ(subject: TaskUnderTest) -> str | None:
    """No case stands in two splits, and identifiers are unique."""
    cases = _all(subject)
    if len({case.identifier for case in cases}) < len(cases):
        return "two cases share an identifier"
    digests = {np.asarray(case.image).tobytes() for case in cases}
    return None if len(digests) == len(cases) else "one image stands in two splits"


TASK_CHECKS: tuple[Check[TaskUnderTest], ...] = checks_of(
    facts_are_complete,
    images_are_in_range,
    labels_fit,
    classes_occur,
    spacing_is_kept,
    cases_reproduce,
    splits_differ,
)


def _of_volume(facts: TaskFacts, label: object) -> str:
    """Why `label` is none of a whole volume; empty where it is one."""
    if facts.kind == "regression":
        return "" if isinstance(label, float) and np.isfinite(label) else "not a finite float"
    if facts.kind == "multi-class":
        return "" if label in range(len(facts.classes)) else f"not 0 to {len(facts.classes) - 1}"
    return "" if label in (0, 1) else "not 0 or 1"


def _all(subject: TaskUnderTest) -> list[Case]:
    return [case for cases in subject.cases.values() for case in cases]


def _equal(one: Case, other: Case) -> bool:
    return np.array_equal(one.image, other.image) and np.array_equal(np.asarray(one.label), np.asarray(other.label))
