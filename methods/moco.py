"""MoCo: a query finds the key of its own volume, which a momentum encoder made, among keys of other volumes.

v2 (He et al., CVPR 2020; Chen et al., arXiv 2003.04297) keeps a queue of keys; v3 (Chen et al., ICCV 2021) contrasts
within the batch, both ways, behind a predictor.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts, Windows
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice, LogUniform
from ssl_bench.nn.distributed import gathered
from ssl_bench.nn.heads import InFloat32
from ssl_bench.nn.momentum import constant_momentum, encoder_of, follow, rising_momentum, still_copy
from ssl_bench.nn.queue import KeyQueue, info_nce
from ssl_bench.nn.transfer import moved
from ssl_bench.transforms.views import region_of_views, two_views, view_size


class MoCoConfig(MethodConfig):
    """Temperature and momenta of the papers; sizes of lightly's small-scale example."""

    variant: Literal["v2", "v3"] = "v2"
    temperature: Annotated[float, LogUniform(0.05, 1.0)] = Field(default=0.2, gt=0)
    queue: int = Field(default=4096, gt=0)
    """Keys that v2 keeps at most; it never looks at more than the corpus has volumes."""
    hidden: int = Field(default=512, gt=0)
    output: int = Field(default=128, gt=0)
    momentum: Annotated[float | None, Choice((0.9, 0.97, 0.99, 0.999)), Field(ge=0, le=1)] = None
    """The largest of v2, which stays, or where v3's starts to rise to 1; None for the papers' 0.999 and 0.99."""
    start_left: float = Field(default=0.01, gt=0, le=1)
    """Largest share of the key encoder's random start that may be left in it at the end; 1 keeps the momentum."""


class MoCo(Method):
    """Query encoder and head learn; key encoder and head follow; InfoNCE."""

    Config = MoCoConfig
    facts = MethodFacts(
        title="MoCo",
        paper="He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020; "
        "v3: Chen et al., An Empirical Study of Training Self-Supervised Vision Transformers, ICCV 2021",
        year=2020,
        version=1,
        paradigm="centroid-relative",
        pretrains="encoder",
        smallest_batch=8,
        trains_on=("noise", "gamma", "thickness", "rotation"),
    )

    def __init__(self, backbone: Backbone, config: MoCoConfig, crop: int) -> None:
        # Planning reads facts and options of a method alone, and this library takes seconds to import.
        from lightly.models.modules.heads import MoCoProjectionHead

        super().__init__(backbone, config, crop)
        self.options = config
        self.region = region_of_views(crop, backbone.stride)
        self.third = config.variant == "v3"
        channels, hidden, output = backbone.global_channels, config.hidden, config.output
        # v2's network normalises over the batch; this backbone does not, so that the head does.
        head = MoCoProjectionHead(channels, hidden, output, 3 if self.third else 2, batch_norm=True)
        self.projection = InFloat32(head)
        self.key_encoder = encoder_of(backbone)
        self.key_projection = still_copy(self.projection)
        if self.third:
            self.prediction = InFloat32(MoCoProjectionHead(output, hidden, output, 2, batch_norm=True))
        else:
            self.queue = KeyQueue(config.queue, output)
        self.chosen, self.corpus_size = torch.empty(0, dtype=torch.int64), 0
        """The volumes of the last batch, (B,), and how many there are."""
        self.newest: Tensor | None = None
        """Keys of the last batch, which join the queue after its step."""

    def choose_windows(self, corpus_size: int, batch: int, generator: np.random.Generator) -> Windows:
        """Different volumes at one place, as for every method; the queue has to know which."""
        windows = super().choose_windows(corpus_size, batch, generator)
        self.chosen, self.corpus_size = torch.from_numpy(windows.volumes), corpus_size
        return windows

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Contrast views of the `volumes` last chosen, (B, C, D, H, W)."""
        first, second = two_views(volumes, draws, view_size(self.crop, self.backbone.stride))
        if self.third:
            # The papers' factor 2 tau (v3, Algorithm 1) keeps the size of the gradient at any temperature.
            both = self.among_batch(first, second) + self.among_batch(second, first)
            return {"loss": 2 * self.options.temperature * both}
        queries, keys, chosen = self.queries(first), self.keys(second), moved(self.chosen, volumes.device)
        self.newest = keys
        negatives, theirs = self.queue.behind(keys, chosen, self.corpus_size)
        return {"loss": info_nce(queries, keys, chosen, negatives, theirs, self.options.temperature)}

    def held_out_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """The same among the held-out `volumes` alone: of v2, too, since its queue changes with the corpus."""
        if self.third:
            return self.training_step(volumes, draws)
        return {"loss": self.among_batch(*two_views(volumes, draws, view_size(self.crop, self.backbone.stride)))}

    def among_batch(self, first: Tensor, second: Tensor) -> Tensor:
        """InfoNCE of views `first` against the keys of `second`, other volumes of the batch being the negatives."""
        queries, keys = self.queries(first), self.keys(second)
        own = torch.arange(len(queries), device=queries.device)
        return info_nce(queries, keys, own, keys, own, self.options.temperature)

    def queries(self, views: Tensor) -> Tensor:
        """Views (b, C, d, h, w) -> queries (B, output) of unit length for the whole batch of all ranks."""
        projected: Tensor = self.projection(gathered(self.backbone.pool(views)))
        return F.normalize(self.prediction(projected) if self.third else projected, dim=1)

    @torch.no_grad()
    def keys(self, views: Tensor) -> Tensor:
        """Views (b, C, d, h, w) -> keys (B, output) of unit length, without gradient, for the whole batch."""
        return F.normalize(self.key_projection(gathered(self.key_encoder.pool(views))), dim=1)

    def after_step(self, step: int, steps: int) -> None:
        """The key encoder follows the query encoder; then the step's keys join the queue."""
        largest, start_left = self.options.momentum, self.options.start_left
        if self.third:
            momentum = rising_momentum(step, steps, 0.99 if largest is None else largest, start_left)
        else:
            momentum = constant_momentum(steps, 0.999 if largest is None else largest, start_left)
        follow(self.key_encoder, self.backbone, momentum)
        follow(self.key_projection, self.projection, momentum)
        if self.newest is not None:
            self.queue.add(self.newest, moved(self.chosen, self.newest.device))
            self.newest = None
