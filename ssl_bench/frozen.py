"""Features of a frozen backbone, computed once for fixed windows and drawn from afterwards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ssl_bench.crops import CaseBatches

Features = tuple[Tensor, ...]


class FrozenFeatures:
    """What a head reads of fixed, seeded windows of the training cases, kept in memory on the CPU.

    The fixed windows belong to the protocol: a window of whole-volume features is not the features of the window
    (GroupNorm and padding see its borders).
    """

    def __init__(
        self,
        batches: CaseBatches,
        windows_per_volume: int,
        generator: np.random.Generator,
        features: Callable[[Tensor], Features],
    ) -> None:
        """`features` maps volumes (1, 1, D, H, W) to tensors (1, ...), one for each input of the head."""
        stored: list[Features] = []
        targets = []
        with torch.no_grad():
            for _ in range(1 if batches.whole else windows_per_volume):
                for index in range(len(batches.cases)):
                    volumes, target = batches.read(np.array([index]), generator.random((1, 3)))
                    stored.append(tuple(feature.cpu() for feature in features(volumes)))
                    targets.append(target)
        self.inputs = tuple(torch.cat(windows) for windows in zip(*stored, strict=True))
        self.targets = torch.cat(targets)

    def draw(self, batch: int, generator: np.random.Generator) -> tuple[Features, Tensor]:
        """A random batch: different windows where there are enough."""
        count = len(self.targets)
        chosen = generator.choice(count, size=batch, replace=batch > count)
        return tuple(feature[chosen] for feature in self.inputs), self.targets[chosen]
