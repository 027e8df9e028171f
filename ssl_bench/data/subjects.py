"""Who was scanned: what a pattern or a table of the user's says, or names in a known layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssl_bench.api.cases import Found, SourceCase
from ssl_bench.data.layouts.identifiers import without_suffix
from ssl_bench.data.layouts.tables import patient_column, read_table
from ssl_bench.errors import UserError

_PATIENTS = (
    r"sub-[A-Z0-9]*\d[A-Z0-9]*",  # BIDS
    r"(patient|subject|participant|person|subj|pat|pid|sub)[-_ ]?\d+",  # ACDC's patient001_frame01, and many others
    r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}",
    r"(LIDC-IDRI|ProstateX|UPENN-GBM|UCSF-PDGM)-\d+",
    r"BraTS-[A-Z]+-\d+",  # BraTS 2023: BraTS-GLI-00005-001 is a second time
    r"OAS\d_?\d{4,}",  # OASIS: OAS1_0001_MR1, OAS30001_MR_d0129
    r"\d{3}_S_\d{4,}",  # ADNI
    r"IXI\d{3}",
    r"(?<![^/])P\d{2,}",
)
"""How known layouts name a patient, wherever in a path, in any case."""
_TIME = (
    r"(ed|es|bl|pre|post|base(line)?|follow-?up\d*|fu\d*|left|right|lh|rh|[lr]|insp(iration)?|exp(iration)?|inhale|"
    r"exhale|(frame|phase|visit|session|ses|tp|time-?(point)?|year|month|week|day)[-_]?\d+|(scan|run|rep|v|t)\d\d?)"
)
_SAME_PATIENT = re.compile(rf"(?P<patient>.+?)([-_./]+{_TIME})+(_\d{{4}})?", re.IGNORECASE)
"""A number and then a time, a phase or a side, and perhaps nnU-Net's channel: ``heart_001_ed``."""


def named_patient(name: str) -> str | None:
    """The patient in a scan's path without its suffix, by the names of known layouts; None where they say nothing."""
    for pattern in _PATIENTS:
        if match := re.search(rf"(?<![A-Za-z0-9])(?:{pattern})(?!\d)", name, re.IGNORECASE):
            return match[0]
    match = _SAME_PATIENT.fullmatch(name)
    return match["patient"] if match and re.search(r"\d", match["patient"]) else None


def with_subjects(found: Found, root: Path, subjects: str = "") -> Found:
    """`found` in the folder `root` with the patients that `subjects` says, or names where nothing else says it.

    `subjects` is a regular expression, searched in a case's identifier and then in its path below `root`, whose first
    group or else whole match is the patient; or a CSV with the columns ``case`` and ``subject``. Patients of one
    `spelling` are one, under the first of their names. Raises UserError for a `subjects` that does not read, or that
    does not say a patient for every case.
    """
    said = _reader(subjects) if subjects else None
    cases = []
    first: dict[str, str] = {}
    for case in found.cases:
        if said:
            patient = said(case, path_below(case, root))
            if not patient:
                raise UserError(f"--subjects {subjects}: says no patient for case {case.identifier!r}; add it")
        else:
            names = () if case.patient_is_known else (case.patient, path_below(case, root))
            patient = next(filter(None, map(named_patient, names)), None)
        known = _of(case, patient) if patient else case
        if known.patient_is_known:
            known = replace(known, patient=first.setdefault(spelling(known.patient), known.patient))
        cases.append(known)
    return found._replace(cases=cases)


def spelling(patient: str) -> str:
    """What the spellings of one name have in common: ``p1`` of P001, p-01 and P_1, ``7`` of 007 and 7.0.

    Capitals, separators between a letter and a digit, leading zeros and the fraction that pandas gives to whole numbers
    do not count. Two people who are taken for one only stay together in a split; one who is taken for two leaks.
    """
    text = re.sub(r"[\s_-]+", "-", re.sub(r"^(\d+)\.0$", r"\1", patient.casefold()))
    return re.sub(r"(?<![\d.])0+(?=\d)", "", re.sub(r"(?<=[^\W\d])-(?=\d)", "", text))


