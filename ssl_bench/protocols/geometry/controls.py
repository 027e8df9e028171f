"""Descriptors without a network: what position, raw intensities and a hand-made descriptor reach by themselves."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.controls import Control
from ssl_bench.api.measurement import Descriptor

PATCH = 5
"""Voxels a side."""
LEVELS = 5
"""Stages, each of half the extent of the one before, as far as the volume has the voxels."""


def control_descriptor(control: Control) -> Descriptor | None:
    """What `control` describes voxels by; None for `identity` and `truth`, which need no features."""
    found: dict[str, type[HandMade]] = {"position": Position, "patches": Patches, "mind": Mind}
    return found[control]() if control in found else None


class HandMade:
    """A descriptor of voxels, whose stages are means over blocks and whose pooled vector is the mean of all."""

    standardise = True

    def local(self, volume: Tensor) -> Tensor:
        """See `Descriptor`."""
        raise NotImplementedError

    def stages(self, volume: Tensor) -> list[Tensor]:
        """See `Descriptor`: `LEVELS` of them; the border is repeated up to what the last one divides."""
        step = 2 ** (LEVELS - 1)
        around = [(-size % step // 2, -size % step - -size % step // 2) for size in reversed(volume.shape[2:])]
        local = F.pad(self.local(volume), [end for both in around for end in both], mode="replicate")
        return [F.avg_pool3d(local, 2**level) for level in range(LEVELS)]

    def pooled(self, volumes: Tensor) -> Tensor:
        """See `Descriptor`."""
        return torch.cat([self.local(volume[None]).mean((2, 3, 4)) for volume in volumes])


class Position(HandMade):
    """The relative place in the volume alone: the cosine falls with the distance along each axis.

    Each axis is half a turn of a circle, so that the nearest vector is that of the nearest place.
    """

    standardise = False

    def local(self, volume: Tensor) -> Tensor:
        """(1, C, D, H, W) -> (1, 6, D, H, W)."""
        angles = [math.pi * (torch.arange(size, device=volume.device) + 0.5) / size for size in volume.shape[2:]]
        grid = torch.stack(torch.meshgrid(*angles, indexing="ij"))
        return torch.cat([grid.cos(), grid.sin()])[None]


class Patches(HandMade):
    """The raw intensities around a voxel."""

    def local(self, volume: Tensor) -> Tensor:
        """(1, C, D, H, W) -> (1, C * PATCH^3, D, H, W)."""
        reach = PATCH // 2
        padded = F.pad(volume.float(), [reach] * 6, mode="replicate")
        windows = padded.unfold(2, PATCH, 1).unfold(3, PATCH, 1).unfold(4, PATCH, 1)
        return windows.permute(0, 1, 5, 6, 7, 2, 3, 4).flatten(1, 4)


class Mind(HandMade):
    """MIND-SSC, the self-similarity context (Heinrich et al., MICCAI 2013, section 2, Eqs. 1 to 3).

    Of the six neighbours of a voxel all twelve pairs that are not opposite are compared: their patches' squared
    distance D, over its mean V over the pairs, becomes exp(-D / V). Several channels are described one by one.
    """

    def local(self, volume: Tensor) -> Tensor:
        """(1, C, D, H, W) -> (1, C * 12, D, H, W)."""
        return torch.cat([_self_similarity(channel[None, None].float()) for channel in volume[0]], dim=1)


_NEIGHBOURS = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
_PAIRS = [
    (a, b) for at, a in enumerate(_NEIGHBOURS) for b in _NEIGHBOURS[at + 1 :] if any(map(sum, zip(a, b, strict=True)))
]
_RADIUS = 1
"""Of the patches whose distance is taken."""


def _self_similarity(volume: Tensor) -> Tensor:
    """(1, 1, D, H, W) -> (1, 12, D, H, W), the most similar pair of each voxel at 1."""
    depth, height, width = volume.shape[2:]
    padded = F.pad(volume, [1] * 6, mode="replicate")
    shifted = {
        (z, y, x): padded[:, :, 1 + z : 1 + z + depth, 1 + y : 1 + y + height, 1 + x : 1 + x + width]
        for z, y, x in _NEIGHBOURS
    }
    squares = torch.cat([(shifted[a] - shifted[b]).square() for a, b in _PAIRS], dim=1)
    side = 2 * _RADIUS + 1
    distance = F.avg_pool3d(F.pad(squares, [_RADIUS] * 6, mode="replicate"), side, stride=1)
    distance = distance - distance.amin(1, keepdim=True)
    variance = distance.mean(1, keepdim=True)
    # Where nothing varies, as in air, noise is not to be blown up: a thousandth of the volume's own mean is the least.
    variance = variance.clamp(min=float(variance.mean()) * 1e-3 + torch.finfo().tiny)
    return torch.exp(-distance / variance)
