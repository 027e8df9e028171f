"""Volumes that a generator grows, kept in the cache as prepared cases."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

from ssl_bench.api.cases import Case
from ssl_bench.api.generator import Generator
from ssl_bench.api.registry import TASKS
from ssl_bench.data import synthetic
from ssl_bench.data.preprocessing.case_folder import find_case, prepared_root, remove_abandoned, write_case
from ssl_bench.data.preprocessing.signature import signature
from ssl_bench.data.source import DataSource, Spec
from ssl_bench.data.splits import nested_subset
from ssl_bench.data.synthetic.truth import Truth
from ssl_bench.errors import UserError
from ssl_bench.spec.specification import CorpusSpec, DataSpec

COHORT_SEED = 0
"""The embedded cohort is one data set: seeds of runs do not change it."""

CORPUS_VERSION = 2
"""Raised whenever the corpus' volumes may change."""

UNPLANNED = ""
"""The fingerprint of what has none yet."""


class Generated(DataSource[Spec]):
    """The embedded cohort of a task, or the embedded corpus."""

    def __init__(
        self, spec: Spec, counts: Mapping[str, int], place: str, generator: Generator, *identity: object
    ) -> None:
        """`identity` is hashed with the generator's fingerprint, unless `spec` was planned and has a digest of both."""
        self._spec: Spec = spec
        self._counts = counts
        self._generator = generator
        self._identity = identity
        self.place = place

    def describe(self) -> Spec:
        """See `DataSource`. What an anatomy holds is not read again for a planned cell whose cases are all grown."""
        found: Spec = self._spec.model_copy(update={"fingerprint": self._spec.fingerprint or self._fingerprint})
        return found

    def load(self, *parts: str) -> dict[str, list[Case]]:
        """See `DataSource`."""
        return {split: self._cases(split, self._counts[split]) for split in parts or self._counts}

    def truth(self, *parts: str) -> Truth | None:
        """See `DataSource`."""
        if not self._generator.knows_points:
            return None
        grown = {
            split: self._generator.points(split, self._counts[split], self._spec.detail, COHORT_SEED)
            for split in parts or self._counts
        }
        return Truth({f"{split}-{i:03d}": points for split, found in grown.items() for i, points in enumerate(found)})

    @cached_property
    def _fingerprint(self) -> str:
        name, version, *plugin_source = self._identity
        return _digest(name, version, self._generator.fingerprint, *plugin_source)

    def _cases(self, split: str, count: int) -> list[Case]:
        # The sources and torch's version are in the folder's name, not in a cell's key: they may change bits without
        # changing what the cohort means, and a stale cache must never be read.
        key = (self.describe().fingerprint, self._identity[0], split, count, self._spec.detail)
        source = generator_source(type(self._generator))
        folders = {name: _digest(*key, source, name, length=32) for name in (f"{split}-{i:03d}" for i in range(count))}
        found = [find_case(prepared_root() / folder, name) for name, folder in folders.items()]
        if None in found:
            if self._fingerprint != self.describe().fingerprint:
                raise UserError(f"{self.place}: no longer what this cell was planned from; plan it again")
            remove_abandoned()
            grown = self._generator.grow(split, count, self._spec.detail, COHORT_SEED)
            for case, (name, folder) in zip(grown, folders.items(), strict=True):
                write_case(
                    prepared_root() / folder,
                    replace(case, identifier=name),
                    [signature(channel) for channel in case.channels],
                )
            found = [find_case(prepared_root() / folder, name) for name, folder in folders.items()]
        return [case.load() for case in found if case is not None]


class GeneratedCases(Generated[DataSpec]):
    """The embedded cohort of a task."""

    def __init__(self, task: str, own: tuple[Path, Path] | None, spec: DataSpec) -> None:
        """`own` is the user's own anatomy. Raises UserError for a task that has no generator."""
        plugin, source = TASKS.load(task), TASKS.source_digest(task)
        if plugin.generator is None:
            raise UserError(f"task {task!r} has no embedded cohort; name the folder of its data with --data-root")
        place = f"--anatomy {','.join(map(str, own))}" if own else f"task {task!r}"
        # A third-party task's declared version alone does not vouch for its file.
        identity = (task, plugin.facts.version, *([source] if source else []))
        facts = plugin.facts
        needed = {"classification": 2, "multi-class": len(facts.classes)}.get(facts.kind, 1)
        for part, count in spec.counts.model_dump().items():
            if count < needed:
                few = "1 case" if count == 1 else f"{count} cases of {needed} classes"
                missing = "one class alone" if count == 1 else "a class is missing"
                raise UserError(
                    f"{place}: {missing} in the {part} part, which has {few}; give it {needed} or more with "
                    f"--set cohort.classification.{part}={needed}"
                )
        super().__init__(spec, spec.counts.model_dump(), place, plugin.generator(own), *identity)

    def load(self, *parts: str) -> dict[str, list[Case]]:
        """See `DataSource`; of the training cases, those whose labels are used."""
        cases = super().load(*parts)
        if self._spec.label_fraction < 1 and "train" in cases:
            strata = [case.label if isinstance(case.label, int) else 0 for case in cases["train"]]
            kept = nested_subset([case.identifier for case in cases["train"]], strata, self._spec.label_fraction)
            cases["train"] = [case for case in cases["train"] if case.identifier in set(kept)]
        return cases


def generated_corpus(spec: CorpusSpec) -> Generated[CorpusSpec]:
    """The embedded corpus; every case is of class 0."""
    from ssl_bench.data.synthetic.corpus import EMBEDDED, CardiacCT

    counts = {"corpus": spec.volumes, "held-out": spec.held_out}
    named = spec.model_copy(update={"name": EMBEDDED.title})
    return Generated(named, counts, "the embedded corpus", CardiacCT(), EMBEDDED.title, CORPUS_VERSION)


@cache
def generator_source(generator: type[Generator]) -> str:
    """A digest of all code that decides the bits of what `generator` grows: its own, the shared one and torch's."""
    import torch

    package = Path(str(synthetic.__file__)).parent.glob("*.py")
    own = {Path(inspect.getfile(kind)) for kind in generator.__mro__ if kind.__module__ not in ("abc", "builtins")}
    return _digest([file.read_bytes() for file in sorted({*package, *own})], torch.__version__)


def _digest(*parts: object, length: int = 16) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:length]
