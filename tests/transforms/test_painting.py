from __future__ import annotations

import math

import pytest
import torch

from ssl_bench.transforms import painting
from ssl_bench.transforms.painting import (
    GVSL_IN_PAINTING,
    MODELS_GENESIS_IN_PAINTING,
    InPaintingSettings,
    block_mask,
    fill_with_noise,
    in_painting,
    in_painting_mask,
    out_painting,
    out_painting_mask,
)
from tests.transforms.support import assert_contract, streams, volumes

BOTH = pytest.mark.parametrize("settings", [GVSL_IN_PAINTING, MODELS_GENESIS_IN_PAINTING], ids=["gvsl", "genesis"])


@pytest.fixture
def boxes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.Tensor, ...]]:
    """Starts, sides and activity of the boxes of each call."""
    seen: list[tuple[torch.Tensor, ...]] = []
    original = painting.union_of_boxes

    def spy(starts, sides, size, active):
        seen.append((starts, sides, active))
        return original(starts, sides, size, active)

    monkeypatch.setattr(painting, "union_of_boxes", spy)
    return seen


@BOTH
@pytest.mark.parametrize("size", [(10, 11, 12), (32, 21, 40)])
def test_in_painting_keeps_the_contract_of_transforms(settings: InPaintingSettings, size: tuple[int, int, int]) -> None:
    assert_contract(lambda v, d: in_painting(v, d, settings), size)


@pytest.mark.parametrize("size", [(14, 15, 16), (32, 21, 40)])
def test_out_painting_keeps_the_contract_of_transforms(size: tuple[int, int, int]) -> None:
    assert_contract(out_painting, size)


@pytest.mark.parametrize(
    ("settings", "mean", "sides", "starts"),
    [
        (GVSL_IN_PAINTING, 14.92, (6, 11), (3, 60 - 6 - 4)),
        (MODELS_GENESIS_IN_PAINTING, 4.30, (10, 20), (3, 60 - 10 - 3)),
    ],
    ids=["gvsl", "genesis"],
)
def test_in_painting_draws_boxes_as_published(boxes, settings, mean, sides, starts) -> None:
    in_painting_mask((60, 60, 60), streams(800), settings)
    first, side, active = boxes[0]
    count = active.sum(1).float()
    assert count.mean().item() == pytest.approx(mean, rel=0.05)
    assert (count == 0).float().mean().item() == pytest.approx(0.05, abs=0.02)
    assert (side.min().item(), side.max().item()) == sides
    assert (first.min().item(), first.max().item()) == starts
    last = 60 - side - (4 if settings is GVSL_IN_PAINTING else 3)
    assert (first <= last).all()
    assert (first == last).any()


def test_out_painting_reveals_one_to_five_windows_as_published(boxes) -> None:
    out_painting_mask((70, 70, 70), streams(800))
    first, side, active = boxes[0]
    count = active.sum(1)
    assert count.min() == 1
    assert (count == 1).float().mean().item() == pytest.approx(0.05, abs=0.02)
    assert (count == 5).float().mean().item() == pytest.approx(0.95**4, abs=0.03)
    assert (side.min().item(), side.max().item()) == (30, 40)
    assert first.min() == 3
    assert (first + side).max() == 70 - 3


@BOTH
def test_the_mask_is_the_union_of_the_active_boxes(boxes, settings) -> None:
    size = (30, 24, 33)
    mask = in_painting_mask(size, streams(4), settings)
    starts, sides, active = boxes[0]
    for b in range(4):
        expected = torch.zeros(size, dtype=torch.bool)
        for (z, y, x), (dz, dy, dx), on in zip(starts[b], sides[b], active[b], strict=True):
            if on:
                expected[z : z + dz, y : y + dy, x : x + dx] = True
        assert torch.equal(mask[b, 0], expected)


@pytest.mark.parametrize(("size", "side"), [((32, 32, 32), 8), ((48, 20, 33), 12), ((16, 16, 16), 4)])
def test_blocks_cover_the_share_that_is_asked_for_and_at_most_one_block_more(
    size: tuple[int, int, int], side: int
) -> None:
    share = block_mask(size, streams(300), side, 0.25).float().mean((1, 2, 3, 4))
    assert share.min() >= 0.25
    assert share.max() <= 0.25 + side**3 / math.prod(size)


def test_blocks_are_whole_cells_of_a_grid_that_lies_anywhere() -> None:
    side, seen = 5, set()
    for mask in block_mask((20, 20, 20), streams(400), side, 0.3)[:, 0]:
        # Where along an axis the mask changes, a cell ends: modulo its side always at the same place.
        faces = [mask.movedim(axis, 0).flatten(1) for axis in range(3)]
        ends = [{(int(i) + 1) % side for i in (f[1:] != f[:-1]).any(1).nonzero()} for f in faces]
        assert all(len(end) == 1 for end in ends)
        seen |= {(axis, *end) for axis, end in enumerate(ends)}
    assert seen == {(axis, offset) for axis in range(3) for offset in range(side)}


def test_each_voxel_is_covered_equally_often() -> None:
    covered = block_mask((12, 12, 12), streams(3000), 4, 0.25).float().mean(0)
    assert covered.min() > 0.2
    assert covered.max() < 0.35


def test_noise_is_uniform_alike_in_all_channels_and_only_inside_the_mask() -> None:
    given = 2 + volumes(2, 20, 20, 20, channels=2)
    mask = volumes(2, 20, 20, 20) > 0.4
    filled = fill_with_noise(given, mask, streams(2))
    inside = mask.expand_as(given)
    assert torch.equal(filled[~inside], given[~inside])
    noise = filled[:, :1][mask]
    assert torch.equal(noise, filled[:, 1:][mask])
    assert noise.mean().item() == pytest.approx(0.5, abs=0.02)
    assert noise.std().item() == pytest.approx(12**-0.5, abs=0.02)


def test_volumes_too_small_for_boxes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 10 voxels"):
        in_painting(volumes(1, 9, 16, 16), streams(1), GVSL_IN_PAINTING)
    with pytest.raises(ValueError, match="at least 14 voxels"):
        out_painting(volumes(1, 13, 16, 16), streams(1))
