"""Dense contrast: every place of one view finds its match in the other, among other volumes and among clusters.

The correspondence is DenseCL's (Wang et al., CVPR 2021). Dense semantic contrast (Li et al., ACM MM 2021) adds classes
of places, found by clustering over the volumes of a batch.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

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
from ssl_bench.nn.momentum import constant_momentum, encoder_of, follow, still_copy
from ssl_bench.nn.queue import KeyQueue, info_nce
from ssl_bench.nn.transfer import moved
from ssl_bench.transforms.views import region_of_views, two_views, view_size

ITERATIONS = 10
"""Of k-means in each step."""


class DenseContrastConfig(MethodConfig):
    """Temperature, momentum and weights of DenseCL; sizes of lightly's small-scale example of MoCo."""

    temperature: Annotated[float, LogUniform(0.05, 1.0)] = Field(default=0.2, gt=0)
    dense_share: float = Field(default=0.5, ge=0, le=1)
    """Lambda of DenseCL's Eq. 3: of the loss of places; the rest is that of whole views."""
    semantic_weight: Annotated[float, Choice((0.0, 0.1, 0.5))] = Field(default=0.5, ge=0)
    """Of the loss of clusters; 0 is DenseCL alone."""
    clusters: int = Field(default=8, gt=1)
    queue: int = Field(default=4096, gt=0)
    """Keys kept at most; it never looks at more than the corpus has volumes."""
    hidden: int = Field(default=512, gt=0)
    output: int = Field(default=128, gt=0)
    momentum: Annotated[float, Choice((0.9, 0.97, 0.99, 0.999))] = Field(default=0.999, ge=0, le=1)
    start_left: float = Field(default=0.01, gt=0, le=1)
    """Largest share of the key encoder's random start that may be left in it at the end; 1 keeps `momentum`."""


class Projected(NamedTuple):
    """What a network makes of views of B volumes with S places each."""

    features: Tensor
    """(B, S, channels): the encoder's, by which places are matched."""
    whole: Tensor
    """(B, output), unit length."""
    places: Tensor
    """(B, S, output), unit length."""
    pooled: Tensor
    """(B, output): the mean of the places before they had unit length, then of unit length."""


class DenseContrast(Method):
    """MoCo's contrast of whole views, DenseCL's of matched places, and cross-entropy towards clusters of places."""

    Config = DenseContrastConfig
    facts = MethodFacts(
        title="Dense contrast",
        paper="Wang et al., Dense Contrastive Learning for Self-Supervised Visual Pre-Training, CVPR 2021; "
        "Li et al., Dense Semantic Contrast for Self-Supervised Visual Representation Learning, ACM MM 2021",
        year=2021,
        version=1,
        paradigm="centroid-absolute",
        pretrains="encoder",
        smallest_batch=8,
        trains_on=("noise", "gamma", "thickness", "rotation"),
    )

    def __init__(self, backbone: Backbone, config: DenseContrastConfig, crop: int) -> None:
        # Planning reads facts and options of a method alone, and this library takes seconds to import.
        from lightly.models.modules.heads import MoCoProjectionHead

        super().__init__(backbone, config, crop)
        self.options = config
        self.region = region_of_views(crop, backbone.stride)
        sizes = backbone.global_channels, config.hidden, config.output
        # The papers' networks normalise over the batch; this backbone does not, so that the heads do.
        self.projection = InFloat32(MoCoProjectionHead(*sizes, batch_norm=True))
        # On rows of places: the paper's two convolutions 1x1.
        self.dense_projection = InFloat32(MoCoProjectionHead(*sizes, batch_norm=True))
        self.key_encoder = encoder_of(backbone)
        self.key_projection = still_copy(self.projection)
        self.key_dense_projection = still_copy(self.dense_projection)
        self.queue, self.dense_queue = (KeyQueue(config.queue, config.output) for _ in range(2))
        self.chosen, self.corpus_size = torch.empty(0, dtype=torch.int64), 0
        """The volumes of the last batch, (B,), and how many there are."""
        self.newest: Projected | None = None
        """What the key encoder made of the last batch; it joins the queues after the step."""

    def choose_windows(self, corpus_size: int, batch: int, generator: np.random.Generator) -> Windows:
        """Different volumes at one place, as for every method; the queues have to know which."""
        windows = super().choose_windows(corpus_size, batch, generator)
        self.chosen, self.corpus_size = torch.from_numpy(windows.volumes), corpus_size
        return windows

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Contrast views of the `volumes` last chosen, (B, C, D, H, W)."""
        queries, keys = self.projected(volumes, draws)
        self.newest, chosen = keys, moved(self.chosen, volumes.device)
        whole, places = self.queue, self.dense_queue
        return self.losses(queries, keys, chosen, whole.behind(keys.whole, chosen, self.corpus_size),
                           places.behind(keys.pooled, chosen, self.corpus_size))  # fmt: skip

    def held_out_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """The same among the held-out `volumes` alone, since the queues change with the corpus."""
        queries, keys = self.projected(volumes, draws)
        own = torch.arange(len(volumes), device=volumes.device)
        return self.losses(queries, keys, own, (keys.whole, own), (keys.pooled, own))

    def losses(
        self,
        queries: Projected,
        keys: Projected,
        volumes: Tensor,
        wholes: tuple[Tensor, Tensor],
        pooled: tuple[Tensor, Tensor],
    ) -> dict[str, Tensor]:
        """Of B different `volumes` (B,), with negative keys and whose they are for whole views and for places."""
        temperature, share = self.options.temperature, self.options.dense_share
        matched = matches(queries.features, keys.features)
        positives = keys.places.gather(1, matched.unsqueeze(2).expand_as(queries.places)).flatten(0, 1)
        rows, theirs = queries.places.flatten(0, 1), volumes.repeat_interleave(matched.shape[1])
        whole = info_nce(queries.whole, keys.whole, volumes, *wholes, temperature)
        dense = info_nce(rows, positives, theirs, *pooled, temperature)
        semantic = cluster_loss(rows, positives, keys.places.flatten(0, 1), self.options.clusters, temperature)
        return {
            "loss": (1 - share) * whole + share * dense + self.options.semantic_weight * semantic,
            "whole": whole.detach(),
            "dense": dense.detach(),
            "semantic": semantic.detach(),
        }

    def projected(self, volumes: Tensor, draws: Draws) -> tuple[Projected, Projected]:
        """Queries of one view of `volumes` (b, C, D, H, W), keys without gradient of another; of the whole batch."""
        first, second = two_views(volumes, draws, view_size(self.crop, self.backbone.stride))
        queries = project(self.backbone.encode(first), self.projection, self.dense_projection)
        with torch.no_grad():
            keys = project(self.key_encoder.encode(second), self.key_projection, self.key_dense_projection)
        return queries, keys

    def after_step(self, step: int, steps: int) -> None:
        """The key encoder and its heads follow; then the step's keys join the queues."""
        momentum = constant_momentum(steps, self.options.momentum, self.options.start_left)
        follow(self.key_encoder, self.backbone, momentum)
        follow(self.key_projection, self.projection, momentum)
        follow(self.key_dense_projection, self.dense_projection, momentum)
        if self.newest is not None:
            chosen = moved(self.chosen, self.newest.whole.device)
            self.queue.add(self.newest.whole, chosen)
            self.dense_queue.add(self.newest.pooled, chosen)
            self.newest = None


