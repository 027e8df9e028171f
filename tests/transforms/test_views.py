from __future__ import annotations

from collections import Counter

import pytest
import torch

from ssl_bench.transforms import views
from ssl_bench.transforms.views import one_view, overlapping_starts, two_views
from tests.transforms.support import assert_contract, streams, volumes


@pytest.mark.parametrize(
    ("size", "crop"), [((20, 20, 20), (12, 12, 12)), ((15, 22, 17), (9, 12, 11)), ((16, 16, 16), (16, 16, 16))]
)
def test_both_views_keep_the_contract_of_transforms(size: tuple[int, int, int], crop: tuple[int, int, int]) -> None:
    assert_contract(lambda v, d: two_views(v, d, crop)[0], size)
    assert_contract(lambda v, d: two_views(v, d, crop)[1], size)
    assert_contract(lambda v, d: one_view(v, d, crop), size)


def test_the_two_views_of_a_sample_differ() -> None:
    first, second = two_views(volumes(4, 20, 20, 20), streams(4), (12, 10, 11))
    assert first.shape == second.shape == (4, 1, 12, 10, 11)
    assert (first != second).flatten(1).any(1).all()


def test_crops_share_at_least_half_of_each_side_and_reach_every_start() -> None:
    starts = overlapping_starts((40, 20, 15), (16, 11, 15), streams(4000), 0.5)
    gap = (starts[:, 0] - starts[:, 1]).abs().amax(0)
    assert gap.tolist() == [8, 5, 0]
    for view in (0, 1):
        assert starts[:, view].amin(0).tolist() == [0, 0, 0]
        assert starts[:, view].amax(0).tolist() == [24, 9, 0]


def test_crops_are_exact_copies_in_every_orientation_of_the_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "random_appearance", lambda v, draws: v)
    given = volumes(1, 3, 4, 4).expand(800, -1, -1, -1, -1)
    crops, _ = two_views(given, streams(800), (3, 4, 4))
    whole = given[0, 0]
    orientations = {}
    for mirror in (False, True):
        for turn in range(4):
            for slices in (False, True):
                image = whole.flip(0) if slices else whole
                image = image.flip(2) if mirror else image
                orientations[(mirror, turn, slices)] = torch.rot90(image, turn, (1, 2))
    found = Counter(next(name for name, o in orientations.items() if torch.equal(o, crop[0])) for crop in crops)
    assert len(found) == 16
    assert min(found.values()) > 20
    assert max(found.values()) < 90


def test_a_plane_that_is_not_square_is_mirrored_but_not_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "random_appearance", lambda v, draws: v)
    given = volumes(1, 3, 4, 5).expand(200, -1, -1, -1, -1)
    crops, _ = two_views(given, streams(200), (3, 4, 5))
    mirrors = [given[0].flip(dims) for dims in ([], [1], [2], [3], [1, 2], [1, 3], [2, 3], [1, 2, 3])]
    assert all(any(torch.equal(crop, mirror) for mirror in mirrors) for crop in crops)


def test_a_crop_larger_than_the_volume_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot crop"):
        two_views(volumes(1, 10, 10, 10), streams(1), (8, 11, 8))
    with pytest.raises(ValueError, match="cannot crop"):
        one_view(volumes(1, 10, 10, 10), streams(1), (8, 8))
