"""Descriptors as unit vectors, whose products are cosines, and where their voxels lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.measurement import Descriptor
from ssl_bench.protocols.frozen.ensemble import Moments, Standardise, channel_moments

STANDARDISED_BY = 16
"""So many training cases give each channel's mean and deviation."""


class Level(NamedTuple):
    """One stage of a volume."""

    vectors: Tensor
    """(channels, d, h, w), of length one."""
    first: Tensor
    """(3,): where the middle of the first voxel lies, in voxels of the volume."""
    step: Tensor
    """(3,): from one voxel to the next, in voxels of the volume."""
    size: tuple[int, int, int]
    """(D, H, W) of the volume; what a stage covers beyond it is padding."""


class UnitVectors:
    """What a descriptor says of volumes, each channel standardised over training volumes, each vector of length one.

    A channel that does not vary is only centred; a vector without a length stays zero, and is like none.
    """

    def __init__(self, descriptor: Descriptor, train: Sequence[Case]) -> None:
        self._descriptor = descriptor
        self._train = train[:STANDARDISED_BY]

    def local(self, case: Case) -> Tensor:
        """(channels, D, H, W) of every voxel of `case`."""
        with torch.no_grad():
            return self._of_local(self._descriptor.local(volume_of(case)))[0]

    def levels(self, case: Case) -> list[Level]:
        """The stages of `case`, the coarsest first."""
        with torch.no_grad():
            stages = self._descriptor.stages(volume_of(case))
        extent = torch.tensor(stages[0].shape[2:])
        before = (extent - torch.tensor(case.size)).div(2, rounding_mode="floor")
        found = []
        for unit, stage in zip(self._of_stages, stages, strict=True):
            step = extent / torch.tensor(stage.shape[2:])
            found.append(Level(unit(stage)[0], (step - 1) / 2 - before, step, case.size))
        return found[::-1]

    def pooled(self, batches: Iterable[Tensor]) -> Tensor:
        """(N, channels) of N volumes, in `batches` (B, C, D, H, W), as they are."""
        with torch.no_grad():
            return torch.cat([self._descriptor.pooled(volumes).float().cpu() for volumes in batches])

    def standardised(self, pooled: Tensor, train: Tensor) -> Tensor:
        """`pooled` (N, channels) as unit vectors, standardised over pooled training volumes (M, channels)."""
        return self._fitted([channel_moments(train.T)])(pooled)

    @cached_property
    def _of_local(self) -> Callable[[Tensor], Tensor]:
        with torch.no_grad():
            return self._fitted([channel_moments(self._descriptor.local(volume_of(case))[0]) for case in self._train])

    @cached_property
    def _of_stages(self) -> list[Callable[[Tensor], Tensor]]:
        with torch.no_grad():
            # Moments, not stages: those of many cases need not be held together.
            moments = [
                [channel_moments(stage[0]) for stage in self._descriptor.stages(volume_of(case))]
                for case in self._train
            ]
        return [self._fitted(of_stage) for of_stage in zip(*moments, strict=True)]

    def _fitted(self, moments: Sequence[Moments]) -> Callable[[Tensor], Tensor]:
        """From vectors (B, channels, ...) to unit vectors; `moments` are those of training windows."""
        if not self._descriptor.standardise:
            return _unit
        standardise = Standardise(len(moments[0].mean)).to(moments[0].mean.device)
        standardise.fit_moments(moments)
        return lambda vectors: _unit(standardise(vectors))


def volume_of(case: Case) -> Tensor:
    """(1, C, D, H, W), float32, on the CPU."""
    return torch.from_numpy(np.array(case.channels, dtype=np.float32))[None]


def _unit(vectors: Tensor) -> Tensor:
    """(B, channels, ...), each of length one; on the CPU, where whatever follows is done in the same order."""
    return F.normalize(vectors.float(), dim=1).cpu()
