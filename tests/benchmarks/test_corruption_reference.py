"""The corruption that ours is timed against does the same: both change volumes alike, in distribution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from benchmarks import corruption_by_blocks as reference
from ssl_bench.api.rng import Draws
from ssl_bench.transforms import painting
from ssl_bench.transforms.boxes import union_of_boxes
from ssl_bench.transforms.intensity import nonlinear_intensity
from ssl_bench.transforms.painting import GVSL_IN_PAINTING, in_painting, in_painting_mask
from ssl_bench.transforms.shuffling import GVSL_SHUFFLING, local_shuffling, number_of_blocks

SIZE = (20, 22, 30)
SAMPLES = 200
VOLUME = np.random.default_rng(0).random(SIZE, dtype=np.float32)
BLOCKS = number_of_blocks(SIZE, GVSL_SHUFFLING)
Ours = Callable[[torch.Tensor, Draws], torch.Tensor]
Theirs = Callable[[np.random.Generator], np.ndarray]


def assert_same_mean(ours: np.ndarray, theirs: np.ndarray) -> None:
    error = np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs))
    assert abs(ours.mean() - theirs.mean()) < 4 * error + 1e-6


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(local_shuffling, lambda g: reference.shuffle(VOLUME, g, BLOCKS), id="shuffling"),
        pytest.param(
            lambda v, d: nonlinear_intensity(v, d, 1.0, 0.0),
            lambda g: reference.map_intensities(VOLUME, g),
            id="intensities",
        ),
        pytest.param(
            lambda v, d: in_painting(v, d, GVSL_IN_PAINTING), lambda g: reference.in_paint(VOLUME, g)[0], id="painting"
        ),
    ],
)
def test_as_many_voxels_change_by_as_much(ours: Ours, theirs: Theirs) -> None:
    batch = torch.from_numpy(VOLUME).expand(SAMPLES, 1, *SIZE)
    made = ours(batch, Draws.keyed("reference", samples=range(SAMPLES)))[:, 0].numpy()
    expected = np.stack([theirs(np.random.default_rng(sample)) for sample in range(SAMPLES)])
    changes = [corrupted - VOLUME for corrupted in (made, expected)]
    for statistic in (np.abs, np.square, np.sign):
        assert_same_mean(*(statistic(change).mean(axis=(1, 2, 3)) for change in changes))
    for place in (slice(None), slice(0, 3), slice(3, 4)):  # Everywhere, and where boxes may not and may just start.
        assert_same_mean(*((change[:, place] != 0).mean(axis=(1, 2, 3)) for change in changes))


def test_as_many_blocks_are_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[np.ndarray] = []

    def counted(starts: torch.Tensor, sides: torch.Tensor, size: tuple[int, ...], active: torch.Tensor) -> torch.Tensor:
        counts.append(active.sum(dim=1).numpy())
        return union_of_boxes(starts, sides, size, active)

    monkeypatch.setattr(painting, "union_of_boxes", counted)
    samples = 600
    in_painting_mask((10, 10, 10), Draws.keyed("blocks", samples=range(samples)), GVSL_IN_PAINTING)
    small = np.zeros((15, 15, 15), np.float32)
    expected = np.array([reference.in_paint(small, np.random.default_rng(sample))[1] for sample in range(samples)])
    assert_same_mean(counts[0], expected)
    assert (counts[0].min(), counts[0].max()) == (expected.min(), expected.max()) == (0, 30)
