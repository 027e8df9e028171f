"""Volumes that a generator grows, kept in the cache as prepared cases."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

from ssl_bench.api.cases import SPLITS, Case
from ssl_bench.api.generator import Generator
from ssl_bench.api.registry import TASKS
from ssl_bench.api.settings import SplitCounts
from ssl_bench.data import synthetic
from ssl_bench.data.preprocessing.case_folder import find_case, prepared_root, remove_abandoned, write_case
from ssl_bench.data.preprocessing.signature import signature
from ssl_bench.data.source import DataSource, Spec
from ssl_bench.data.splits import nested_subset
from ssl_bench.errors import UserError
from ssl_bench.spec.specification import CorpusSpec, DataSpec

COHORT_SEED = 0
"""The embedded cohort is one data set: seeds of runs do not change it."""

CORPUS_VERSION = 1
"""Raised whenever the corpus' volumes may change."""


class _Generated(DataSource[Spec]):
    """Splits that one generator grows."""

    def __init__(self, generator: Generator, detail: float, identity: tuple[object, ...], planned: str | None) -> None:
        """`identity` and the generator's fingerprint are hashed; `planned` is the digest of a cell that is planned."""
        self._generator = generator
        self._detail = detail
        self._identity = identity
        self._planned = planned

    @cached_property
    def fingerprint(self) -> str:
        """What identifies the data that volumes grow from. A planned cell need not read them where all are grown."""
        return self._planned or self._present()

    def _present(self) -> str:
        name, version, *plugin_source = self._identity
        return _digest(name, version, self._generator.fingerprint, *plugin_source)

    def _cases(self, split: str, count: int) -> list[Case]:
        # The sources and torch's version are in the folder's name, not in a cell's key: they may change bits without
        # changing what the cohort means, and a stale cache must never be read.
        key = (self.fingerprint, self._identity[0], split, count, self._detail, generator_source(type(self._generator)))
        identifiers = [f"{split}-{index:03d}" for index in range(count)]
        folders = {name: prepared_root() / _digest(*key, name, length=32) for name in identifiers}
        found = [find_case(folder, name) for name, folder in folders.items()]
        if None in found:
            if self._present() != self.fingerprint:
                raise UserError(f"{self.place}: no longer what this cell was planned from; plan it again")
            remove_abandoned()
            grown = self._generator.grow(split, count, self._detail, COHORT_SEED)
            for case, (name, folder) in zip(grown, folders.items(), strict=True):
                write_case(folder, replace(case, identifier=name), (), {}, signature(case.image))
            found = [find_case(folder, name) for name, folder in folders.items()]
        return [case.load() for case in found if case is not None]


class GeneratedCases(_Generated[DataSpec]):
    """The embedded cohort of a task."""

    def __init__(
        self,
        task: str,
        own: tuple[Path, Path] | None,
        detail: float,
        counts: SplitCounts,
        label_fraction: float = 1.0,
        planned: str | None = None,
    ) -> None:
        """`own` is the user's own anatomy. Raises UserError for a task that has no generator."""
        plugin, source = TASKS.load(task), TASKS.source_digest(task)
        if plugin.generator is None:
            raise UserError(f"task {task!r} has no embedded cohort; name the folder of its data with --data-root")
        # A third-party task's declared version alone does not vouch for its file.
        identity = (task, plugin.facts.version, *([source] if source else []))
        super().__init__(plugin.generator(own), detail, identity, planned)
        self.place = f"--anatomy {','.join(map(str, own))}" if own else f"task {task!r}"
        self._counts = counts
        self._label_fraction = label_fraction

    def describe(self) -> DataSpec:
        """See `DataSource`."""
        return DataSpec(
            source="embedded",
            fingerprint=self.fingerprint,
            detail=self._detail,
            counts=self._counts,
            label_fraction=self._label_fraction,
        )

    def load(self) -> dict[str, list[Case]]:
        """See `DataSource`; of the training cases, those whose labels are used."""
        cases: dict[str, list[Case]] = {split: self._cases(split, getattr(self._counts, split)) for split in SPLITS}
        if self._label_fraction < 1:
            strata = [case.label if isinstance(case.label, int) else 0 for case in cases["train"]]
            kept = nested_subset([case.identifier for case in cases["train"]], strata, self._label_fraction)
            cases["train"] = [case for case in cases["train"] if case.identifier in set(kept)]
        return cases


class GeneratedCorpus(_Generated[CorpusSpec]):
    """The embedded corpus of pre-training."""

    place = "the embedded corpus"

    def __init__(self, detail: float, volumes: int, held_out: int, planned: str | None = None) -> None:
        from ssl_bench.data.synthetic.corpus import EMBEDDED, CardiacCT

        super().__init__(CardiacCT(), detail, (EMBEDDED.title, CORPUS_VERSION), planned)
        self._counts = {"corpus": volumes, "held-out": held_out}

    def describe(self) -> CorpusSpec:
        """See `DataSource`."""
        return CorpusSpec(
            name=str(self._identity[0]),
            fingerprint=self.fingerprint,
            detail=self._detail,
            volumes=self._counts["corpus"],
            held_out=self._counts["held-out"],
        )

    def load(self) -> dict[str, list[Case]]:
        """See `DataSource`; every case is of class 0."""
        return {split: self._cases(split, count) for split, count in self._counts.items()}


@cache
def generator_source(generator: type[Generator]) -> str:
    """A digest of all code that decides the bits of what `generator` grows: its own, the shared one and torch's."""
    import torch

    package = Path(str(synthetic.__file__)).parent.glob("*.py")
    own = {Path(inspect.getfile(kind)) for kind in generator.__mro__ if kind.__module__ not in ("abc", "builtins")}
    return _digest([file.read_bytes() for file in sorted({*package, *own})], torch.__version__)


def _digest(*parts: object, length: int = 16) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:length]
