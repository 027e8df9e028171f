"""The volumes a cell works on, embedded or the user's own, memory-mapped from the user's cache folder."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_bench.api.method import Windows
from ssl_bench.api.registry import TASKS
from ssl_bench.api.task import SPLITS, Case, Split, Task
from ssl_bench.data.folder_cases import load_folder_cases, load_folder_corpus
from ssl_bench.data.splits import nested_subset
from ssl_bench.data.synthetic.anatomy import Anatomy, load_anatomy
from ssl_bench.data.synthetic.corpus import EMBEDDED, grow_corpus
from ssl_bench.data.windows import cut
from ssl_bench.files import atomic_write, cache_root
from ssl_bench.nn.transfer import moved
from ssl_bench.spec.locations import Sources
from ssl_bench.spec.specification import CorpusSpec, DataSpec

if TYPE_CHECKING:
    from ssl_bench.api.settings import CohortSettings

COHORT_SEED = 0
"""The embedded cohort is one data set: seeds of runs do not change it."""

CORPUS_VERSION = 1
"""Raised whenever the corpus' volumes may change."""

REFRESH_BATCH = 8

EMBEDDED_ONLY = Sources()


class Corpus:
    """Unlabelled volumes on disk; windows of side `crop` come out on `device`."""

    def __init__(self, volumes: Sequence[NDArray[np.float32]], crop: int, device: torch.device | str) -> None:
        """`volumes` are (D, H, W) each, of one shape or of many."""
        self.volumes = volumes
        self.crop = crop
        self.device = device

    def __len__(self) -> int:
        return len(self.volumes)

    def read(self, windows: Windows) -> Tensor:
        """Those windows, (B, 1, D, H, W)."""
        pairs = zip(windows.volumes, windows.positions, strict=True)
        images = np.stack([cut(self.volumes[index], position, self.crop) for index, position in pairs])
        return moved(torch.from_numpy(images.astype(np.float32)).unsqueeze(1), torch.device(self.device))

    def batches(self, windows: Windows) -> Iterator[Tensor]:
        """Those windows in order, a few at a time."""
        for start in range(0, len(windows.volumes), REFRESH_BATCH):
            part = slice(start, start + REFRESH_BATCH)
            yield self.read(Windows(windows.volumes[part], windows.positions[part]))


def corpus_spec(cohort: CohortSettings) -> CorpusSpec:
    """What identifies the embedded corpus."""
    fingerprint = _digest(EMBEDDED.title, CORPUS_VERSION, load_anatomy("chest").fingerprint)
    return CorpusSpec(
        name=EMBEDDED.title,
        fingerprint=fingerprint,
        detail=cohort.detail,
        volumes=cohort.corpus,
        held_out=cohort.held_out,
    )


