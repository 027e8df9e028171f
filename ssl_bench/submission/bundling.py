"""The records of a results folder as one zip, the same bytes from the same records."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ssl_bench import __version__
from ssl_bench.errors import UserError
from ssl_bench.spec.record import AnyRecord, EvaluationRecord, PretrainingRecord
from ssl_bench.store.store import Store
from ssl_bench.submission.documents import place_of
from ssl_bench.submission.manifest import FORMAT, Manifest, sha256, summarise
from ssl_bench.submission.reading import MANIFEST


def write_bundle(store: Store, to: Path, by: str, licence: str) -> None:
    """Write every success of `store` to the zip `to`, as its files lie there; neither weights nor examples of cases.

    Raises UserError where there is none.
    """
    found = _successes(store)
    if not found:
        raise UserError(f"--results {store.folder}: holds no record of a success; run ssl-bench matrix first")
    files = {place_of(record): content for record, content in found}
    manifest = Manifest(
        format=FORMAT,
        ssl_bench=__version__,
        by=by,
        licence=licence,
        records={name: sha256(content) for name, content in sorted(files.items())},
        summary=summarise(record for record, _ in found),
    )
    files = {MANIFEST: manifest.model_dump_json(indent=1).encode() + b"\n", **dict(sorted(files.items()))}
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(member, content)


def _successes(store: Store) -> list[tuple[AnyRecord, bytes]]:
    """Every success with the bytes of its file."""
    pretrainings = store.read("pretraining", lambda text: (PretrainingRecord.model_validate_json(text), text))
    evaluations = store.read("evaluation", lambda text: (EvaluationRecord.model_validate_json(text), text))
    return [*pretrainings, *evaluations]
