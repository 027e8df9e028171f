"""Prepared cases beside nnU-Net's preprocessing: seconds, bytes, and windows read out of four stores.

A set of scans is prepared by both in turn, one process and the spacing of nnU-Net's plan: ours with hashes of the
files, checks and the leak guard's signatures, nnU-Net's with the foreground's places. Planning is not in the seconds.
Windows are drawn at the same relative places out of every store and come as padded float32, each the way its loader
reads them: the float32 memory map of earlier versions (cut, padded, stacked), the plain and the compressed store, and
nnU-Net's with its own chunks. *Cold* drops the file's pages from the page cache before each window (`posix_fadvise`);
the file is opened anew for it, which does not count. Cold is by the clock, warm and preparing by the processor's time.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import nnunet
from benchmarks.tables import Row
from benchmarks.timing import Spread, spread
from ssl_bench.api.cases import SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.preprocessing.case_folder import PreparedCase
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.prepared import prepare
from ssl_bench.data.windows import cut_all, first_voxel
from ssl_bench.spec.locations import ImageStore

FLOAT32, PLAIN, COMPRESSED, NNUNET = "float32 memory map", "plain", "compressed", "nnU-Net"
Read = Callable[[NDArray[np.float64], int], Any]
"""From a relative place and a side to a window (1, D, H, W)."""


class ScanSet(NamedTuple):
    """Scans to prepare."""

    name: str
    cases: Sequence[SourceCase]
    rule: LabelRule | None
    spacing_mm: float | None
    planned: nnunet.Planned


def compare(found: ScanSet, scratch: Path, sides: Sequence[int], windows: int, rounds: int) -> list[Row]:
    """Rows of one set: what preparing takes, what lies on disk, and its windows."""
    seconds: dict[str, list[float]] = {PLAIN: [], COMPRESSED: [], NNUNET: []}
    for _ in range(rounds):
        for store in (PLAIN, COMPRESSED):
            seconds[store].append(_timed(lambda store=store: _prepare(found, scratch / store, store)))  # type: ignore[misc]
        seconds[NNUNET].append(_timed(lambda: _preprocess(found, scratch / NNUNET)))
    ours = {store: _prepare(found, scratch / store, store, again=False) for store in (PLAIN, COMPRESSED)}  # type: ignore[arg-type]
    _write_float32(ours[PLAIN], scratch / FLOAT32)
    sizes = {
        FLOAT32: _bytes(scratch / FLOAT32),
        **{store: _bytes(scratch / store / "prepared") for store in ours},
        NNUNET: _bytes(scratch / NNUNET),
    }
    opened = [_opened(found, scratch, *pair) for pair in zip(ours[PLAIN], ours[COMPRESSED], strict=True)]
    rows = [
        {
            "set": found.name,
            "store": store,
            "MB": sizes[store] / 1e6,
            "bytes / float32": sizes[store] / sizes[FLOAT32],
            "bytes / nnU-Net": sizes[store] / sizes[NNUNET],
            "processor seconds to prepare": min(seconds[store]) if store in seconds else "",
            "nnU-Net's / these": min(seconds[NNUNET]) / min(seconds[store]) if store in seconds else "",
        }
        for store in sizes
    ]
    for side in sides:
        for cold in (False, True):
            times = _windows(opened, side, windows, cold)
            for row in rows:
                row[f"{side}³ {'cold' if cold else 'warm'}, ms"] = times[str(row["store"])]
    return rows


def targets(rows: Sequence[Row]) -> list[Row]:
    """How many times as fast windows come as out of the store beside, over one set."""
    by_store = {row["store"]: row for row in rows}
    found: list[Row] = []
    for column in [name for name in rows[0] if name.endswith("ms")]:
        for store, beside, wanted in ((PLAIN, FLOAT32, 1.0), (COMPRESSED, NNUNET, 2.0)):
            ratio = by_store[beside][column]["median"] / by_store[store][column]["median"]
            found.append({
                "set": rows[0]["set"], "what": f"{store}, {column.removesuffix(', ms')}", "against": beside,
                "ratio": ratio, "wanted": f"≥ {wanted:g}", "reached": "yes" if ratio >= wanted else "no",
            })  # fmt: skip
    return found


def _timed(work: Callable[[], Any]) -> float:
    """Seconds of the processor: preparing takes long enough for a neighbour to get in its way."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _prepare(found: ScanSet, cache: Path, store: ImageStore, again: bool = True) -> list[PreparedCase]:
    if again:
        shutil.rmtree(cache, ignore_errors=True)
    os.environ["SSL_BENCH_CACHE"] = str(cache)
    preprocessing = Preprocessing(intensity="mr", region="whole", spacing_mm=found.spacing_mm)
    prepared, problems = prepare(found.cases, preprocessing, found.rule, 1, lambda words: None, store)
    assert not problems, problems
    return prepared


