"""The contract of a downstream network: a backbone and the head that a protocol reads it by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.kinds import Kind as Kind
from ssl_bench.api.kinds import outputs


class Downstream(nn.Module, ABC):
    """A backbone and a head on its features.

    It gives logits: (B, 1 + classes, D, H, W) of a segmentation, sparse or not, (B, regions, D, H, W) of regions, (B,)
    of a classification, (B, classes) of several; of a regression (B,) numbers in standard deviations of the training
    targets from their mean.
    """

    head: nn.Module

    def __init__(self, backbone: Backbone, kind: Kind, classes: int) -> None:
        """`classes` counts `TaskFacts.classes`."""
        super().__init__()
        self.backbone = backbone
        self.kind = kind
        self.outputs = outputs(kind, classes)
        self.head = self.make_head(classes)

    @abstractmethod
    def make_head(self, classes: int) -> nn.Module:
        """The layers that map `features` to logits."""

    @abstractmethod
    def features(self, volumes: Tensor) -> tuple[Tensor, ...]:
        """(B, 1, D, H, W) -> what the head reads."""

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> logits."""
        logits: Tensor = self.head(*self.features(volumes))
        return logits

    def probabilities(self, volumes: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> float32 probabilities in the shape of the logits; of a regression those numbers."""
        return self.read(self.features(volumes))

    def read(self, features: Sequence[Tensor]) -> Tensor:
        """What `features` gave -> probabilities."""
        # The softmax would make a copy of its own of logits that lie channels last.
        logits: Tensor = self.head(*features).to(torch.float32, memory_format=torch.contiguous_format)
        if self.kind in ("segmentation", "sparse segmentation", "multi-class"):
            return logits.softmax(dim=1)
        return logits if self.kind == "regression" else logits.sigmoid()
