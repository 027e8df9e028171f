"""The volumes a cell works on, grown once and memory-mapped from the user's cache folder."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_bench.cells.science import CorpusScience, DataScience
from ssl_bench.cohort.anatomy import Anatomy, load_anatomy
from ssl_bench.cohort.corpus import EMBEDDED, grow_corpus
from ssl_bench.crops import cut
from ssl_bench.files import atomic_write
from ssl_bench.method import Windows
from ssl_bench.registry import TASKS
from ssl_bench.task import Case, Split, Task

if TYPE_CHECKING:
    from ssl_bench.settings import CohortSettings

COHORT_SEED = 0
"""The embedded cohort is one data set: seeds of runs do not change it."""

CORPUS_VERSION = 1
"""Raised whenever the corpus' volumes may change."""

REFRESH_BATCH = 8


class Corpus:
    """Unlabelled volumes on disk; windows of side `crop` come out on `device`."""

    def __init__(self, volumes: NDArray[np.float32], crop: int, device: torch.device | str) -> None:
        self.volumes = volumes
        self.crop = crop
        self.device = device

    def __len__(self) -> int:
        return len(self.volumes)

    def read(self, windows: Windows) -> Tensor:
        """Those windows, (B, 1, D, H, W)."""
        pairs = zip(windows.volumes, windows.positions, strict=True)
        images = np.stack([cut(self.volumes[index], position, self.crop) for index, position in pairs])
        return torch.from_numpy(images.astype(np.float32)).unsqueeze(1).to(self.device)

    def batches(self, windows: Windows) -> Iterator[Tensor]:
        """Those windows in order, a few at a time."""
        for start in range(0, len(windows.volumes), REFRESH_BATCH):
            part = slice(start, start + REFRESH_BATCH)
            yield self.read(Windows(windows.volumes[part], windows.positions[part]))


def corpus_science(cohort: CohortSettings) -> CorpusScience:
    """What identifies the embedded corpus."""
    fingerprint = _digest(EMBEDDED.title, CORPUS_VERSION, load_anatomy("chest").fingerprint)
    return CorpusScience(
        name=EMBEDDED.title,
        fingerprint=fingerprint,
        detail=cohort.detail,
        volumes=cohort.corpus,
        held_out=cohort.held_out,
    )


def load_corpus(science: CorpusScience, split: Literal["corpus", "held-out"]) -> NDArray[np.float32]:
    """The embedded corpus, (N, D, H, W) in [0, 1]; `split` is ``corpus`` or ``held-out``."""
    count = science.volumes if split == "corpus" else science.held_out
    folder = _cache_folder(science.fingerprint, split, count, science.detail)
    (images,) = _cached(folder, ["images"], lambda: [grow_corpus(count, science.detail, COHORT_SEED, split)])
    return images


def task_anatomy(task: type[Task], own: tuple[Path, Path] | None) -> Anatomy:
    """The anatomy a task's cohort grows from: the shipped one, or the user's own image and labels."""
    return Anatomy.from_files(*own) if own else load_anatomy(task.facts.anatomy)


def data_science(name: str, cohort: CohortSettings, own: tuple[Path, Path] | None) -> DataScience:
    """What identifies the embedded cases of a task."""
    task = TASKS.load(name)
    anatomy = task_anatomy(task, own)
    if own:
        anatomy.require(task.anatomy_values)
    return DataScience(
        source="embedded",
        fingerprint=_digest(name, task.facts.version, anatomy.fingerprint, *_third_party_source(name)),
        detail=cohort.detail,
        counts=getattr(cohort, task.facts.kind),
    )


def load_cases(name: str, science: DataScience, split: Split, own: tuple[Path, Path] | None = None) -> list[Case]:
    """The cases of one split, memory-mapped. Grown at the first call, read from the cache afterwards."""
    task = TASKS.load(name)()
    count: int = getattr(science.counts, split)
    spacing = tuple(size / science.detail for size in task.facts.spacing_mm)

    def grow() -> list[NDArray[np.generic]]:
        cases = task.grow(task_anatomy(type(task), own), split, count, science.detail, COHORT_SEED)
        return [
            np.stack([case.image for case in cases]),
            np.stack([np.asarray(case.label, np.uint8) for case in cases]),
        ]

    folder = _cache_folder(science.fingerprint, name, split, count, science.detail, _source(type(task)))
    images, labels = _cached(folder, ["images", "labels"], grow)
    return [
        Case(f"{split}-{index:03d}", image, label if label.ndim else int(label), spacing)  # type: ignore[arg-type]
        for index, (image, label) in enumerate(zip(images, labels, strict=True))
    ]


def corpus_cases(cohort: CohortSettings) -> list[Case]:
    """The corpus' volumes as cases without labels, to look at."""
    spacing = tuple(size / cohort.detail for size in EMBEDDED.spacing_mm)
    volumes = load_corpus(corpus_science(cohort), "corpus")
    return [Case(f"corpus-{index:03d}", volume, 0, spacing) for index, volume in enumerate(volumes)]  # type: ignore[arg-type]


def cases_digest(cases: Sequence[Case]) -> str:
    """A digest of the voxels and labels themselves, so that two records can be seen to have met the same cases."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(np.ascontiguousarray(case.image).tobytes())
        digest.update(np.ascontiguousarray(case.label).tobytes())
    return digest.hexdigest()[:16]


def cache_root() -> Path:
    """``$SSL_BENCH_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("SSL_BENCH_CACHE") or platformdirs.user_cache_dir("ssl-bench"))


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
    folder = Path(__file__).parent / "cohort"
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
