"""What the labels of a table mean: one of two classes, one of several, or a number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from statistics import quantiles
from typing import Literal, NamedTuple

from ssl_bench.data.io.formats import natural_key
from ssl_bench.data.layouts.tables import binary_label

TableKind = Literal["classification", "multi-class", "regression"]
MOST_NUMBERS = 10
"""More different numbers may be grades as well as measurements: nothing is guessed."""
FEWEST_OTHERS = 4
"""Targets without which nothing is said of what is unlikely among them."""
CLASSES, NUMBERS = "label", "target"
"""The columns: one with classes, one with numbers."""
SAY = "say what they are with --set data.TASK.kind=multi-class or kind=regression"


class TableLabels(NamedTuple):
    """How a column of labels is read."""

    kind: TableKind
    column: str
    classes: tuple[str, ...] = ()
    """The texts of all classes; of a binary classification by 0 and 1 there are none."""
    problem: str = ""
    """Why the column cannot be read, in one line; empty where it can."""

    @property
    def names(self) -> tuple[str, ...]:
        """The classes as a task's facts name them."""
        if self.kind == "classification":
            return self.classes[1:] or ("positive",)
        return self.classes

    def value(self, text: str) -> int | float | None:
        """The label that `text` stands for; None where it is none."""
        if self.kind == "regression":
            return _number(text)
        if not self.classes:
            return binary_label(text)
        return self.classes.index(text) if text in self.classes else None

    @property
    def expected(self) -> str:
        """What a label may be."""
        if self.kind == "regression":
            return "no number"
        return "neither 0 nor 1" if not self.classes else "no class of the table"


def read_labels(
    header: Sequence[str], labels: Sequence[str], targets: Sequence[str], kind: str = "auto"
) -> TableLabels:
    """How the columns of a table with that `header` are read, by what they hold unless `kind` says it.

    `labels` and `targets` are the cells of both columns. A column ``target`` holds numbers. A column ``label`` holds
    0 and 1, or two words, or several classes; more than `MOST_NUMBERS` numbers, numbers with fractions, or words that
    differ in capitals alone, are not guessed.
    """
    both = CLASSES in header and NUMBERS in header
    if kind == "regression" or (kind == "auto" and NUMBERS in header and CLASSES not in header):
        return TableLabels("regression", NUMBERS if NUMBERS in header else CLASSES)
    if kind == "auto" and both:
        said = f"has both columns, {CLASSES} with classes and {NUMBERS} with numbers; {SAY}"
        return TableLabels("classification", CLASSES, problem=said)
    column, cells = (NUMBERS, targets) if NUMBERS in header and CLASSES not in header else (CLASSES, labels)
    found = sorted({text for text in cells if text}, key=natural_key)
    if kind == "multi-class":
        few = f"{column} holds one class alone, {found[0]!r}; add cases of another" if len(found) == 1 else ""
        return TableLabels("multi-class", column, tuple(found), few)
    numbers = [number for text in found if (number := _number(text)) is not None]
    words = len(found) - len(numbers)
    if kind == "auto" and (alike := _in_capitals_alone(found)):
        said = f"{column} holds {' and '.join(map(repr, alike))}, alike but for capitals: write them alike, or {SAY}"
        return TableLabels("classification", column, problem=said)
    if kind == "classification" or len(found) < 3:
        two_words = len(found) == 2 and words == 2
        return TableLabels("classification", column, tuple(found) if two_words else ())
    if all(binary_label(text) is not None for text in found):
        return TableLabels("classification", column)
    if problem := _doubtful(column, numbers, words):
        return TableLabels("multi-class", column, tuple(found), problem)
    return TableLabels("multi-class", column, tuple(found))


def unlikely_numbers(labels: Iterable[object]) -> str:
    """What is said of targets in nines, such as 999 and -9, that lie far from all others; empty without such.

    Tables write them where nothing is known. Far is three times the distance of the quartiles beyond them (Tukey 1977).
    """
    targets = [label for label in labels if isinstance(label, float)]
    others = [target for target in targets if not _in_nines(target)]
    if len(others) < FEWEST_OTHERS:
        return ""
    low, _, high = quantiles(others, n=4)
    reach = 3 * (high - low)
    far = [target for target in targets if _in_nines(target) and not low - reach <= target <= high + reach]
    if not far:
        return ""
    values = " or ".join(f"{value:g}" for value in sorted(set(far)))
    there = f"the others lie from {min(others):g} to {max(others):g}"
    told = f"{len(far)} of {len(targets)} targets are {values}, and {there}"
    return f"{told}; where that says that nothing is known, empty those cells"


def _in_nines(target: float) -> bool:
    return target.is_integer() and set(f"{abs(int(target))}") == {"9"}


def _in_capitals_alone(texts: Sequence[str]) -> list[str]:
    """The first of `texts` that differ in nothing but capitals, as of one class that was typed by several people."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(text.casefold(), []).append(text)
    return next((group for group in groups.values() if len(group) > 1), [])


def _doubtful(column: str, numbers: Sequence[float], words: int) -> str:
    """Why different labels are not taken for classes without a word of the user's; empty where they are."""
    if numbers and words:
        return f"{column} holds {len(numbers)} numbers and {words} other texts; correct the odd ones, or {SAY}"
    if any(not number.is_integer() for number in numbers):
        return f"{column} holds {len(numbers)} numbers, some with fractions: grades or measurements; {SAY}"
    if len(numbers) > MOST_NUMBERS:
        return f"{column} holds {len(numbers)} different numbers: classes or measurements; {SAY}"
    return ""


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None
