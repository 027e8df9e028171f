"""A bundle looked at: what is refused, and what nobody can vouch for from records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from ssl_bench.errors import UserError
from ssl_bench.spec.record import AnyRecord, EvaluationRecord
from ssl_bench.submission.documents import UnreadableError, document_findings, parsed, strict_json
from ssl_bench.submission.finding import Finding, at, printable, refused
from ssl_bench.submission.manifest import FORMAT, Manifest, sha256, summarise
from ssl_bench.submission.reading import MANIFEST, Files, read_files
from ssl_bench.submission.scores import score_findings
from ssl_bench.submission.siblings import (
    copy_findings,
    duplicate_findings,
    ground_findings,
    summary_findings,
    uneven_findings,
)
from ssl_bench.submission.specifications import specification_findings
from ssl_bench.submission.splits import case_findings, split_findings

NEVER_VOUCHED = (
    "the trainings: that these networks were trained as said and predicted what the cases say. Whoever makes up scores "
    "of cases and computes everything else from them cannot be told apart, unless another machine runs the cells again",
    "choices: that no seed, fold or row was made and left out, and that nothing was chosen by test scores",
    "time, memory, processors, commits and curves, which are as the records say",
)
"""Of any bundle."""


class Verdict(NamedTuple):
    """What was found in a bundle."""

    place: str
    manifest: Manifest
    records: dict[str, AnyRecord]
    """Those that read, by their paths."""
    refusals: list[str]
    """What is wrong, one line each."""
    unvouched: list[str]
    """What is not recomputed, one line each, with how many records it is about."""

    @property
    def evaluations(self) -> dict[str, EvaluationRecord]:
        """Those that read, by their paths."""
        return {path: record for path, record in self.records.items() if record.kind == "evaluation"}


def verify(path: Path) -> Verdict:
    """Recompute what the records at `path`, a bundle, let recompute. Raises UserError for what is no bundle."""
    files = read_files(path)
    manifest = _manifest(path, files)
    records, findings = _read(files, manifest)
    findings += _of_records(records)
    findings += summary_findings(manifest.summary, summarise(records.values()))
    refusals = list(dict.fromkeys(_line(found) for found in findings if found.kind == "refused"))
    doubts = Counter(found.reason for found in findings if found.kind == "unvouched")
    counted = [f"{reason} ({_records(count)})" for reason, count in sorted(doubts.items())]
    return Verdict(str(path), manifest, records, refusals, [*NEVER_VOUCHED, *counted])


def _manifest(path: Path, files: Files) -> Manifest:
    try:
        document = strict_json(files.manifest)
        if document.get("format") != FORMAT:
            raise UserError(f"{path}: its format is {printable(str(document.get('format')))!r}, and this version reads "
                            f"{FORMAT!r}; update ssl-bench, or make the bundle again")  # fmt: skip
        return Manifest.model_validate_json(files.manifest)
    except (ValidationError, UnreadableError) as error:
        said = printable(str(error).splitlines()[0])
        raise UserError(f"{path}: {MANIFEST} does not read ({said}); make the bundle again") from error


def _read(files: Files, manifest: Manifest) -> tuple[dict[str, AnyRecord], list[Finding]]:
    """The records that read, and what is wrong with the files."""
    records: dict[str, AnyRecord] = {}
    findings: list[Finding] = []
    for name in files.others:
        findings += at(printable(name), [refused("is no record: a bundle has no images, no weights, nothing else")])
    for name in files.twice:
        findings += at(printable(name), [refused("is in the archive twice")])
    for name in sorted(manifest.records.keys() - files.records.keys()):
        findings += at(printable(name), [refused("is in the manifest and not in the bundle")])
    for name, content in files.records.items():
        if name not in manifest.records:
            findings += at(name, [refused("is not in the manifest")])
        elif manifest.records[name] != sha256(content):
            findings += at(name, [refused("is not the file that the manifest names: its digest is another")])
        try:
            records[name] = parsed(name, content)
        except UnreadableError as error:
            findings += at(name, [refused(str(error))])
    return records, findings


def _of_records(records: Mapping[str, AnyRecord]) -> Iterator[Finding]:
    """Each record by itself, then all against each other; what is no document of a record is looked at no further."""
    sound: dict[str, AnyRecord] = {}
    for path, record in records.items():
        wrong = list(_guarded(path, document_findings(path, record)))
        yield from wrong
        if not wrong:
            sound[path] = record
    yield from duplicate_findings(records)
    for path, record in sound.items():
        yield from _guarded(path, specification_findings(record))
        if record.kind == "evaluation":
            yield from _guarded(path, score_findings(record))
            yield from _guarded(path, case_findings(record))
    evaluations = {path: record for path, record in sound.items() if record.kind == "evaluation"}
    pretrainings = {path: record for path, record in sound.items() if record.kind == "pretraining"}
    yield from _guarded("", split_findings(evaluations))
    yield from _guarded("", ground_findings(pretrainings, evaluations))
    yield from _guarded("", copy_findings(pretrainings, evaluations))
    yield from _guarded("", uneven_findings(evaluations))


def _guarded(path: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """`findings`, those of a record at `path`; what a check stumbles over is no record of this program."""
    try:
        for found in findings:
            yield found._replace(place=found.place or path)
    except (UserError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        yield from at(path, [refused(f"is not what a record is ({type(error).__name__}: {error})")])


def _line(found: Finding) -> str:
    return f"{found.place}: {found.reason}" if found.place else found.reason


def _records(count: int) -> str:
    return f"{count} record{'s' if count > 1 else ''}"