def load_corpus(
    spec: CorpusSpec, sources: Sources = EMBEDDED_ONLY
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """The unlabelled volumes to train on, and those held out to watch; (D, H, W) in [0, 1] each."""
    if spec.is_real:
        return load_folder_corpus(spec, sources)
    return _embedded_corpus(spec, "corpus"), _embedded_corpus(spec, "held-out")


def _embedded_corpus(spec: CorpusSpec, split: Literal["corpus", "held-out"]) -> list[NDArray[np.float32]]:
    count = spec.volumes if split == "corpus" else spec.held_out
    folder = _cache_folder(spec.fingerprint, split, count, spec.detail)
    (images,) = _cached(folder, ["images"], lambda: [grow_corpus(count, spec.detail, COHORT_SEED, split)])
    return list(images)


def task_anatomy(task: type[Task], own: tuple[Path, Path] | None) -> Anatomy:
    """The anatomy a task's cohort grows from: the shipped one, or the user's own image and labels."""
    return Anatomy.from_files(*own) if own else load_anatomy(task.facts.anatomy)


def data_spec(
    name: str, cohort: CohortSettings, own: tuple[Path, Path] | None, label_fraction: float = 1.0
) -> DataSpec:
    """What identifies the embedded cases of a task."""
    task = TASKS.load(name)
    anatomy = task_anatomy(task, own)
    if own:
        anatomy.require(task.anatomy_values)
    return DataSpec(
        source="embedded",
        fingerprint=_digest(name, task.facts.version, anatomy.fingerprint, *_third_party_source(name)),
        detail=cohort.detail,
        counts=getattr(cohort, task.facts.kind),
        label_fraction=label_fraction,
    )


def load_cases(name: str, spec: DataSpec, sources: Sources = EMBEDDED_ONLY) -> dict[Split, list[Case]]:
    """The cases of every split, memory-mapped; of the training cases, those whose labels are used.

    Grown or prepared at the first call, read from the cache afterwards. Raises UserError if the folder no longer holds
    what `spec` was resolved from.
    """
    if spec.is_real:
        return load_folder_cases(name, spec, sources)
    cases = {split: _embedded_cases(name, spec, split, sources.anatomy) for split in SPLITS}
    if spec.label_fraction < 1:
        strata = [case.label if isinstance(case.label, int) else 0 for case in cases["train"]]
        kept = nested_subset([case.identifier for case in cases["train"]], strata, spec.label_fraction)
        cases["train"] = [case for case in cases["train"] if case.identifier in set(kept)]
    return cases


def _embedded_cases(name: str, spec: DataSpec, split: Split, own: tuple[Path, Path] | None) -> list[Case]:
    task = TASKS.load(name)()
    count: int = getattr(spec.counts, split)
    spacing = tuple(size / spec.detail for size in task.facts.spacing_mm)

    def grow() -> list[NDArray[np.generic]]:
        cases = task.grow(task_anatomy(type(task), own), split, count, spec.detail, COHORT_SEED)
        return [
            np.stack([case.image for case in cases]),
            np.stack([np.asarray(case.label, np.uint8) for case in cases]),
        ]

    folder = _cache_folder(spec.fingerprint, name, split, count, spec.detail, _source(type(task)))
    images, labels = _cached(folder, ["images", "labels"], grow)
    return [
        Case(f"{split}-{index:03d}", image, label if label.ndim else int(label), spacing)  # type: ignore[arg-type]
        for index, (image, label) in enumerate(zip(images, labels, strict=True))
    ]


def corpus_cases(cohort: CohortSettings) -> list[Case]:
    """The corpus' volumes as cases without labels, to look at."""
    spacing = tuple(size / cohort.detail for size in EMBEDDED.spacing_mm)
    volumes, _ = load_corpus(corpus_spec(cohort))
    return [Case(f"corpus-{index:03d}", volume, 0, spacing) for index, volume in enumerate(volumes)]  # type: ignore[arg-type]


def cases_digest(cases: Sequence[Case]) -> str:
    """A digest of the voxels and labels themselves, so that two records can be seen to have met the same cases."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(np.ascontiguousarray(case.image).tobytes())
        digest.update(np.ascontiguousarray(case.label).tobytes())
    return digest.hexdigest()[:16]


def _cached(
    folder: Path, names: list[str], grow: Callable[[], Sequence[NDArray[np.generic]]]
) -> list[NDArray[np.float32]]:
    """The arrays `names` in `folder`; grown and written first unless all of them read."""
    try:
        return [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names]
    except (OSError, ValueError, EOFError):
        pass
    for name, array in zip(names, grow(), strict=True):
        with atomic_write(folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    return [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names]


def _cache_folder(*key: object) -> Path:
    # The source and torch's version are in the folder's name, not in a cell's key: they may change bits without
    # changing what the cohort means, and a stale cache must never be read.
    return cache_root() / "cohort" / _digest(*key, _cohort_source(), torch.__version__)


@cache
def _cohort_source() -> str:
    folder = Path(__file__).parent / "synthetic"
    return _digest(*[file.read_bytes() for file in sorted(folder.glob("*.py"))])


@cache
def _source(task: type[Task]) -> str:
    return _digest(inspect.getsource(inspect.getmodule(task) or task))


def _third_party_source(name: str) -> list[str]:
    """The digest of a third-party task's file, which its declared version alone does not vouch for."""
    source = TASKS.source_digest(name)
    return [source] if source else []


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
