"""Windows: every place equally likely, padded as inference pads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference

from ssl_bench.api.cases import Case
from ssl_bench.api.method import Windows
from ssl_bench.data.windows import CaseBatches, Corpus, cut, first_voxel, padded


def numbered(*shape: int) -> np.ndarray:
    return 1 + np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("shape", [(9, 9, 9), (9, 14, 20), (24, 17, 9)])
def test_axes_shorter_than_the_window_are_padded_as_monai_pads_them(shape: tuple[int, int, int]) -> None:
    volume, crop = numbered(*shape), 16
    seen: list[torch.Tensor] = []
    sliding_window_inference(
        torch.from_numpy(volume)[None, None],
        roi_size=(crop,) * 3,
        sw_batch_size=1,
        predictor=lambda window: seen.append(window) or window,
        overlap=0.0,
    )
    # MONAI's first window begins at the first voxel of axes that are long enough, its last ends with them.
    for window, position in ((seen[0], 0.0), (seen[-1], 1.0)):
        np.testing.assert_array_equal(cut(volume, np.full(3, position), crop), window[0, 0].numpy())


def test_label_and_image_are_cut_and_padded_alike() -> None:
    image = numbered(5, 20, 13)
    cases = [Case("a", image, (image.astype(int) % 7).astype(np.uint8), (1.0, 1.0, 1.0))]
    images, labels = CaseBatches(cases, 8).read(np.array([0]), np.array([[0.3, 0.7, 0.99]]))
    inside = images[0, 0] > 0
    assert torch.equal(labels[0][inside], (images[0, 0][inside].long() % 7))
    assert (labels[0][~inside] == 0).all()
    assert inside.any(-1).any(-1).tolist() == [False] + 5 * [True] + 2 * [False]


def test_the_whole_volumes_of_a_classification_lie_in_the_middle_of_the_largest() -> None:
    cases = [Case(str(n), numbered(*shape), n, (1.0,) * 3) for n, shape in enumerate([(4, 9, 6), (7, 5, 6)])]
    images, _ = CaseBatches(cases, 8).read(np.array([0, 1]), np.zeros((2, 3)))
    assert images.shape == (2, 1, 7, 9, 6)
    np.testing.assert_array_equal(images[0, 0, 1:5], cases[0].image)
    np.testing.assert_array_equal(images[1, 0, :, 2:7], cases[1].image)
    assert images[0].count_nonzero() == 4 * 9 * 6
    np.testing.assert_array_equal(padded(cases[0].image, (2, 9, 7))[..., :6], cases[0].image)


def test_every_place_is_equally_likely_the_first_and_the_last_too() -> None:
    generator = np.random.default_rng(0)
    starts = [first_voxel((12, 9, 8), generator.random(3), 8) for _ in range(10_000)]
    for axis, places in enumerate((5, 2, 1)):
        counts = np.bincount(np.array(starts)[:, axis])
        assert len(counts) == places
        assert counts.min() > 0.9 * 10_000 / places


@pytest.mark.parametrize("room", [0, 1, 2, 5, 8, 97])
def test_0_is_the_first_place_1_the_last_and_a_half_the_middle(room: int) -> None:
    first, middle, last = (int(first_voxel((16 + room,) * 3, np.full(3, p), 16)[0]) for p in (0.0, 0.5, 1.0))
    assert (first, last) == (0, room)
    assert abs(middle - room / 2) <= 0.5
    assert int(first_voxel((16 + room,) * 3, np.full(3, np.nextafter(1, 0)), 16)[0]) == room


def test_a_corpus_says_where_windows_begin_and_cuts_others_of_the_same_volumes() -> None:
    corpus = Corpus([numbered(10, 8, 20), numbered(8, 8, 8)], 8, "cpu")
    windows = Windows(np.array([0, 1, 0]), np.array([[1, 1, 0.5], [0.5] * 3, [0.0] * 3]))
    assert corpus.first_voxels(windows).tolist() == [[2, 0, 6], [0, 0, 0], [0, 0, 0]]
    assert torch.equal(corpus.read(windows)[0, 0], torch.from_numpy(corpus.volumes[0][2:10, :, 6:14]))
    assert corpus.of_side(9).read(windows).shape == (3, 1, 9, 9, 9)
