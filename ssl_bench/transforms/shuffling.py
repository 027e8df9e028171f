"""Local shuffling: permute the voxels inside many small blocks (Models Genesis, GVSL supplement C).

Every block reads the untouched volume and a later block overwrites an earlier one, so a voxel's value depends only on
the last block that covers it. That block is found for all voxels at once: a scatter takes the maximum of codes that
carry the block's number in the high bits and, in the low bits, where the table of permutations says what to read.

The number of blocks is given for a reference volume and scaled so that blocks cover the same fraction of any volume.
A block's side is never forced to one voxel: n // 20 would be 1, and shuffle nothing, below 40 voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.transforms.boxes import random_starts

BLOCKS_PER_PERMUTATION = 8


@dataclass(frozen=True)
class ShufflingSettings:
    """How many blocks are shuffled, and their sides."""

    blocks: int
    """The number of blocks in a volume of `reference_size`."""
    reference_size: tuple[int, int, int]
    divisor: int
    """On an axis of n voxels, the side of a block is max(2, n // divisor)."""
    varied: bool
    """If true, the side is instead uniform on 1 to that number for each block and axis, and blocks may start at the
    last place at which they fit."""


GVSL_SHUFFLING = ShufflingSettings(blocks=5000, reference_size=(128, 128, 128), divisor=20, varied=False)
"""Equal blocks with one permutation for all blocks of a volume."""
MODELS_GENESIS_SHUFFLING = ShufflingSettings(blocks=10000, reference_size=(64, 64, 32), divisor=10, varied=True)
"""Blocks of all shapes. Each has a uniformly random permutation; as a simplification about eight blocks of one shape
share it, and permutations of different shapes derive from one random order."""


def local_shuffling(
    volumes: Tensor, draws: Draws, settings: ShufflingSettings = GVSL_SHUFFLING, probability: float = 1.0
) -> Tensor:
    """Shuffle random blocks of `volumes` (B, C, D, H, W), all channels alike; each sample with `probability`.

    Raises ValueError on an axis of less than 4 voxels.
    """
    size = volumes.shape[2:]
    if min(size) < 4:
        raise ValueError(f"local shuffling needs at least 4 voxels along each axis, not {tuple(size)}")
    limits = _side_limits(size, settings)
    shapes = _block_shapes(limits, volumes.device)
    blocks = number_of_blocks(size, settings)
    shape = draws.integers(0, len(shapes), blocks)
    starts = random_starts(shapes[shape], size, draws, inclusive=settings.varied)
    per_sample = max(1, blocks // (BLOCKS_PER_PERMUTATION * len(shapes))) if settings.varied else 1
    permutation = draws.integers(0, per_sample, blocks)
    offsets, moves = _block_tables(shapes, limits, size, draws, per_sample)
    source = _sources(volumes, shapes, shape, starts, permutation, draws.chance(probability), offsets, moves)
    flat = volumes.transpose(0, 1).flatten(1)
    shuffled = torch.stack([channel.index_select(0, source) for channel in flat])
    return shuffled.view(len(flat), -1, *size).transpose(0, 1)


def number_of_blocks(size: Sequence[int], settings: ShufflingSettings) -> int:
    """Blocks in a volume of `size`, so that their total volume is the same multiple of it as in the reference."""
    reference = settings.reference_size
    density = settings.blocks * _mean_volume(reference, settings) / _voxels(reference)
    return round(density * _voxels(size) / _mean_volume(size, settings))


def _mean_volume(size: Sequence[int], settings: ShufflingSettings) -> float:
    mean = 1.0
    for low, high in _side_limits(size, settings):
        mean *= (low + high) / 2
    return mean


def _voxels(size: Sequence[int]) -> int:
    depth, height, width = size
    return depth * height * width


def _side_limits(size: Sequence[int], settings: ShufflingSettings) -> list[tuple[int, int]]:
    largest = [max(2, n // settings.divisor) for n in size]
    return [(1 if settings.varied else side, side) for side in largest]


def _block_shapes(limits: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
    """All shapes that a block can take, equally likely, (T, 3)."""
    return torch.cartesian_prod(*(torch.arange(low, high + 1, device=device) for low, high in limits))


def _block_tables(
    shapes: Tensor, limits: Sequence[tuple[int, int]], size: Sequence[int], draws: Draws, per_sample: int
) -> tuple[Tensor, Tensor]:
    """For each shape its S voxels in a row: their offsets from the block's start, and the moves of each permutation.

    Offsets (S,) and moves (B * per_sample * S,) are steps in the flattened volume. The entries below P of one random
    order of 0..M-1, kept in their order, are a uniformly random permutation of P.
    """
    counts = shapes.prod(dim=1)
    largest = _voxels([high for _, high in limits])
    entries = _voxels([sum(range(low, high + 1)) for low, high in limits])
    position = torch.arange(largest, device=shapes.device)
    _, rows, columns = shapes.unsqueeze(-1).unbind(1)
    offset = (position // (rows * columns) * size[1] + position // columns % rows) * size[2] + position % columns
    orders = torch.stack([draws.permutation(largest) for _ in range(per_sample)], dim=1).flatten(0, 1)
    inside = orders.unsqueeze(1) < counts.unsqueeze(-1)
    sources = offset.expand(len(orders), -1, -1).gather(2, orders.unsqueeze(1).expand(inside.shape))
    offsets = _kept(offset, position < counts.unsqueeze(-1), entries)
    return offsets, _kept(sources, inside, entries * len(orders)) - offsets.repeat(len(orders))


def _kept(values: Tensor, kept: Tensor, count: int) -> Tensor:
    """The `count` of `values` that are `kept`, in order; an index by `kept` would wait for the GPU to count them."""
    flat = kept.flatten()
    place = torch.where(flat, flat.cumsum(0) - 1, count)
    return values.new_empty(count + 1).scatter_(0, place, values.flatten())[:count]


def _sources(
    volumes: Tensor,
    shapes: Tensor,
    shape: Tensor,
    starts: Tensor,
    permutation: Tensor,
    shuffled: Tensor,
    offsets: Tensor,
    moves: Tensor,
) -> Tensor:
    """Where each voxel of the flattened batch reads, (B * D * H * W,)."""
    batch, _, depth, height, width = volumes.shape
    voxels = depth * height * width
    sample = torch.arange(batch, device=volumes.device).unsqueeze(1)
    start = ((starts[..., 0] * height + starts[..., 1]) * width + starts[..., 2] + sample * voxels).flatten()
    per_sample = len(moves) // (batch * len(offsets))
    first_move = ((sample * per_sample + permutation) * len(offsets)).flatten()
    bits = len(moves).bit_length()
    # Half the memory traffic, which is what limits the speed, wherever the codes fit.
    dtype = torch.int32 if max(len(start) << bits, batch * voxels) < 2**31 else torch.int64
    label = (torch.arange(len(start), device=volumes.device) << bits) + first_move
    # Whatever is added, no code of a sample that stays as it is gets above the -1 of a voxel in no block.
    label = label.where(shuffled.repeat_interleave(permutation.shape[1]), -1 << bits).to(dtype)

    destination, code = _covered(start, label, shape.flatten(), shapes.prod(dim=1), offsets)
    last = torch.full((batch * voxels,), -1, dtype=dtype, device=volumes.device).scatter_reduce_(
        0, destination, code, "amax"
    )
    # A voxel in no block still holds -1, whose low bits point at the zeros behind the last move.
    low_bits = (1 << bits) - 1
    moves = F.pad(moves, (0, low_bits + 1 - len(moves))).to(dtype)
    moved = moves.index_select(0, last.bitwise_and_(low_bits))
    return moved.add_(torch.arange(batch * voxels, dtype=dtype, device=volumes.device))


def _covered(
    start: Tensor, label: Tensor, shape: Tensor, shape_counts: Tensor, offsets: Tensor
) -> tuple[Tensor, Tensor]:
    """Every voxel of every block in one row: its place in the flattened batch, and its code."""
    if len(shape_counts) == 1:
        entry = torch.arange(len(offsets), dtype=label.dtype, device=start.device)
        return (start.unsqueeze(1) + offsets).flatten(), (label.unsqueeze(1) + entry).flatten()
    first_offset = (shape_counts.cumsum(0) - shape_counts)[shape]
    counts = shape_counts[shape]
    # This waits for a GPU: only it knows how many voxels the random blocks have together.
    block = torch.repeat_interleave(counts)
    first_entry = first_offset - (counts.cumsum(0) - counts)
    entry = torch.arange(len(block), device=start.device).add_(first_entry.index_select(0, block))
    destination = offsets.index_select(0, entry).add_(start.index_select(0, block))
    return destination, label.index_select(0, block).add_(entry)