def project(encoded: Tensor, head: InFloat32, dense_head: InFloat32) -> Projected:
    """Global features (b, channels, d, h, w) of this rank's volumes -> what both heads make of the whole batch."""
    features = gathered(encoded.float().flatten(2)).mT
    places = dense_head(features.flatten(0, 1)).unflatten(0, features.shape[:2])
    whole = head(features.mean(dim=1))
    unit = (F.normalize(part, dim=-1) for part in (whole, places, places.mean(dim=1)))
    return Projected(features, *unit)


@torch.no_grad()
def matches(features: Tensor, others: Tensor) -> Tensor:
    """(B, S): for each place of `features` (B, S, C) the one of `others` (B, T, C) most like it (DenseCL, 3.3)."""
    with torch.autocast(features.device.type, enabled=False):
        return (F.normalize(features, dim=2) @ F.normalize(others, dim=2).mT).argmax(dim=2)


def cluster_loss(queries: Tensor, positives: Tensor, keys: Tensor, clusters: int, temperature: float) -> Tensor:
    """Cross-entropy of `queries` (N, C) towards that centroid of `keys` (M, C) to which their positive belongs."""
    with torch.autocast(queries.device.type, enabled=False):
        centroids = spherical_k_means(keys, clusters)
        return F.cross_entropy(queries @ centroids.T / temperature, (positives @ centroids.T).argmax(dim=1))


@torch.no_grad()
def spherical_k_means(rows: Tensor, clusters: int) -> Tensor:
    """Centroids (clusters, C) of unit length of `rows` (N, C) by cosine; each starts at the row farthest from the rest.

    Nothing in it is random, so that every rank finds the same. A cluster that loses its rows keeps its centroid.
    """
    centroids = rows[:1]
    for _ in range(clusters - 1):
        farthest = (rows @ centroids.T).amax(dim=1).argmin()
        centroids = torch.cat([centroids, rows.index_select(0, farthest.view(1))])
    for _ in range(ITERATIONS):
        nearest = (rows @ centroids.T).argmax(dim=1, keepdim=True)
        members = (nearest == torch.arange(clusters, device=rows.device)).to(rows.dtype)
        sums = members.T @ rows
        centroids = torch.where(members.sum(dim=0).unsqueeze(1) > 0, F.normalize(sums, dim=1), centroids)
    return centroids
