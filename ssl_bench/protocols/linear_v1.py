"""linear-v1: the backbone is frozen, the head alone learns (GVSL section 4.1, supplement E.3.1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from ssl_bench.crops import CaseBatches
from ssl_bench.draws import numpy_generator
from ssl_bench.heads import Downstream
from ssl_bench.protocol import Batch, Protocol, ProtocolFacts, ProtocolSettings


class LinearV1Settings(ProtocolSettings):
    """The windows are fixed, so that their features are computed once."""

    windows_per_volume: PositiveInt


class LinearV1(Protocol):
    """The frozen backbone's features of fixed, seeded windows are computed once; the head learns from them.

    The fixed windows belong to the protocol: a window of whole-volume features is not the features of the window
    (GroupNorm and padding see its borders). Features are raw, as in the paper: what the head reaches depends on their
    scale too.
    """

    Settings = LinearV1Settings
    facts = ProtocolFacts(
        title="Linear: frozen backbone, the head alone learns",
        source="GVSL (CVPR 2023), section 4.1 and supplement E.3.1",
        frozen_backbone=True,
    )

    def prepare(
        self, model: Downstream, batches: CaseBatches, autocast: Callable[[Tensor], Tensor]
    ) -> tuple[nn.Module, Callable[[int], Batch]]:
        """The head, fed with stored features."""
        assert isinstance(self.settings, LinearV1Settings)
        # A classification case is read whole, so that one window holds all there is.
        windows = self.settings.windows_per_volume if model.kind == "segmentation" else 1
        generator = numpy_generator(self.seed, "linear-v1", "windows")
        features, targets = [], []
        with torch.no_grad():
            for _ in range(windows):
                for index in range(len(batches.cases)):
                    volumes, target = batches.read(np.array([index]), generator.random((1, 3)))
                    features.append(autocast(volumes).cpu())
                    targets.append(target)
        batch: int = getattr(self.settings.batch, model.kind)
        inputs, labels = torch.cat(features), torch.cat(targets)

        def draw(step: int) -> Batch:
            generator = numpy_generator(self.seed, "linear-v1", step)
            chosen = generator.choice(len(inputs), size=batch, replace=batch > len(inputs))
            return inputs[chosen], labels[chosen]

        return model.head, draw
