"""What a cell keeps of its last moments for the report's pictures; never a reason for a cell to fail."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.method import Method, Windows
from ssl_bench.api.rng import Draws, numpy_generator
from ssl_bench.api.task import TaskFacts
from ssl_bench.data.windows import Corpus, cut
from ssl_bench.nn.distributed import alone
from ssl_bench.store.example_file import (
    ClassIndices,
    Examples,
    LaidPair,
    LocalFeatures,
    Matches,
    PretextExample,
    SegmentedSlice,
    write_examples,
)
from ssl_bench.training.labels import drawn

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LARGEST_SIDE = 128
"""Pixels of a kept slice; of a longer one every second or third pixel is kept."""

FEATURE_VOXELS = 320
FEATURE_SIDE = 96


class EvaluationExamples:
    """Slices of the worst, the median and the best test case, and local features of one; only where voxels have labels.

    Which cases those are is known when all are scored. So a slice of each is kept until then, some 50 kB, and neither
    are volumes held nor is anything predicted twice.
    """

    def __init__(self, path: Path | None, facts: TaskFacts) -> None:
        """They will be written to `path`, None for nowhere; `facts` are of the task."""
        self.path = path
        self.facts = facts
        self.slices: list[SegmentedSlice] = []

    def see(self, case: Case, row: dict[str, Any], prediction: Tensor) -> None:
        """Take note of a test case, its row of scores and what was predicted for it, (D, H, W)."""
        if self.path is None or isinstance(case.label, int | float) or row["dsc"] is None:
            return
        path, self.path = self.path, None
        with best_effort(path):
            labels = drawn(self.facts, prediction.cpu().numpy())
            self.slices.append(_segmented(_drawn(self.facts, case), row, labels))
            # Without one of them the others would be given wrong places.
            self.path = path

    def write_slices(self, matches: Matches | None = None, laid: LaidPair | None = None) -> None:
        """Keep what was seen, without features: of a cell that has no network, or whose features are no matter."""
        if self.path is not None:
            with best_effort(self.path):
                write_examples(self.path, Examples(tuple(_placed(self.slices)), matches=matches, laid=laid))

    def write(self, case: Case, local_features: Callable[[Tensor], Tensor], crop: int) -> None:
        """Keep what was seen, and the features of `case`.

        `local_features` maps (1, C, D, H, W) to (1, channels, D, H, W).
        """
        if self.path is not None and not isinstance(case.label, int | float):
            with best_effort(self.path):
                features = _local(_drawn(self.facts, case), local_features, crop)
                write_examples(self.path, Examples(tuple(_placed(self.slices)), features))


def keep_pretraining_examples(path: Path | None, fabric: Fabric, method: Method, held_out: Corpus) -> None:
    """Keep middle slices of what `method` shows of its pretext on two held-out volumes, if it shows anything."""
    if path is None or len(held_out) < 2:
        return
    with best_effort(path):
        volumes = held_out.read(Windows(np.arange(2), np.full((2, 3), 0.5)))
        draws = Draws.keyed("example", samples=range(2), device=held_out.device)
        with fabric.autocast(), alone():
            shown = method.example(volumes, draws)
        if shown is not None:
            write_examples(path, Examples(pretext=_pretext(shown)))


@contextlib.contextmanager
def best_effort(path: Path) -> Iterator[None]:
    """Inside, what goes wrong is a warning that the cell, which writes examples to `path`, keeps none."""
    try:
        with torch.no_grad():
            yield
    # A full disk, a plugin's mistake: the cell has its scores, and they count.
    except Exception as error:
        said = str(error).partition("\n")[0]
        print(f"warning: {path.parent}: no examples kept ({type(error).__name__}: {said})", file=sys.stderr)  # noqa: T201


def _placed(slices: Sequence[SegmentedSlice]) -> list[SegmentedSlice]:
    """The worst, the median and the best of `slices` by DSC, in this order; each once."""
    ordered = sorted(slices, key=lambda shown: shown.dsc)
    named = {"worst": 0, "best": len(ordered) - 1, "median": (len(ordered) - 1) // 2}
    places = {rank: place for place, rank in reversed(named.items())} if ordered else {}
    return [replace(ordered[rank], place=places[rank]) for rank in sorted(places)]


def _drawn(facts: TaskFacts, case: Case) -> Case:
    return replace(case, label=drawn(facts, np.asarray(case.label)))


def _segmented(case: Case, row: dict[str, Any], prediction: NDArray[Any]) -> SegmentedSlice:
    truth = np.asarray(case.label)
    level = int(np.count_nonzero(truth, axis=(1, 2)).argmax())
    step = stride(truth.shape[1:], LARGEST_SIDE)
    # Copies: a view would hold its volume.
    image, truth, predicted = (
        hung(np.asarray(plane), step).copy() for plane in (case.channels[0, level], truth[level], prediction[level])
    )
    planes = in_bytes(image), indices(truth), indices(predicted)
    return SegmentedSlice("", case.identifier, row["dsc"], *planes, pixel_mm(case, step))


def _local(case: Case, local_features: Callable[[Tensor], Tensor], crop: int) -> LocalFeatures:
    middle = np.full(3, 0.5)
    image, label = (cut(np.asarray(volume), middle, crop) for volume in (case.channels, case.label))
    volume = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None]
    features = local_features(volume)[0].float().cpu().numpy()
    level = int(np.count_nonzero(label, axis=(1, 2)).argmax())
    step = stride(label.shape[1:], FEATURE_SIDE)
    chosen = _even_choice(label.ravel())
    vectors = features.reshape(len(features), -1).T[chosen].astype(np.float16)
    shown = np.stack([hung(channel, step) for channel in features[:, level]], axis=-1)
    grey = in_bytes(hung(image[0, level], step))
    return LocalFeatures(grey, _principal_colours(shown), vectors, indices(label.ravel()[chosen]))


def _pretext(shown: dict[str, Tensor]) -> PretextExample:
    slices = {name: volume[0].float().cpu().numpy() for name, volume in shown.items()}
    displacement = slices.pop("displacement", None)
    middle = {name: volume[0, volume.shape[1] // 2] for name, volume in slices.items()}
    step = stride(next(iter(middle.values())).shape, LARGEST_SIDE)
    images = np.stack([in_bytes(hung(image, step)) for image in middle.values()])
    moved = None
    if displacement is not None:
        moved = arrows(displacement[1:, displacement.shape[1] // 2], step)
    return PretextExample(tuple(middle), images, moved)


def _even_choice(labels: NDArray[Any]) -> NDArray[np.intp]:
    """Voxels with an even share for each structure and the background; the same for the same labels."""
    generator = numpy_generator("feature examples")
    present = np.unique(labels)
    share = max(1, FEATURE_VOXELS // len(present))
    places = [np.flatnonzero(labels == value) for value in present]
    return np.concatenate([generator.permutation(place)[:share] for place in places])


def _principal_colours(features: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(rows, columns, channels) -> red, green and blue: the first three principal components, 1st to 99th percentile.

    A component's sign means nothing: the one is taken under which its largest loading is positive.
    """
    centred = features - features.mean((0, 1))
    flat = centred.reshape(-1, centred.shape[-1])
    _, axes = np.linalg.eigh(flat.T @ flat)
    axes = axes[:, ::-1][:, :3]
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0))
    projected = centred @ axes
    low, high = np.quantile(projected, (0.01, 0.99), axis=(0, 1))
    scaled = (projected - low) / np.maximum(high - low, np.finfo(np.float32).tiny)
    return in_bytes(scaled)


