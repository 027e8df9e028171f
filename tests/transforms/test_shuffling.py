from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ssl_bench.transforms import shuffling
from ssl_bench.transforms.shuffling import (
    GVSL_SHUFFLING,
    MODELS_GENESIS_SHUFFLING,
    ShufflingSettings,
    local_shuffling,
    number_of_blocks,
)
from tests.transforms.support import assert_contract, streams, volumes

BOTH = pytest.mark.parametrize("settings", [GVSL_SHUFFLING, MODELS_GENESIS_SHUFFLING], ids=["gvsl", "genesis"])


def drawn_blocks(
    size: tuple[int, int, int], settings: ShufflingSettings, monkeypatch: pytest.MonkeyPatch, batch: int = 2
):
    """Starts and sides of the blocks that a call draws, and its input and output."""
    seen = []
    original = shuffling.random_starts

    def spy(sides, *arguments, **options):
        starts = original(sides, *arguments, **options)
        seen.append((starts, sides))
        return starts

    monkeypatch.setattr(shuffling, "random_starts", spy)
    given = volumes(batch, *size)
    shuffled = local_shuffling(given, streams(batch), settings)
    starts, sides = seen[0]
    return given, shuffled, starts, sides


@BOTH
@pytest.mark.parametrize("size", [(16, 16, 16), (21, 32, 26), (48, 40, 44)])
def test_shuffling_keeps_the_contract_of_transforms(settings: ShufflingSettings, size: tuple[int, int, int]) -> None:
    assert_contract(lambda v, d: local_shuffling(v, d, settings), size)


def test_block_counts_are_the_published_ones_at_the_published_sizes() -> None:
    assert number_of_blocks((128, 128, 128), GVSL_SHUFFLING) == 5000
    assert number_of_blocks((64, 64, 32), MODELS_GENESIS_SHUFFLING) == 10000


def test_blocks_cover_the_same_multiple_of_smaller_volumes() -> None:
    density = 5000 * 6**3 / 128**3
    assert number_of_blocks((48, 48, 48), GVSL_SHUFFLING) * 2**3 / 48**3 == pytest.approx(density, rel=1e-3)
    assert number_of_blocks((60, 80, 48), GVSL_SHUFFLING) * 3 * 4 * 2 / (60 * 80 * 48) == pytest.approx(
        density, rel=1e-3
    )


def test_gvsl_blocks_are_a_twentieth_of_the_axis_and_at_least_two_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, starts, sides = drawn_blocks((100, 32, 48), GVSL_SHUFFLING, monkeypatch)
    assert (sides == torch.tensor([5, 2, 2])).all()
    assert starts.amin(dim=(0, 1)).tolist() == [0, 0, 0]
    assert starts.amax(dim=(0, 1)).tolist() == [94, 29, 45]  # the last start is left out


def test_genesis_sides_are_uniform_up_to_a_tenth_and_reach_the_last_start(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, starts, sides = drawn_blocks((50, 16, 30), MODELS_GENESIS_SHUFFLING, monkeypatch)
    for axis, largest in enumerate((5, 2, 3)):
        share = torch.bincount(sides[..., axis].flatten())[1:] / sides[..., axis].numel()
        assert len(share) == largest
        assert (share - 1 / largest).abs().max() < 0.03
    assert ((starts + sides).amax(dim=(0, 1)) == torch.tensor([50, 16, 30])).all()


@BOTH
def test_a_single_block_keeps_its_multiset_and_the_rest_is_untouched(
    settings: ShufflingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (64, 64, 32)
    single = replace(settings, blocks=1, reference_size=size)
    assert number_of_blocks(size, single) == 1
    given, shuffled, starts, sides = drawn_blocks(size, single, monkeypatch, batch=8)
    moved = 0
    for b in range(8):
        (z, y, x), (dz, dy, dx) = starts[b, 0], sides[b, 0]
        block = (b, 0, slice(z, z + dz), slice(y, y + dy), slice(x, x + dx))
        assert torch.equal(shuffled[block].flatten().sort().values, given[block].flatten().sort().values)
        moved += int((shuffled[block] != given[block]).sum())
        shuffled[block] = given[block]
    assert moved > 0
    assert torch.equal(shuffled, given)


def test_gvsl_equals_writing_blocks_one_after_another_with_one_permutation(monkeypatch: pytest.MonkeyPatch) -> None:
    permutations = []
    original = shuffling.Draws.permutation
    monkeypatch.setattr(
        shuffling.Draws, "permutation", lambda *a: permutations.append(original(*a)) or permutations[-1]
    )
    given, shuffled, starts, sides = drawn_blocks((60, 40, 48), GVSL_SHUFFLING, monkeypatch)
    for b in range(2):
        assert np.array_equal(block_by_block(given[b, 0], starts[b], sides[b], permutations[0][b]), shuffled[b, 0])


def test_genesis_voxels_come_from_the_last_block_that_covers_them(monkeypatch: pytest.MonkeyPatch) -> None:
    given, shuffled, starts, sides = drawn_blocks((20, 22, 30), MODELS_GENESIS_SHUFFLING, monkeypatch, batch=1)
    flat = {value: index for index, value in enumerate(given.flatten().tolist())}
    owner = np.full(given.shape[2:], -1)
    for k, ((z, y, x), (dz, dy, dx)) in enumerate(zip(starts[0].tolist(), sides[0].tolist(), strict=True)):
        owner[z : z + dz, y : y + dy, x : x + dx] = k
    for place in np.ndindex(*owner.shape):
        source = np.unravel_index(flat[shuffled[0, 0][place].item()], owner.shape)
        if owner[place] < 0:
            assert source == place
        else:
            start, side = starts[0, owner[place]].numpy(), sides[0, owner[place]].numpy()
            assert (source >= start).all()
            assert (source < start + side).all()


def test_a_genesis_block_stays_as_it_is_as_often_as_a_uniform_permutation_says() -> None:
    size = (20, 4, 4)
    single = ShufflingSettings(blocks=1, reference_size=size, divisor=100, varied=True)
    given = volumes(2400, *size)
    changed = (local_shuffling(given, streams(2400), single) != given).flatten(1).sum(1)
    # Blocks hold 1, 2, 4 or 8 voxels in 1, 3, 3 and 1 of 8 shapes.
    still = (1 + 3 / 2 + 3 / 24 + 1 / 40320) / 8
    assert (changed == 0).float().mean().item() == pytest.approx(still, abs=0.03)
    pairs = (3 / 2 + 3 * 6 / 24 + 28 / 40320) / 8
    assert (changed == 2).float().mean().item() == pytest.approx(pairs, abs=0.03)


def test_channels_move_together() -> None:
    single = volumes(2, 20, 20, 20)
    double = local_shuffling(torch.cat([single, 1 - single], dim=1), streams(2))
    torch.testing.assert_close(double[:, 0], 1 - double[:, 1])
    assert torch.equal(double[:, :1], local_shuffling(single, streams(2)))


def test_a_volume_too_small_for_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 voxels"):
        local_shuffling(volumes(1, 3, 8, 8), streams(1))


def block_by_block(image, starts, sides, permutation):
    image = image.numpy()
    out = image.copy()
    for (z, y, x), (dz, dy, dx) in zip(starts.tolist(), sides.tolist(), strict=True):
        block = image[z : z + dz, y : y + dy, x : x + dx]
        out[z : z + dz, y : y + dy, x : x + dx] = block.flatten()[permutation.numpy()].reshape(block.shape)
    return out
