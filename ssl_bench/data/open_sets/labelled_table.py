"""The CSV of a classification, as ``--task folder:DIR`` reads it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

TABLE = "labels.csv"
COLUMNS = ("image", "label", "class")
"""A scan below the folder; its class by number from 0 on, and by name."""


def write_table(folder: Path, rows: Iterable[tuple[str, int, str]]) -> None:
    """Write ``labels.csv`` with the `COLUMNS` into `folder`."""
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([COLUMNS, *rows])
