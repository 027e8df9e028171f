"""CSV files that come with scans: rows, the scans they name, and everything that may be wrong with them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ssl_bench.api.cases import Problem

PATIENT_COLUMNS = {f"{who}{ending}" for who in ("patient", "subject", "participant") for ending in ("", "id", "name")}
"""Without blanks, underscores and hyphens, in small letters."""
NOTHING = frozenset(("n/a", "#n/a", "na", "<na>", "nan", "null"))
"""What stands in a cell of which nothing is known, in small letters: BIDS, spreadsheets, R, pandas and databases."""


class Row(NamedTuple):
    """One row of a table."""

    line: int
    """The line's number in the file, counted from 1."""
    cells: dict[str, str]
    """The cells by column, without surrounding blanks; one that is missing or holds a word of `NOTHING` is empty."""


def read_table(path: Path, columns: Sequence[str]) -> tuple[list[Row], list[Problem]]:
    """The rows of a comma-separated UTF-8 file that has at least `columns`; or the problem that makes it useless.

    A row with more cells than columns is a problem of its own: a comma within a cell has moved what comes after it.
    """
    try:
        text = path.read_text("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = [name.strip() for name in next(reader, [])]
        lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except OSError as error:
        return [], [Problem(path, f"cannot be read ({error.strerror}); allow it to be read")]
    except (UnicodeDecodeError, csv.Error) as error:
        return [], [Problem(path, f"is no readable CSV ({error}); save it as comma-separated UTF-8 text")]
    missing = [column for column in columns if column not in header]
    if missing:
        return [], [Problem(path, _without_columns(header, missing, columns))]
    twice = [
        name for name in dict.fromkeys(header) if header.count(name) > 1 and (name in columns or _is_patient(name))
    ]
    if twice:
        return [], [Problem(path, f"has the column {twice[0]} {header.count(twice[0])} times; keep one of them")]
    if not lines:
        return [], [Problem(path, "has a header and no rows; add one row for each scan")]
    longer = {line: len(cells) for line, cells in lines if any(cell.strip() for cell in cells[len(header) :])}
    rows = [Row(line, dict.fromkeys(header, "") | _cells(header, cells)) for line, cells in lines if line not in longer]
    return rows, [_too_long(path, line, count, len(header)) for line, count in longer.items()]


def table_header(path: Path) -> list[str]:
    """The columns of a comma-separated UTF-8 file; none of one that cannot be read, which `read_table` says."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [name.strip() for name in next(csv.reader(file, strict=True), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def patient_column(header: Iterable[str]) -> str | None:
    """The column that says who was scanned: ``patient``, else Patient ID, subject, participant_id or the like.

    Raises ValueError, which lists them, where there are several.
    """
    names = list(header)
    found = [name for name in names if _is_patient(name)]
    if "patient" in found or len(found) < 2:
        return "patient" if "patient" in found else next(iter(found), None)
    raise ValueError(f"several columns say who was scanned ({', '.join(found)}); call the one that counts patient")


def binary_label(text: str) -> int | None:
    """0 or 1, also where a spreadsheet made a fraction of it; None for anything else."""
    return {"0": 0, "1": 1, "0.0": 0, "1.0": 1}.get(text)


def named_scans(
    table: Path, rows: Iterable[Row], column: str, folder: Path
) -> tuple[list[tuple[Row, Path]], list[Problem]]:
    """The files or DICOM folders that `column` names relative to `folder`, which they must not leave."""
    scans: list[tuple[Row, Path]] = []
    problems: list[Problem] = []
    first: dict[Path, int] = {}
    for row in rows:
        text = row.cells[column]
        scan = folder / text
        if not text:
            reason = f"{column} is empty; name a scan or remove the row"
        elif ".." in Path(text).parts or not scan.is_relative_to(folder):
            reason = f"{text} leaves the folder; move the scan into it and give its path from there"
        elif not exists(scan):
            reason = f"{text} does not exist in {folder}; correct the path or remove the row"
        elif scan in first:
            reason = f"{text} stands in line {first[scan]} already; keep one of the rows"
        else:
            first[scan] = row.line
            scans.append((row, scan))
            continue
        problems.append(Problem(table, f"line {row.line}: {reason}"))
    return scans, problems


def named_channels(
    table: Path, rows: Sequence[Row], columns: Sequence[str], folder: Path
) -> tuple[list[tuple[Row, tuple[Path | None, ...]]], list[Problem]]:
    """The scans that `columns` name, one a channel, None where a cell is empty; see `named_scans`."""
    found: dict[str, dict[int, Path]] = {}
    # A row without any scan is a problem of its first column.
    problems = named_scans(table, [row for row in rows if not any(map(row.cells.get, columns))], columns[0], folder)[1]
    for column in columns:
        scans, unusable = named_scans(table, [row for row in rows if row.cells[column]], column, folder)
        found[column] = {row.line: scan for row, scan in scans}
        problems += unusable
    usable = [
        (row, tuple(found[column].get(row.line) for column in columns))
        for row in rows
        if any(map(row.cells.get, columns))
        and all(row.line in found[column] for column in columns if row.cells[column])
    ]
    return usable, problems


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; no name is too odd to ask."""
    try:
        return path.exists()
    except OSError:  # a name too long to be one
        return False


def _is_patient(column: str) -> bool:
    return re.sub(r"[ _-]", "", column).lower() in PATIENT_COLUMNS


def _cells(header: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    stripped = ((name, cell.strip()) for name, cell in zip(header, cells, strict=False))
    return {name: "" if cell.lower() in NOTHING else cell for name, cell in stripped}


def _too_long(path: Path, line: int, cells: int, columns: int) -> Problem:
    counts = f"has {cells} cells and the header {columns} columns"
    return Problem(path, f"line {line}: {counts}; put a text with a comma into quotes, and write 12.5 for 12,5")


def _without_columns(header: Sequence[str], missing: Sequence[str], columns: Sequence[str]) -> str:
    if not any(header):
        return f"is empty or starts with an empty line; begin with the columns {', '.join(columns)}"
    delimiter = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), None)
    if delimiter:
        return f"separates its columns by {delimiter!r}; save it with commas"
    return f"has no column {' and '.join(missing)}, only {', '.join(header)}; name the columns {', '.join(columns)}"
