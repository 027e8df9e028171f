"""Records against each other: what rests on what, what is a copy, and what the manifest says is there."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from ssl_bench.planning.reproduction import cell_of
from ssl_bench.spec.record import AnyRecord, EvaluationRecord, PretrainingRecord
from ssl_bench.spec.specification import PretrainingSpec
from ssl_bench.submission.finding import Finding, at, refused, unvouched
from ssl_bench.submission.manifest import Summary, run_of

TELLING = ("dsc", "dsc_per_class", "probability", "probabilities", "prediction", "error_mm", "average_precision")
TELLING_NUMBERS = 9
"""So many different scores of a record, none of them 0 or 1, are not those of another network by chance."""


def duplicate_findings(records: Mapping[str, AnyRecord]) -> Iterator[Finding]:
    """Records that are there twice under one key."""
    first: dict[str, str] = {}
    for path, record in records.items():
        if (other := first.setdefault(record.key, path)) != path:
            yield from at(path, [refused(f"is the cell {record.key} a second time, after {other}")])


def ground_findings(
    pretrainings: Mapping[str, PretrainingRecord], evaluations: Mapping[str, EvaluationRecord]
) -> Iterator[Finding]:
    """Whether each evaluation's pre-training is there, and each pre-training what its specification says."""
    by_key = {record.key: record for record in pretrainings.values()}
    for path, record in evaluations.items():
        needed = cell_of(record).pretraining
        if needed is None:
            continue
        below = by_key.get(needed.key)
        if below is None:
            yield from at(path, [refused(f"rests on the pre-training {needed.key}, whose record is not here")])
        elif record.spec.snapshot is None and record.volumes_seen_in_pretraining != below.volumes_seen:
            said = f"{record.volumes_seen_in_pretraining} volumes were seen in pre-training"
            yield from at(path, [refused(f"says that {said}, and {below.key} saw {below.volumes_seen}")])
    for path, below in pretrainings.items():
        spec = below.spec
        if below.volumes_seen != spec.steps * spec.batch:
            yield from at(path, [refused(f"saw {below.volumes_seen} volumes in {spec.steps} steps of {spec.batch}")])
        if len(below.loss_curve) != spec.steps:
            yield from at(path, [refused(f"has {len(below.loss_curve)} losses of {spec.steps} steps")])


def copy_findings(
    pretrainings: Mapping[str, PretrainingRecord], evaluations: Mapping[str, EvaluationRecord]
) -> Iterator[Finding]:
    """Weights, or scores to the last bit, of one network under the name or the seed of another."""
    weights: dict[str, tuple[str, PretrainingSpec]] = {}
    for path, below in pretrainings.items():
        if below.backbone_sha256:
            other, spec = weights.setdefault(below.backbone_sha256, (path, below.spec))
            if (spec.method, spec.seed) != (below.spec.method, below.spec.seed):
                yield from at(path, [refused(f"has the weights of {other}, a copy under another name or seed")])
    scores: dict[tuple[str, str], tuple[str, EvaluationRecord]] = {}
    for path, record in evaluations.items():
        if (digest := _telling(record)) and not record.spec.control and not record.spec.reset:
            other, found = scores.setdefault((record.spec.task, digest), (path, record))
            if _is_another_network(record, found):
                yield from at(path, [refused(f"has the scores of {other} in every bit, a copy of another network's")])


def _is_another_network(record: EvaluationRecord, other: EvaluationRecord) -> bool:
    one, two = record.spec.backbone, other.spec.backbone
    return record.spec.seed != other.spec.seed or (one.method != two.method and max(one.steps, two.steps) > 0)


def _telling(record: EvaluationRecord) -> str:
    """A digest of the record's scores of cases; empty where they are few, or what nothing learned scores too."""
    said = [{name: row[name] for name in TELLING if name in row} for row in record.cases]
    numbers = {number for row in said for value in row.values() for number in _numbers(value)} - {0.0, 1.0}
    if len(numbers) < TELLING_NUMBERS:
        return ""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _numbers(value: Any) -> Iterator[float]:
    for number in value.values() if isinstance(value, dict) else [value]:
        if isinstance(number, int | float):
            yield float(number)


def summary_findings(claimed: Summary, found: Summary) -> Iterator[Finding]:
    """What the manifest says of the records, and they do not."""
    held = {claim.group: claim for claim in found.claims}
    for claim in claimed.claims:
        runs = held.pop(claim.group).runs if claim.group in held else ()
        for missing in sorted(set(claim.runs) - set(runs)):
            yield refused(f"the manifest claims {claim.title}, {_text(missing)}, whose record is not here")
        for more in sorted(set(runs) - set(claim.runs)):
            yield refused(f"the manifest does not claim {claim.title}, {_text(more)}, whose record is here")
    for claim in held.values():
        yield refused(f"the manifest does not claim {claim.title}, whose records are here")
    for name in ("machines", "commits", "versions"):
        if getattr(claimed, name) != getattr(found, name):
            yield refused(f"the manifest names other {name} than the records")


def uneven_findings(evaluations: Mapping[str, EvaluationRecord]) -> Iterator[Finding]:
    """Columns whose rows have different seeds and folds."""
    columns: dict[tuple[str, ...], dict[str, set[tuple[int, int]]]] = defaultdict(lambda: defaultdict(set))
    for record in evaluations.values():
        spec = record.spec
        if spec.scored_on == "test" and spec.snapshot is None:
            folds = record.cross_validation.digest if record.cross_validation else spec.data.split
            column = (record.setting.digest, spec.task, spec.data.fingerprint, folds, spec.protocol)
            columns[column][spec.row].add(run_of(spec))
    for (_, task, _, _, protocol), rows in columns.items():
        if len({frozenset(runs) for runs in rows.values()}) > 1:
            yield unvouched(f"why rows of {task} {protocol} have different seeds or folds")


def _text(run: tuple[int, int]) -> str:
    return f"seed {run[0]}" + (f" fold {run[1]}" if run[1] else "")
