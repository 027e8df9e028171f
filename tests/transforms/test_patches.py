"""Which patches are hidden, and what is computed of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.transforms.patches import coarsest_patch, hidden_patches, mean_where, normalised_patches, spread

SIZE = (8, 6, 10)


def draws(batch: int) -> Draws:
    return Draws.keyed("patches", samples=range(batch))


def cells(values: np.ndarray, side: int) -> list[np.ndarray]:
    """The patches of a volume (D, H, W)."""
    starts = [range(0, length, side) for length in values.shape]
    return [values[z : z + side, y : y + side, x : x + side] for z in starts[0] for y in starts[1] for x in starts[2]]


@pytest.mark.parametrize(("share", "count"), [(0.5, 30), (0.75, 45), (0.001, 1), (0.999, 59)])
def test_so_many_whole_patches_are_hidden_in_every_volume(share: float, count: int) -> None:
    hidden = hidden_patches(SIZE, draws(5), 2, share)
    assert hidden.shape == (5, 1, *SIZE)
    for volume in hidden[:, 0].numpy():
        found = cells(volume, 2)
        assert len(found) == 60
        assert all(cell.all() or not cell.any() for cell in found)
        assert sum(cell.all() for cell in found) == count
    assert len({volume.numpy().tobytes() for volume in hidden}) > 1


def test_every_patch_is_hidden_as_often_as_another() -> None:
    hidden = hidden_patches((4, 4, 4), draws(4000), 2, 0.25)[:, 0, ::2, ::2, ::2].flatten(1)
    assert (hidden.sum(1) == 2).all()
    assert (hidden.float().mean(0) - 0.25).abs().max() < 0.03


def test_a_volume_of_one_patch_has_nothing_to_hide() -> None:
    with pytest.raises(ValueError, match="is one patch of 8"):
        hidden_patches((8, 8, 8), draws(1), 8, 0.5)


def test_each_patch_and_channel_is_normalised_by_itself() -> None:
    volumes = torch.rand(2, 2, 5, 4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    volumes[0, 0, :3, :3, :3] = 0.7  # without contrast
    found = normalised_patches(volumes, 3)
    for given, made in zip(volumes.flatten(0, 1).numpy(), found.flatten(0, 1).numpy(), strict=True):
        for before, after in zip(cells(given, 3), cells(made, 3), strict=True):
            expected = (before - before.mean()) / np.sqrt(before.var() + 1e-6)
            np.testing.assert_allclose(after, expected, atol=1e-9)


def test_what_is_said_of_patches_holds_in_their_voxels() -> None:
    patches = torch.arange(8.0).view(1, 1, 2, 2, 2)
    found = spread(patches, (4, 3, 4), 2)[0, 0]
    assert found.shape == (4, 3, 4)
    assert all(found[z, y, x] == 4 * (z // 2) + 2 * (y // 2) + x // 2 for z, y, x in np.ndindex(4, 3, 4))


def test_volumes_with_more_inside_weigh_no_more() -> None:
    mask = torch.zeros(2, 1, 2, 2, 2, dtype=torch.bool)
    mask[0, 0, 0], mask[1, 0, 0, 0, 0] = True, True
    values = torch.full((2, 3, 2, 2, 2), 100.0)
    values[0, :, 0], values[1, :, 0, 0, 0] = 2.0, torch.tensor([3.0, 4.0, 5.0])
    assert mean_where(mask, values) == pytest.approx((2 + 4) / 2)


@pytest.mark.parametrize(("crop", "side"), [(128, 16), (48, 16), (32, 16), (24, 12), (16, 8)])
def test_a_patch_is_a_voxel_of_the_coarsest_features_while_there_are_two(crop: int, side: int) -> None:
    assert coarsest_patch(crop, 16) == side
    hidden: Tensor = hidden_patches((crop,) * 3, draws(1), side, 0.6)
    assert 0 < hidden.float().mean() < 1
