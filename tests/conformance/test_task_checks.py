"""What the conformance kit says of a task whose facts or cases are wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ssl_bench.api.cases import Case
from ssl_bench.conformance import BrokenPromiseError
from ssl_bench.conformance.task_checks import COUNT, TASK_CHECKS, TaskUnderTest

SPACING, SHAPE = (8.0, 8.0, 8.0), (6, 6, 6)


def case(name: str = "a", **changes: Any) -> Case:
    """One that keeps every promise; of another name, another one."""
    generator = np.random.default_rng(ord(name[0]))
    label = generator.permutation(np.arange(216) % 8).reshape(SHAPE).astype(np.uint8)
    return replace(Case(name, generator.random(SHAPE, np.float32), label, SPACING), **changes)


class Grown:
    """A generator of seven classes that gives `cases`, however many are asked for."""

    spacing_mm, field_of_view_mm = SPACING, (48.0, 48.0, 48.0)

    def __init__(self, *cases: Case, again: Case | None = None, other: Case | None = None) -> None:
        self.cases, self.again, self.other = cases, again, other

    def grow(self, split: str, count: int, detail: float, seed: int) -> list[Case]:
        if seed:
            return [self.other or case("z")]
        if self.again and count == COUNT:
            return [self.again]
        return list(self.cases)


def subject(*cases: Case, task: str = "shc", **grown: Case) -> TaskUnderTest:
    found = TaskUnderTest(task)
    found.generator = Grown(*cases, **grown)  # type: ignore[assignment]
    found.cases = {"train": list(cases)}  # type: ignore[dict-item]
    return found


def problem(check: str, of: TaskUnderTest) -> str | None:
    (found,) = (one for one in TASK_CHECKS if one.find_problem.__name__ == check)
    return found.problem(of)


@pytest.mark.parametrize("check", [check.find_problem.__name__ for check in TASK_CHECKS])
def test_a_task_that_keeps_its_promises_has_no_problem(check: str) -> None:
    assert problem(check, subject(case())) is None


@pytest.mark.parametrize(
    ("check", "changed", "sentence"),
    [
        (
            "images_are_in_range",
            {"image": np.zeros(SHAPE)},
            "a: the image is float64 of 3 axes; give float32 (D, H, W)",
        ),
        ("images_are_in_range", {"image": np.full(SHAPE, 2, np.float32)}, "a: intensities run from 2 to 2, not in [0"),
        ("images_are_in_range", {"image": np.ones(SHAPE, np.float32)}, "a: the image is constant"),
        (
            "labels_fit",
            {"label": np.zeros((1, 1, 1), np.uint8)},
            "a: the label is uint8 (1, 1, 1), the image (6, 6, 6)",
        ),
        ("labels_fit", {"label": np.full(SHAPE, 9, np.uint8)}, "a: class 9 of 7"),
        ("classes_occur", {"label": np.minimum(case().label, 6)}, "no training case shows "),
        ("spacing_is_kept", {"spacing_mm": (1.0, 8.0, 8.0)}, "a: spacing (1.0, 8.0, 8.0) mm, promised (8.0, 8.0, 8.0)"),
        ("spacing_is_kept", {"image": np.zeros((9, 6, 6), np.float32)}, "a: covers [72.0, 48.0, 48.0] mm, promised"),
    ],
)
def test_a_broken_case_is_named_with_what_is_wrong(check: str, changed: dict[str, Any], sentence: str) -> None:
    said = problem(check, subject(case(**changed)))
    assert said is not None
    assert said.startswith(sentence)


@pytest.mark.parametrize(
    ("check", "broken", "sentence"),
    [
        ("labels_fit", subject(case(label=2), task="ccc"), "a: the label is 2, not 0 or 1"),
        ("classes_occur", subject(case(label=1), task="ccc"), "eight training cases are all of class 1"),
        ("cases_reproduce", subject(case(), again=case("b")), "the same seed grows other cases"),
        ("cases_reproduce", subject(case(), other=case()), "another seed grows the same case"),
        ("splits_differ", subject(case(), case()), "two cases share an identifier"),
        ("splits_differ", subject(case(), replace(case(), identifier="b")), "one image stands in two splits"),
    ],
)
def test_broken_cases_are_told_what_is_wrong(check: str, broken: TaskUnderTest, sentence: str) -> None:
    assert problem(check, broken) == sentence


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"title": ""}, "facts.title, and the data set's title, licence and access, must say"),
        ({"metric": "AUC"}, "a segmentation cannot be ranked by AUC"),
        ({"classes": ("vessel", "vessel")}, "two classes share a name"),
        ({"kind": "classification", "metric": "AUC"}, "a classification has one positive class"),
        ({"classes": ("vessel",)}, "1 classes of a segmentation have 7 label values"),
    ],
)
def test_facts_that_disagree_are_told(changed: dict[str, Any], sentence: str) -> None:
    of = subject(case())
    of.facts = replace(of.facts, **changed)
    said = problem("facts_are_complete", of)
    assert said is not None
    assert said.startswith(sentence)


def test_a_task_without_a_generator_is_asked_for_its_facts_alone() -> None:
    found = TaskUnderTest("shc")
    assert found.checks == TASK_CHECKS
    found.plugin = type("OnRealCases", (found.plugin,), {"generator": None})
    assert [check.find_problem.__name__ for check in found.checks] == ["facts_are_complete"]
    with pytest.raises(BrokenPromiseError, match="it has no generator"):
        found.grow("train")
