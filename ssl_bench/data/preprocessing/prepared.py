"""Prepared cases in the user's cache folder: made once, by several processes, and memory-mapped ever after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ssl_bench.api.cases import Problem, SourceCase
from ssl_bench.api.recipe import Recipe
from ssl_bench.api.task import Case
from ssl_bench.data.preprocessing.arrays import prepare_case
from ssl_bench.data.preprocessing.case_folder import map_arrays, read_folder, remove_abandoned, write_folder
from ssl_bench.data.preprocessing.digests import known_digest, source_digest
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.lungs import chosen
from ssl_bench.data.preprocessing.parallel import over_cases
from ssl_bench.data.preprocessing.signature import Signature
from ssl_bench.errors import UserError
from ssl_bench.files import cache_root

PREPARATION_VERSION = 1
"""Raised whenever prepared arrays may change."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A case whose arrays lie ready."""

    case: SourceCase
    folder: Path
    shape: tuple[int, int, int]
    """(D, H, W) of the prepared image."""
    spacing_mm: tuple[float, float, float]
    """(D, H, W)."""
    label: int | None
    """The class of the whole volume; None where each voxel has one."""
    notes: tuple[str, ...]
    """What a user should know about this case, one line each."""
    signature: Signature
    """Of the scan before anything was cropped or resampled."""

    @property
    def digest(self) -> str:
        """Of what the files hold and how they were prepared."""
        return self.folder.name


def prepare(
    cases: Sequence[SourceCase],
    recipe: Recipe,
    rule: LabelRule | None,
    workers: int,
    on_progress: Callable[[str], None],
) -> tuple[list[Prepared], list[Problem]]:
    """The cases with their arrays, in order, prepared unless the cache has them; and the problems of the others.

    Without a `rule` label files are left alone. `on_progress` gets the identifier of each case that ended. It may be
    interrupted and repeated at any time: there are only whole cases.
    """
    if recipe.region == "lungs":
        # What `auto` finds depends on the machine, and the arrays depend on it.
        recipe = recipe.model_copy(update={"lungs": chosen(recipe.lungs)})
    remove_abandoned(_root())
    ready: dict[str, Prepared] = {}
    for case in cases:
        sources = _sources(case, rule, known_digest)
        found = _found(case, _folder(sources, recipe, rule)) if sources else None
        if found:
            ready[case.identifier] = found
            on_progress(case.identifier)
    missing = [case for case in cases if case.identifier not in ready]
    made, problems = over_cases(partial(_prepare_one, recipe=recipe, rule=rule), missing, workers, on_progress)
    ready |= {prepared.case.identifier: prepared for prepared in made}
    return [ready[case.identifier] for case in cases if case.identifier in ready], problems


def load(prepared: Prepared) -> Case:
    """The memory-mapped arrays. Raises UserError if they were damaged since `prepare`."""
    try:
        image, label = map_arrays(prepared.folder, prepared.label)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{prepared.folder}: damaged; run the same command again, which prepares it anew") from error
    return Case(prepared.case.identifier, image, label, prepared.spacing_mm)


def _prepare_one(case: SourceCase, recipe: Recipe, rule: LabelRule | None) -> Prepared:
    sources = _sources(case, rule, source_digest)
    assert sources is not None
    folder = _folder(sources, recipe, rule)
    found = _found(case, folder)
    if found is None:
        write_folder(folder, case.identifier, prepare_case(case, recipe, rule), sources)
        found = _found(case, folder)
    if found is None:
        raise UserError(f"{folder}: changed while it was written; run the same command again")
    return found


def _found(case: SourceCase, folder: Path) -> Prepared | None:
    file = read_folder(folder)
    if file is None:
        return None
    outline = Signature.from_json(file.signature)
    return Prepared(case, folder, file.shape, file.spacing_mm, file.label, file.notes, outline)


def _sources(case: SourceCase, rule: LabelRule | None, digest: Callable[[Path], str | None]) -> dict[str, str] | None:
    """What a case's arrays are made from; None unless `digest` knows all of it."""
    image = digest(case.image)
    if isinstance(case.label, int):
        label: str | None = f"class {case.label}"
    else:
        label = "unread" if rule is None else digest(case.label)
    return {"image": image, "label": label} if image and label else None


def _folder(sources: dict[str, str], recipe: Recipe, rule: LabelRule | None) -> Path:
    parts = [
        PREPARATION_VERSION,
        sources,
        recipe.model_dump(mode="json"),
        rule.model_dump(mode="json") if rule else None,
    ]
    return _root() / hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _root() -> Path:
    return cache_root() / "prepared"