def stride(shape: Sequence[int], largest: int) -> int:
    """Of so many pixels one is kept, that no side is longer than `largest`."""
    return -(-max(shape) // largest)


def hung(plane: NDArray[Any], step: int) -> NDArray[Any]:
    """An axial slice (anterior, right) as it is hung: front up, the patient's right on the left."""
    return plane[::-step, ::-step]


def arrows(in_plane: NDArray[Any], step: int) -> NDArray[np.float16]:
    """A displacement (2, anterior, right) within a slice, in voxels, on the hung slice and in its pixels."""
    # Turning a slice by half a turn turns its arrows too.
    return np.stack([-hung(component, step) / step for component in in_plane]).astype(np.float16)


def pixel_mm(case: Case, step: int) -> tuple[float, float]:
    """Height and width of a pixel of an axial slice of which each `step`th is kept."""
    height, width = (step * size for size in case.spacing_mm[1:])
    return height, width


def indices(classes: NDArray[Any]) -> ClassIndices:
    """In the type that a file of examples holds."""
    return classes.astype(np.uint8 if classes.max() < 256 else np.uint16)


def in_bytes(image: NDArray[Any]) -> NDArray[np.uint8]:
    """0 to 1 as 0 to 255."""
    scaled: NDArray[np.float32] = 255 * image.astype(np.float32).clip(0, 1)
    return scaled.round().astype(np.uint8)
