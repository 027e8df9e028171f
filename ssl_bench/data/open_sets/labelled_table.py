"""The CSV of a classification, as ``--task folder:DIR`` reads it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

TABLE = "labels.csv"
COLUMNS = ("image", "label", "class")


def write_table(folder: Path, scans: Iterable[tuple[str, int]], classes: Sequence[str]) -> None:
    """Write ``labels.csv`` into `folder`: `scans` below it with the numbers of their `classes`, from 0 on.

    The column ``label`` has 0 and 1 where there are two classes, so that it is said which one is positive, and their
    names where there are more; ``class`` has the name.
    """
    named = len(classes) > 2
    rows = [(scan, classes[number] if named else number, classes[number]) for scan, number in scans]
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([COLUMNS, *rows])
