"""Prepared cases in the user's cache folder: made once, by several processes, and read in windows ever after."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ssl_bench.api.cases import Case, Problem, SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.preprocessing.arrays import CaseReport, prepare_case
from ssl_bench.data.preprocessing.case_folder import (
    PreparedCase,
    find_case,
    prepared_root,
    remove_abandoned,
    write_case,
)
from ssl_bench.data.preprocessing.digests import known_digest, source_digest
from ssl_bench.data.preprocessing.label_maps import LabelMapError, judged, remember
from ssl_bench.data.preprocessing.labels import LabelRule, nothing_to_learn
from ssl_bench.data.preprocessing.lungs import chosen
from ssl_bench.data.preprocessing.parallel import over_cases
from ssl_bench.errors import UserError
from ssl_bench.spec.locations import ImageStore

PREPARATION_VERSION = 3
"""Raised whenever prepared arrays may change."""
EARLIER_VERSION = 2
"""Its arrays were float32, of four bytes a voxel; they are made again and removed."""
_ATTEMPTS = 5
"""Who clears away a damaged case may take a whole one with it that another process has just put in its place."""


def prepare(
    cases: Sequence[SourceCase],
    preprocessing: Preprocessing,
    rule: LabelRule | None,
    workers: int,
    on_progress: Callable[[str], None],
    store: ImageStore | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[list[PreparedCase], list[Problem]]:
    """The cases with their arrays, in order, prepared unless the cache has them; and the problems of the others.

    Without a `rule` label files are left alone; with one it is a problem too if no case has a class, and so are label
    maps among scans. `on_progress` gets the identifier of each case that ended. It may be interrupted and repeated at
    any time: there are only whole cases.

    `store` is how images shall lie on disk, which changes no bit that is read; None leaves those that are there as they
    are, and keeps new ones plain. `say` gets a line about what an earlier version had prepared.
    """
    if preprocessing.region == "lungs":
        # What `auto` finds depends on the machine, and the arrays depend on it.
        preprocessing = preprocessing.model_copy(update={"lungs": chosen(preprocessing.lungs)})
    remove_abandoned()
    ready: dict[str, PreparedCase] = {}
    label_maps: list[Problem] = []
    missing: list[SourceCase] = []
    for case in cases:
        sources = _sources(case, rule, known_digest)
        try:
            kept = _kept(case, sources, _folder(sources, preprocessing, rule)) if sources else None
        except LabelMapError as error:
            label_maps.append(Problem(case.image, str(error), is_label_map=True))
        else:
            if kept is None:
                missing.append(case)
                continue
            _put_into(kept, store)
            ready[case.identifier] = kept
        on_progress(case.identifier)
    if earlier := sum(_is_earlier(case, preprocessing, rule) for case in missing):
        say(
            f"prepared by an earlier version, in four bytes a voxel: cases: {earlier}; they are prepared again, and "
            "the old arrays removed"
        )
    work = partial(_prepare_one, preprocessing=preprocessing, rule=rule, store=store)
    made, problems = over_cases(work, missing, workers, on_progress)
    ready |= {prepared.identifier: prepared for prepared in made}
    found = [ready[case.identifier] for case in cases if case.identifier in ready]
    problems += nothing_to_learn(cases, rule, [case.has_class for case in found])
    return found, [*label_maps, *problems]


def _kept(case: SourceCase, sources: dict[str, str], folder: Path) -> PreparedCase | None:
    """The case, if the cache has it and knows it for a scan. Raises LabelMapError if it knows it for a label map."""
    reason = judged(sources["image"]) if case.may_be_label_map else ""
    if reason:
        raise LabelMapError(reason)
    return None if reason is None else find_case(folder, case.identifier)


def _put_into(kept: PreparedCase, store: ImageStore | None) -> None:
    if store is not None and not kept.lies_in(store):
        kept.move_to(store)


def _is_earlier(case: SourceCase, preprocessing: Preprocessing, rule: LabelRule | None) -> bool:
    sources = _sources(case, rule, known_digest)
    return sources is not None and _folder(sources, preprocessing, rule, EARLIER_VERSION).exists()


def _prepare_one(
    case: SourceCase, preprocessing: Preprocessing, rule: LabelRule | None, store: ImageStore | None
) -> PreparedCase:
    sources = _sources(case, rule, source_digest)
    assert sources is not None
    folder = _folder(sources, preprocessing, rule)
    if found := _kept(case, sources, folder):
        _put_into(found, store)
        return found
    arrays, report = _prepare_scan(case, preprocessing, rule, sources["image"])
    for _ in range(_ATTEMPTS):
        write_case(
            folder, arrays, report.signatures, sources, report.notes, report.doubts, report.steps, store or "plain"
        )
        if found := find_case(folder, case.identifier):
            # Nothing finds them again: whoever has them mapped keeps what he has.
            shutil.rmtree(_folder(sources, preprocessing, rule, EARLIER_VERSION), ignore_errors=True)
            return found
    raise UserError(f"{folder}: changed while it was written; run the same command again")


def _prepare_scan(
    case: SourceCase, preprocessing: Preprocessing, rule: LabelRule | None, digest: str
) -> tuple[Case, CaseReport]:
    """See `prepare_case`; whether it is a label map is remembered by the digest of its file."""
    try:
        made = prepare_case(case, preprocessing, rule)
    except LabelMapError as error:
        remember(digest, str(error))
        raise
    if case.may_be_label_map:
        remember(digest, "")
    return made


def _sources(case: SourceCase, rule: LabelRule | None, digest: Callable[[Path], str | None]) -> dict[str, str] | None:
    """What a case's arrays are made from; None unless `digest` knows all of it."""
    image = digest(case.image)
    if isinstance(case.label, int):
        label: str | None = f"class {case.label}"
    elif isinstance(case.label, float):
        label = f"number {case.label!r}"
    else:
        label = "unread" if rule is None else digest(case.label)
    others = {f"channel {index}": path and digest(path) for index, path in enumerate(case.channels)}
    if not (image and label) or any(path and not others[f"channel {i}"] for i, path in enumerate(case.channels)):
        return None
    return {"image": image, "label": label} | {name: found or "missing" for name, found in others.items()}


def _folder(
    sources: dict[str, str], preprocessing: Preprocessing, rule: LabelRule | None, version: int | None = None
) -> Path:
    parts = [
        version or PREPARATION_VERSION,
        sources,
        preprocessing.model_dump(mode="json"),
        rule.model_dump(mode="json") if rule else None,
    ]
    return prepared_root() / hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