def scans_of(
    patients: Collection[str], scans: Sequence[SourceCase], root: Path, beside: bool, subjects: str = ""
) -> list[tuple[SourceCase, str]]:
    """The scans in a corpus' folder `root` that are of one of these patients, each with the patient.

    What `subjects` says counts first, see `with_subjects`; then the corpus' own table, both in any `spelling`; then a
    known layout's name, and folders and files that are called as the patient, or begin so. A name of digits alone,
    which anybody may have, counts only `beside` the patients: in the same data set.
    """
    said = _reader(subjects) if subjects else None
    spelt = {spelling(patient): patient for patient in patients}
    telling = {patient for patient in patients if beside or (re.search(r"\d", patient) and re.search(r"\D", patient))}
    found = []
    for scan in scans:
        below = path_below(scan, root)
        known = spelt.get(spelling(scan.patient)) if scan.patient_is_known else named_patient(below)
        candidates = [*_beginnings(root.name), *(name for part in below.split("/") for name in _beginnings(part))]
        patient = spelt.get(spelling(said(scan, below) or "")) if said else None
        if patient is None:
            patient = known if known in telling else next((name for name in candidates if name in telling), None)
        if patient is not None:
            found.append((scan, patient))
    return found


def with_first_scans(rows: Sequence[dict[str, Any]], patients: Mapping[str, str]) -> list[dict[str, Any]]:
    """The `rows` of test cases, by ``case``; where several are of one patient, ``subject`` is the first of them.

    `patients` are known by cases. A record tells thus whose scans belong together, and never who was scanned.
    """
    scans: dict[str, list[str]] = {}
    for row in rows:
        if (patient := patients.get(row["case"])) is not None:
            scans.setdefault(patient, []).append(row["case"])
    first = {case: same[0] for same in scans.values() if len(same) > 1 for case in same}
    return [row | ({"subject": first[row["case"]]} if row["case"] in first else {}) for row in rows]


def path_below(case: SourceCase, root: Path) -> str:
    """The path of a case's scan below `root`, without its suffix."""
    path = case.image.relative_to(root) if case.image.is_relative_to(root) else Path(case.image.name)
    return without_suffix(path.as_posix())


def _beginnings(name: str) -> list[str]:
    """`name`, and what stands before each of its separators: ``a``, ``a_b`` and ``a_b-c`` for ``a_b-c``."""
    return [name[: match.start()] for match in re.finditer(r"[^A-Za-z0-9]", name) if match.start()] + [name]


def _of(case: SourceCase, patient: str) -> SourceCase:
    return replace(case, patient=patient, patient_is_known=True, drawn_as=case.drawn_as or case.patient)


def _reader(subjects: str) -> Callable[[SourceCase, str], str | None]:
    """What says the patient of a case with a path; None where it does not."""
    if Path(subjects).suffix.lower() == ".csv":
        return _table(Path(subjects))
    try:
        pattern = re.compile(subjects)
    except re.error as error:
        raise UserError(
            f"--subjects {subjects}: is no regular expression ({error}), nor the name of a CSV; write for example "
            r"'patient\d+'"
        ) from error

    def matched(case: SourceCase, below: str) -> str | None:
        match = pattern.search(case.identifier) or pattern.search(below)
        return (match[1] if pattern.groups else match[0]) if match else None

    return matched


def _table(path: Path) -> Callable[[SourceCase, str], str | None]:
    rows, problems = read_table(path, ("case",))
    try:
        column = patient_column(rows[0].cells if rows else ())
    except ValueError as error:
        raise UserError(f"--subjects {path}: {error}") from error
    if problems or column is None:
        reason = problems[0].reason if problems else "has no column subject; name who was scanned in it"
        raise UserError(f"--subjects {path}: {reason}")
    patients: dict[str, str] = {}
    for row in rows:
        name, patient = without_suffix(row.cells["case"]), row.cells[column]
        if not patient or patients.setdefault(name, patient) != patient:
            reason = f"{name} is {patients[name]!r} already; keep one" if patient else f"{column} is empty; fill it in"
            raise UserError(f"--subjects {path}: line {row.line}: {reason}")

    def looked_up(case: SourceCase, below: str) -> str | None:
        names = (case.identifier, case.drawn_as, case.patient, below, below.rpartition("/")[2])
        return next((patients[name] for name in names if name in patients), None)

    return looked_up
