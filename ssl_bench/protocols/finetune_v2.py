"""finetune-v2: head and backbone learn together until validation has stopped to gain.

Against `finetune-v1` no class is dropped for good, the learning rate is looked for, and what is tested is an average of
weights from a training that validation ended, not the last step of a short schedule.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.downstream import Downstream, Kind
from ssl_bench.api.protocol import Batch, CaseBatches, Protocol, ProtocolFacts, SearchSettings, Training
from ssl_bench.api.rng import numpy_generator
from ssl_bench.nn.heads import PaperDownstream
from ssl_bench.nn.losses import DICE_CROSS_ENTROPY_LOSSES


class FinetuneV2(Protocol):
    """All weights learn; each step draws fresh random windows."""

    Settings = SearchSettings
    facts = ProtocolFacts(
        title="Fine-tuning: all weights learn, until validation has stopped to gain",
        source="ssl-bench; the head of GVSL (CVPR 2023), section 4.1",
        frozen_backbone=False,
    )

    def build(self, backbone: Backbone, kind: Kind, classes: int) -> Downstream:
        """The backbone and the paper's head."""
        return PaperDownstream(backbone, kind, classes)

    def prepare(
        self, model: Downstream, batches: CaseBatches, features: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> Training:
        """The whole model, fed with windows of the training volumes."""
        assert isinstance(self.settings, SearchSettings)
        batch = self.settings.batch.of(model.kind)

        def draw(step: int) -> Batch:
            volumes, targets = batches.draw(batch, numpy_generator(self.seed, "finetune-v2", step))
            return (volumes,), targets

        loss = DICE_CROSS_ENTROPY_LOSSES[model.kind]
        return Training(model, draw, self.settings.optimisers(), loss, self.settings.search())
