"""A task from a folder of scans and a CSV with their classes or numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ssl_bench.api.cases import Found, Problem, SourceCase
from ssl_bench.api.dataset import Dataset
from ssl_bench.api.kinds import KINDS
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.task import Task, TaskFacts
from ssl_bench.data.io.formats import natural_key
from ssl_bench.data.layouts.channel_names import column_channels, intensities_of
from ssl_bench.data.layouts.folders import PROPORTIONS, data_set_name, existing_folder, in_order
from ssl_bench.data.layouts.identifiers import scan_identifiers
from ssl_bench.data.layouts.table_labels import CLASSES, NUMBERS, TableLabels, read_labels
from ssl_bench.data.layouts.tables import named_channels, patient_column, read_table, table_header

PREFERRED = "labels.csv"


@dataclass(frozen=True, kw_only=True)
class LabelledFolder(Dataset):
    """A folder of scans and a CSV that labels them; scans that it does not name are left alone."""

    kind: str = "auto"
    """What the user says that the labels are."""

    def find(self, root: Path) -> Found:
        """See `Dataset`; a case whose cell of a channel is empty is found without it."""
        return _find(existing_folder(root), self.kind)


def labelled_folder_task(folder: Path, kind: str = "auto") -> type[Task]:
    """A classification of two or more classes, or a regression: CT unless the preprocessing's options say otherwise.

    The folder holds one CSV, or several of which one is ``labels.csv``, with the columns ``image`` (a file or DICOM
    folder, relative to the folder), ``label`` (a class) or ``target`` (a number), and optionally ``patient``, see
    `patient_column`. Several channels have columns ``image_T1``, ``image_FLAIR``, ... in place of ``image``, and each
    is normalised as its name says. `kind` says what the labels are, where that is not seen by them: see `read_labels`.
    Raises UserError if there is no such folder.
    """
    name = data_set_name(folder)
    table = _table(folder)
    labels = _labels(table, kind)
    channels = tuple(_channels(table).values())
    preprocessing = Preprocessing(
        intensity=intensities_of(channels) if channels else "ct", region="whole", channels=channels
    )

    class Labelled(Task):
        """See `labelled_folder_task`."""

        facts = TaskFacts(
            title=f"{'Regression' if labels.kind == 'regression' else 'Classification'} of {name}",
            kind=labels.kind,
            metric=KINDS[labels.kind].metric,
            classes=labels.names,
            modality="CT" if set(preprocessing.intensities) == {"ct"} else "MR",
            region="unknown",
        )
        dataset = LabelledFolder(
            title=name,
            licence="see the data set",
            access="a folder of the user's",
            preprocessing=preprocessing,
            split_counts=PROPORTIONS,
            kind=kind,
        )

    return Labelled


def _labels(table: Path | Problem, kind: str) -> TableLabels:
    """How the labels of a `table` are read; without one as 0 and 1, and `_find` says what is wrong."""
    if isinstance(table, Problem):
        return read_labels((), (), (), kind)
    rows, _ = read_table(table, _columns(table))
    labels, targets = ([row.cells.get(name, "") for row in rows] for name in (CLASSES, NUMBERS))
    return read_labels(table_header(table), labels, targets, kind)


def _find(folder: Path, kind: str) -> Found:
    table = _table(folder)
    if isinstance(table, Problem):
        return Found([], [table])
    columns, labels = _columns(table), _labels(table, kind)
    rows, problems = read_table(table, (*columns, labels.column))
    if labels.problem:
        return Found([], [*problems, Problem(table, labels.problem)])
    try:
        column = patient_column(rows[0].cells if rows else ())
    except ValueError as error:
        return Found([], [*problems, Problem(table, str(error))])
    scans, unusable = named_channels(table, rows, columns, folder)
    problems += unusable
    # The first channel that is there names the case.
    shown = [next(filter(None, files)) for _, files in scans]
    cases: list[SourceCase] = []
    for (row, files), scan, identifier in zip(scans, shown, scan_identifiers(shown, folder), strict=True):
        text = row.cells[labels.column]
        label, patient = labels.value(text), row.cells[column] if column else identifier
        if label is None:
            said = f"{text!r}, {labels.expected}" if text else "empty, or says that nothing is known"
            reason = f"{labels.column} is {said}; correct it or remove the row"
            problems.append(Problem(table, f"line {row.line}: {reason}"))
        elif not patient:
            problems.append(Problem(table, f"line {row.line}: {column} is empty; name who was scanned"))
        else:
            drawn_as = "" if column == "patient" else identifier
            known = SourceCase(identifier, scan, label, patient, patient_is_known=bool(column), drawn_as=drawn_as)
            cases.append(replace(known, channels=files if len(files) > 1 else ()))
    return Found(in_order(cases), problems)


def _columns(table: Path) -> tuple[str, ...]:
    """The columns that name the files of a scan, one a channel."""
    return tuple(_channels(table)) or ("image",)


def _channels(table: Path | Problem) -> dict[str, str]:
    """The channels that a `table` names, by their columns; none where it has one, or cannot be read."""
    return {} if isinstance(table, Problem) else column_channels(table_header(table), "image")


def _table(folder: Path) -> Path | Problem:
    """The CSV of labels, or why there is none."""
    try:
        tables = [file for file in folder.iterdir() if file.suffix.lower() == ".csv" and not file.name.startswith(".")]
    except OSError as error:
        return Problem(folder, f"cannot be listed ({error.strerror}); allow it to be read")
    tables.sort(key=lambda file: natural_key(file.name))
    preferred = [file for file in tables if file.name.lower() == PREFERRED]
    if len(tables) == 1 or preferred:
        return (preferred or tables)[0]
    if tables:
        listed = ", ".join(file.name for file in tables)
        return Problem(folder, f"holds several CSV files ({listed}); call the one with the labels {PREFERRED}")
    return Problem(folder, f"holds no CSV file; add {PREFERRED} with the columns image,label and, if known, patient")
