"""A classification task from a folder of scans and a CSV with their labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ssl_bench.api.cases import Found, Problem, SourceCase
from ssl_bench.api.dataset import Dataset
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.task import Task, TaskFacts
from ssl_bench.data.io.formats import natural_key
from ssl_bench.data.layouts.channel_names import column_channels, intensities_of
from ssl_bench.data.layouts.folders import PROPORTIONS, data_set_name, existing_folder, in_order
from ssl_bench.data.layouts.identifiers import scan_identifiers
from ssl_bench.data.layouts.tables import binary_label, named_channels, patient_column, read_table, table_header

PREFERRED = "labels.csv"


class LabelledFolder(Dataset):
    """A folder of scans and a CSV that labels them; scans that it does not name are left alone."""

    def find(self, root: Path) -> Found:
        """See `Dataset`; a case whose cell of a channel is empty is found without it."""
        return _find(existing_folder(root))


def labelled_folder_task(folder: Path) -> type[Task]:
    """A binary classification task: CT unless the preprocessing's options say otherwise, scored by AUC.

    The folder holds one CSV, or several of which one is ``labels.csv``, with the columns ``image`` (a file or DICOM
    folder, relative to the folder), ``label`` (0 or 1) and optionally ``patient``, see `patient_column`. Several
    channels have columns ``image_T1``, ``image_FLAIR``, ... in place of ``image``, and each is normalised as its name
    says. Raises UserError if there is no such folder.
    """
    name = data_set_name(folder)
    channels = tuple(_channels(folder).values())
    preprocessing = Preprocessing(
        intensity=intensities_of(channels) if channels else "ct", region="whole", channels=channels
    )

    class Labelled(Task):
        """See `labelled_folder_task`."""

        facts = TaskFacts(
            title=f"Classification of {name}",
            kind="classification",
            metric="AUC",
            classes=("positive",),
            modality="CT" if set(preprocessing.intensities) == {"ct"} else "MR",
            region="unknown",
        )
        dataset = LabelledFolder(
            title=name,
            licence="see the data set",
            access="a folder of the user's",
            preprocessing=preprocessing,
            split_counts=PROPORTIONS,
        )

    return Labelled


def _find(folder: Path) -> Found:
    table = _table(folder)
    if isinstance(table, Problem):
        return Found([], [table])
    columns = tuple(_channels(folder)) or ("image",)
    rows, problems = read_table(table, (*columns, "label"))
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
        label, patient = binary_label(row.cells["label"]), row.cells[column] if column else identifier
        if label is None:
            reason = f"label is {row.cells['label']!r}, neither 0 nor 1; correct it or remove the row"
            problems.append(Problem(table, f"line {row.line}: {reason}"))
        elif not patient:
            problems.append(Problem(table, f"line {row.line}: {column} is empty; name who was scanned"))
        else:
            drawn_as = "" if column == "patient" else identifier
            known = SourceCase(identifier, scan, label, patient, patient_is_known=bool(column), drawn_as=drawn_as)
            cases.append(replace(known, channels=files if len(files) > 1 else ()))
    return Found(in_order(cases), problems)


def _channels(folder: Path) -> dict[str, str]:
    """The channels that the table names, by their columns; none where it has one, or cannot be read."""
    table = _table(folder)
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