def _preprocess(found: ScanSet, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    nnunet.preprocess(found.planned, out, found.rule is not None)


def _write_float32(cases: Sequence[PreparedCase], folder: Path) -> None:
    """The arrays of earlier versions: a float32 image, a label of 8 bits, and what else is kept."""
    for case in cases:
        (folder / case.identifier).mkdir(parents=True)
        loaded = case.load()
        np.save(folder / case.identifier / "image.npy", np.asarray(loaded.image))
        if case.label is None:
            np.save(folder / case.identifier / "label.npy", np.asarray(loaded.label))
        shutil.copy(case.folder / "case.json", folder / case.identifier)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


class Opened(NamedTuple):
    """A case in one store."""

    file: Path
    open: Callable[[], Read]


def _opened(found: ScanSet, scratch: Path, plain: PreparedCase, compressed: PreparedCase) -> Mapping[str, Opened]:
    name = plain.identifier
    float32, theirs = scratch / FLOAT32 / name / "image.npy", scratch / NNUNET

    def mapped() -> Read:
        image = np.load(float32, mmap_mode="r")
        return lambda place, side: np.stack([_always_padded(image[_window(image.shape, place, side)], side)])

    def ours(case: PreparedCase) -> Callable[[], Read]:
        def opened() -> Read:
            image = case.load().image
            return lambda place, side: cut_all([image], [place], side, np.float32)

        return opened

    def by_nnunet() -> Read:
        from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd

        image = nnunet.opened(theirs, name)[0]

        def read(place: NDArray[np.float64], side: int) -> Any:
            start = [int(a) - max(0, side - n) // 2 for a, n in _starts(image.shape[1:], place, side)]
            return crop_and_pad_nd(image, [[a, a + side] for a in start], 0)

        return read

    return {
        FLOAT32: Opened(float32, mapped),
        PLAIN: Opened(plain.folder / "image.npy", ours(plain)),
        COMPRESSED: Opened(compressed.folder / "image.b2nd", ours(compressed)),
        NNUNET: Opened(theirs / f"{name}.b2nd", by_nnunet),
    }


def _starts(shape: Sequence[int], place: NDArray[np.float64], side: int) -> Iterator[tuple[int, int]]:
    yield from zip(first_voxel(shape, place, side).tolist(), shape, strict=True)


def _window(shape: Sequence[int], place: NDArray[np.float64], side: int) -> tuple[slice, ...]:
    return tuple(slice(first, first + side) for first, _ in _starts(shape, place, side))


def _always_padded(window: NDArray[Any], side: int) -> NDArray[Any]:
    """As earlier versions did, which copied windows that want no padding too."""
    around = [((side - n) // 2, side - n - (side - n) // 2) for n in window.shape]
    return np.pad(window, around)


def _windows(cases: Sequence[Mapping[str, Opened]], side: int, count: int, cold: bool) -> dict[str, Spread]:
    """Milliseconds of a window in each store, in turn: of the processor, or where disks are waited for of the clock."""
    clock = time.perf_counter if cold else time.process_time
    generator = np.random.default_rng(0)
    times: dict[str, list[float]] = {store: [] for store in cases[0]}
    readers = [{store: case[store].open() for store in case} for case in cases]
    for number in range(-len(cases) * (not cold), count):
        place, position = number % len(cases), generator.random(3)
        for store, case in cases[place].items():
            if cold:
                readers[place].pop(store, None)
                _drop(case.file)
            read = case.open() if cold else readers[place][store]
            begun = clock()
            read(position, side)
            if number >= 0:
                times[store].append(1000 * (clock() - begun))
    return {store: spread(taken) for store, taken in times.items()}


def _drop(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def total(rows: Sequence[Row]) -> Iterator[Row]:
    """Over all sets, what each store takes of float32's bytes and of nnU-Net's."""
    sums: dict[str, float] = defaultdict(float)
    for row in rows:
        sums[row["store"]] += row["MB"]
    for store, wanted in ((PLAIN, 0.5), (COMPRESSED, 0.25)):
        share = sums[store] / sums[FLOAT32]
        yield {
            "set": "all",
            "what": f"{store}, bytes",
            "against": FLOAT32,
            "ratio": share,
            "wanted": f"≤ {wanted:g}",
            "reached": "yes" if share <= wanted else "no",
        }
