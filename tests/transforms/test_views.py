from __future__ import annotations

from collections import Counter

import pytest
import torch

from ssl_bench.api.settings import load_preset, preset_names
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.data.synthetic.corpus import CardiacCT
from ssl_bench.data.synthetic.sampling import voxel_grid
from ssl_bench.transforms import views
from ssl_bench.transforms.views import distinct_starts, middle, random_crop, region_of_views, two_views, view_size
from tests.transforms.support import assert_contract, streams, volumes


@pytest.mark.parametrize(
    ("size", "crop"), [((20, 20, 20), (12, 12, 12)), ((15, 22, 17), (9, 12, 11)), ((16, 16, 16), (16, 16, 16))]
)
def test_both_views_keep_the_contract_of_transforms(size: tuple[int, int, int], crop: tuple[int, int, int]) -> None:
    assert_contract(lambda v, d: two_views(v, d, crop)[0], size)
    assert_contract(lambda v, d: two_views(v, d, crop)[1], size)
    assert_contract(lambda v, d: random_crop(v, d, crop), size)


def test_the_two_views_of_a_sample_differ() -> None:
    first, second = two_views(volumes(4, 20, 20, 20), streams(4), (12, 10, 11))
    assert first.shape == second.shape == (4, 1, 12, 10, 11)
    assert (first != second).flatten(1).any(1).all()


def test_crops_share_at_least_half_of_each_side_and_reach_every_start() -> None:
    starts = distinct_starts((40, 20, 15), (16, 11, 15), streams(4000), 0.5)
    gap = (starts[:, 0] - starts[:, 1]).abs().amax(0)
    assert gap.tolist() == [8, 5, 0]
    for view in (0, 1):
        assert starts[:, view].amin(0).tolist() == [0, 0, 0]
        assert starts[:, view].amax(0).tolist() == [24, 9, 0]


def test_the_second_crop_is_any_other_in_reach_and_never_the_first() -> None:
    first, second = distinct_starts((5, 4, 6), (3, 3, 6), streams(6000), 0.5).unbind(1)
    assert (first != second).any(1).all()
    shifts = Counter(tuple(place) for place in second[(first == torch.tensor([1, 0, 0])).all(1)].tolist())
    # From the middle of three places and the first of two, starts that differ by at most one: 3 x 2 - 1 others.
    assert set(shifts) == {(z, y, 0) for z in range(3) for y in range(2)} - {(1, 0, 0)}
    assert max(shifts.values()) < 1.3 * min(shifts.values())


def test_without_room_both_crops_are_the_whole() -> None:
    assert distinct_starts((4, 4, 4), (4, 4, 4), streams(5), 0.5).abs().sum() == 0


@pytest.mark.parametrize("name", preset_names())
def test_two_views_are_never_the_same_crop_in_any_preset(name: str) -> None:
    preset = load_preset(name)
    size, region = view_size(preset.pretraining.crop, UNet3D.stride), region_of_views(preset.pretraining.crop, 16)
    corpus, _ = voxel_grid(CardiacCT.field_of_view_mm, CardiacCT.spacing_mm, preset.cohort.detail)
    assert min(corpus) >= region > max(size)
    assert min(corpus) > preset.pretraining.crop
    starts = distinct_starts((region,) * 3, size, streams(2000), 0.5)
    assert (starts[:, 0] == starts[:, 1]).all(1).float().mean() == 0
    assert (starts[:, 0] - starts[:, 1]).abs().amax() == region - size[0]


def test_a_random_crop_lies_anywhere_and_is_mirrored_left_to_right_or_not() -> None:
    given = volumes(1, 5, 4, 6)
    crops = random_crop(given.expand(1200, -1, -1, -1, -1), streams(1200), (4, 4, 4))
    whole = {
        (z, x, mirrored): given[0, :, z : z + 4, :, x : x + 4].flip([3] if mirrored else [])
        for z in range(2)
        for x in range(3)
        for mirrored in (False, True)
    }
    found = Counter(next(name for name, one in whole.items() if torch.equal(one, crop)) for crop in crops)
    assert set(found) == set(whole)
    assert min(found.values()) > 60


def test_the_middle_is_cut_as_it_is() -> None:
    given = volumes(2, 9, 6, 5)
    assert torch.equal(middle(given, (4, 6, 2)), given[:, :, 2:6, :, 1:3])
    with pytest.raises(ValueError, match="cannot crop"):
        middle(given, (10, 6, 5))


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
        random_crop(volumes(1, 10, 10, 10), streams(1), (8, 8))
