"""finetune-v1: head and backbone learn together (GVSL section 4.1, supplement E.3.2)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.downstream import Downstream, Kind
from ssl_bench.api.protocol import Batch, CaseBatches, Protocol, ProtocolFacts, Training
from ssl_bench.api.rng import numpy_generator
from ssl_bench.nn.heads import PaperDownstream
from ssl_bench.nn.losses import PAPER_LOSSES


class FinetuneV1(Protocol):
    """All weights learn; each step draws fresh random windows."""

    facts = ProtocolFacts(
        title="Fine-tuning: all weights learn",
        source="GVSL (CVPR 2023), section 4.1 and supplement E.3.2",
        frozen_backbone=False,
    )

    def build(self, backbone: Backbone, kind: Kind, classes: int) -> Downstream:
        """The backbone and the paper's head."""
        return PaperDownstream(backbone, kind, classes)

    def prepare(
        self, model: Downstream, batches: CaseBatches, features: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> Training:
        """The whole model, fed with windows of the training volumes."""
        batch = self.settings.batch.of(model.kind)

        def draw(step: int) -> Batch:
            volumes, targets = batches.draw(batch, numpy_generator(self.seed, "finetune-v1", step))
            return (volumes,), targets

        return Training(model, draw, (self.settings.optimiser,), PAPER_LOSSES[model.kind])
