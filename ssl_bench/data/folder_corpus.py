"""The unlabelled scans of a pre-training in a folder of the user's, or those that a CSV lists."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ssl_bench.api.cases import Case
from ssl_bench.data.folder_source import FolderSource, Preparation, changed
from ssl_bench.data.layouts.channel_names import intensities_of
from ssl_bench.data.layouts.corpus_folder import CORPUS_PREPROCESSING, find_corpus
from ssl_bench.data.preprocessing.signature import Signature
from ssl_bench.data.splits import in_random_order
from ssl_bench.data.subjects import scans_of
from ssl_bench.spec.specification import CorpusSpec


class FolderCorpus(FolderSource[CorpusSpec]):
    """The unlabelled scans of a folder, or those that a CSV lists."""

    def __init__(
        self,
        root: Path,
        preparation: Preparation,
        changes: Mapping[str, Any],
        held_out: int,
        take_labels: bool = False,
    ) -> None:
        """At most a tenth of the scans, and no more than `held_out`, is held out to watch the pretext loss.

        With `take_labels` files that hold label maps are scans like the others.
        """
        preprocessing = changed(CORPUS_PREPROCESSING, _with_recipes(changes), "corpus")
        find = partial(find_corpus, take_labels=take_labels, channels=preprocessing.channels)
        super().__init__(root, "corpus", "--corpus", find, preprocessing, preparation)
        self._most_held_out = held_out

    def describe(self) -> CorpusSpec:
        """See `DataSource`."""
        return CorpusSpec(
            source="folder",
            fingerprint=self.fingerprint,
            recipe=self.preprocessing.model_dump(mode="json"),
            volumes=len(self.cases) - len(self._held_out),
            held_out=len(self._held_out),
            channels=self.preprocessing.channel_count,
        )

    def load(self, *parts: str) -> dict[str, list[Case]]:
        """See `DataSource`."""
        return {
            part: [scan.load() for name, scan in self.cases.items() if (name in self._held_out) == (part == "held-out")]
            for part in parts or ("corpus", "held-out")
        }

    def signatures(self) -> list[tuple[str, Signature]]:
        """See `DataSource`: of all scans, by file."""
        files = {case.identifier: str(case.image) for case in self.found.cases}
        return [(files[name], outline) for name, scan in self.cases.items() for outline in scan.signatures]

    def scans_of(self, patients: Collection[str], root: Path, subjects: str) -> list[tuple[str, str]]:
        """See `DataSource`."""
        own = self.root if self.root.is_dir() else self.root.parent
        beside = own.is_relative_to(root) or root.is_relative_to(own)
        usable = [case for case in self.found.cases if case.identifier in self.cases]
        return [(str(scan.image), patient) for scan, patient in scans_of(patients, usable, own, beside, subjects)]

    @cached_property
    def _held_out(self) -> set[str]:
        count = min(self._most_held_out, len(self.cases) // 10)
        return set(in_random_order("held-out", self.cases)[:count])


def _with_recipes(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """`changes` with the recipes that the names of declared channels say, where recipes are not declared too."""
    channels = changes.get("channels")
    if not isinstance(channels, list) or not all(isinstance(name, str) for name in channels) or len(channels) < 2:
        return changes
    return {"intensity": intensities_of(channels)} | dict(changes)
