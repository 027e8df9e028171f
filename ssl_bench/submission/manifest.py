"""The manifest of a bundle: what it says that it holds, so that what is missing or changed shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from pydantic import Field

from ssl_bench.api.settings import Settings
from ssl_bench.spec.record import AnyRecord, EvaluationRecord
from ssl_bench.spec.specification import EvaluationSpec

FORMAT = "ssl-bench bundle 1"


class Claim(Settings):
    """One row in one column of a table, and the runs that it says it has."""

    title: str
    """In words."""
    group: str
    """A digest of what its runs share: the setting, and the specification without seeds and folds."""
    runs: tuple[tuple[int, int], ...]
    """Seed and fold of each, ascending."""


class Summary(Settings):
    """What follows from the records."""

    claims: tuple[Claim, ...]
    machines: tuple[str, ...]
    """Device, processor and platform, as the records name them."""
    commits: tuple[str, ...]
    versions: tuple[str, ...]
    """Of ssl-bench and the libraries, ``NAME VERSION``."""


class Manifest(Settings):
    """What ``manifest.json`` holds."""

    format: str
    """`FORMAT`."""
    ssl_bench: str = Field(max_length=100)
    """The version that wrote the bundle."""
    by: str = Field(default="", max_length=200)
    """Who answers for it, in the submitter's words; empty where nobody is named."""
    licence: str = Field(default="", max_length=200)
    """Of the records, in the submitter's words; empty where none is stated."""
    records: dict[str, str]
    """SHA-256 of every record, by its path in the bundle."""
    summary: Summary


def sha256(content: bytes) -> str:
    """The digest of a record's file."""
    return hashlib.sha256(content).hexdigest()


def summarise(records: Iterable[AnyRecord]) -> Summary:
    """What the manifest of a bundle of `records` says of them."""
    titles: dict[str, str] = {}
    runs: dict[str, list[tuple[int, int]]] = {}
    machines, commits, versions = set(), set(), set()
    for record in records:
        if record.kind == "evaluation":
            group = group_of(record)
            titles[group] = title_of(record.spec)
            runs.setdefault(group, []).append(run_of(record.spec))
        ran = record.provenance
        machines.add(machine_of(record))
        commits.add(str(ran.get("commit")))
        found = ran.get("versions")
        versions |= {f"{name} {version}" for name, version in found.items()} if isinstance(found, dict) else set()
    claims = [Claim(title=titles[group], group=group, runs=tuple(sorted(runs[group]))) for group in titles]
    return Summary(
        claims=tuple(sorted(claims, key=lambda claim: (claim.title, claim.group))),
        machines=tuple(sorted(machines)),
        commits=tuple(sorted(commits)),
        versions=tuple(sorted(versions)),
    )


def group_of(record: EvaluationRecord) -> str:
    """What the runs of one row in one column share, and no others have: all but seed, fold and the fold's cases."""
    shared = record.spec.model_dump(mode="json", exclude={"seed": True, "data": {"fold", "split", "counts"}})
    shared["backbone"].pop("seed", None)
    text = json.dumps([record.setting.digest, shared], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_of(spec: EvaluationSpec) -> tuple[int, int]:
    """Seed and fold."""
    return spec.seed, spec.data.fold or 0


def title_of(spec: EvaluationSpec) -> str:
    """The row and column in words, whatever the seed and fold."""
    options = ", ".join(f"{name}={value}" for name, value in spec.backbone.options.items())
    labels = f" @{spec.data.label_fraction:g}" if spec.data.label_fraction < 1 else ""
    step = f" at step {spec.snapshot}" if spec.snapshot else ""
    trial = ", trial" if spec.scored_on == "validation" else ""
    return f"{spec.row}{f' ({options})' if options else ''} {spec.task}{labels} {spec.protocol}{step}{trial}"


def machine_of(record: AnyRecord) -> str:
    """Where `record` was made, as far as it says so."""
    named = [str(record.provenance.get(name) or "?") for name in ("device", "processor", "platform")]
    return ", ".join(named)
