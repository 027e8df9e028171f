"""Views of a volume for contrastive methods: overlapping crops, mirrored, turned and changed in appearance.

The recipe is the 3D SimCLR of nnssl: two crops of one volume whose starts differ by at most half a side on each axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.nn.transfer import constant
from ssl_bench.transforms.appearance import random_appearance
from ssl_bench.transforms.boxes import uniform_integers


def two_views(volumes: Tensor, draws: Draws, size: Sequence[int], min_overlap: float = 0.5) -> tuple[Tensor, Tensor]:
    """Two independently augmented crops (B, C, *size) of `volumes` (B, C, D, H, W) in [0, 1]; both stay in [0, 1].

    The crops share at least the fraction `min_overlap` of each side and are never the same crop, unless there is but
    one. Raises ValueError where a crop does not fit.
    """
    _check_fits(volumes, size)
    first, second = _augmented(volumes, distinct_starts(volumes.shape[2:], size, draws, min_overlap), size, draws)
    return first, second


def small_views(volumes: Tensor, draws: Draws, size: Sequence[int], count: int) -> Tensor:
    """So many independently augmented crops (B, count, C, *size) from anywhere in `volumes` (B, C, D, H, W).

    The local views of multi-crop (Caron et al., NeurIPS 2020, section 3.2). Raises ValueError where they do not fit.
    """
    _check_fits(volumes, size)
    starts = uniform_integers(draws, 0, _last_start(volumes.shape[2:], size, draws) + 1, count, 3)
    return torch.stack(_augmented(volumes, starts, size, draws), dim=1)


def random_crop(volumes: Tensor, draws: Draws, size: Sequence[int]) -> Tensor:
    """A crop (B, C, *size) of `volumes` anywhere, mirrored left to right half of the time and otherwise unchanged."""
    _check_fits(volumes, size)
    starts = uniform_integers(draws, 0, _last_start(volumes.shape[2:], size, draws) + 1, 3).unsqueeze(1)
    sideways = draws.chance(0.5)
    still = torch.zeros_like(sideways)
    return _crops(volumes, starts, size, torch.stack([still, still, sideways], dim=1), still)


def middle(volumes: Tensor, size: Sequence[int]) -> Tensor:
    """The crop (B, C, *size) in the middle of `volumes` (B, C, D, H, W), unchanged."""
    _check_fits(volumes, size)
    for axis, (n, side) in enumerate(zip(volumes.shape[2:], size, strict=True), start=2):
        volumes = volumes.narrow(axis, (n - side) // 2, side)
    return volumes


def view_size(crop: int, stride: int) -> tuple[int, int, int]:
    """The size of contrastive views: three quarters of the crop in whole strides of the backbone (96 of 128 by 16).

    Never below 64 while the crop has them: smaller views of the coarse volumes of the small presets show places so
    different that what they share can hardly be learnt.
    """
    side = min(crop, max(64, int(0.75 * crop) // stride * stride))
    return side, side, side


def small_view_size(crop: int, stride: int) -> tuple[int, int, int]:
    """Half the side of `view_size` in whole strides, at least one: 48 of 96, 32 of 64, 16 of 48 and of 32 by 16."""
    side = min(view_size(crop, stride)[0], max(stride, view_size(crop, stride)[0] // 2 // stride * stride))
    return side, side, side


def region_of_views(crop: int, stride: int) -> int:
    """Side of the windows that views are taken out of: 4/3 of the view's, so that its place differs by up to a third.

    128 for views of 96 in a crop of 128; where the view is the whole crop, the window is larger than the crop.
    """
    return -(-4 * view_size(crop, stride)[0] // 3)


def distinct_starts(extent: Sequence[int], size: Sequence[int], draws: Draws, min_overlap: float) -> Tensor:
    """First voxels (B, 2, 3) of two crops of `size` in volumes of `extent` that share `min_overlap` of each side.

    The second is uniform over all others that do; it is the first again only where no other fits.
    """
    last = _last_start(extent, size, draws)
    reach = constant([int(side * (1 - min_overlap)) for side in size], draws.device)
    first = uniform_integers(draws, 0, last + 1, 3)
    low = (first - reach).clamp(min=0)
    places = (first + reach).minimum(last) - low + 1
    # All places in reach have numbers; those from the first's own on are moved up by one, which leaves it out.
    stride = torch.stack([places[:, 1] * places[:, 2], places[:, 2], torch.ones_like(places[:, 2])], dim=1)
    taken = ((first - low) * stride).sum(dim=1)
    drawn = uniform_integers(draws, 0, (places.prod(dim=1) - 1).clamp(min=1))
    drawn = torch.where(drawn >= taken, drawn + 1, drawn).minimum(places.prod(dim=1) - 1)
    second = low + drawn.unsqueeze(1) // stride % places
    return torch.stack([first, second], dim=1)


def _last_start(extent: Sequence[int], size: Sequence[int], draws: Draws) -> Tensor:
    """(3,): the last first voxel of a crop along each axis, where the draws are."""
    return constant([n - side for n, side in zip(extent, size, strict=True)], draws.device)


def _check_fits(volumes: Tensor, size: Sequence[int]) -> None:
    extent = volumes.shape[2:]
    if len(size) != 3 or any(side < 1 or side > n for side, n in zip(size, extent, strict=True)):
        raise ValueError(f"cannot crop {tuple(size)} from volumes of {tuple(extent)} voxels")


def _augmented(volumes: Tensor, starts: Tensor, size: Sequence[int], draws: Draws) -> tuple[Tensor, ...]:
    """For each of the V starts of a sample (B, V, 3) a view (B, C, *size)."""
    count = starts.shape[1]
    each = draws.repeated(count)
    views = random_appearance(_oriented_crops(volumes, starts, size, each), each)
    return views.view(-1, count, *views.shape[1:]).unbind(1)


def _oriented_crops(volumes: Tensor, starts: Tensor, size: Sequence[int], draws: Draws) -> Tensor:
    """Crops (B V, C, *size) at `starts` (B, V, 3) in a random orientation, read in one gather.

    Each axis is mirrored with probability one half. A quarter turn in the plane (H, W) together with the two mirrors of
    that plane makes the eight symmetries of a square equally likely, and so does a transposition, which stands for it
    here. It needs a square plane.
    """
    return _crops(volumes, starts, size, draws.chance(0.5, 3), draws.chance(0.5))


def _crops(volumes: Tensor, starts: Tensor, size: Sequence[int], mirrored: Tensor, transposed: Tensor) -> Tensor:
    """Crops (B V, C, *size) at `starts` (B, V, 3): axes `mirrored` (B V, 3) backwards, planes `transposed` (B V,)."""
    corners = starts.flatten(0, 1)
    z, y, x = (_positions(corners[:, axis], size[axis], mirrored[:, axis]) for axis in range(3))
    height, width = volumes.shape[3:]
    plane = y.unsqueeze(2) * width + x.unsqueeze(1)
    if size[1] == size[2]:
        plane = torch.where(transposed.view(-1, 1, 1), plane.mT, plane)
    source = (z.view(-1, size[0], 1, 1) * (height * width) + plane.unsqueeze(1)).reshape(len(volumes), 1, -1)
    channels = volumes.shape[1]
    crops = volumes.flatten(2).gather(2, source.expand(-1, channels, -1))
    return crops.view(-1, channels, starts.shape[1], *size).transpose(1, 2).flatten(0, 1)


def _positions(start: Tensor, side: int, mirrored: Tensor) -> Tensor:
    """Voxel indices along one axis of each crop, (B, side), backwards where `mirrored`."""
    index = torch.arange(side, device=start.device)
    return start.unsqueeze(1) + torch.where(mirrored.unsqueeze(1), side - 1 - index, index)
