"""SparK (Tian et al., ICLR 2023; in 3D S3D, Wald et al., CVPR 2025): a masked autoencoder whose encoder is sparse.

The encoder sees visible voxels alone: neither its convolutions nor its statistics know where anything is hidden. Before
the decoder every stage is made dense: a learned mask embedding fills what was hidden.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice
from ssl_bench.nn.heads import RestorationHead
from ssl_bench.nn.sparse import require_sparse, sparse_stages
from ssl_bench.transforms.patches import coarsest_patch, hidden_patches, mean_where, normalised_patches


class SparKConfig(MethodConfig):
    """The paper's."""

    hidden: Annotated[float, Choice((0.6, 0.75, 0.9))] = Field(default=0.6, gt=0, lt=1)
    """Share of the patches that is hidden: 0.6 in the paper (section 4.1); S3D draws it between 0.6 and 0.9."""
    normalised: Annotated[bool, Choice((False, True))] = True
    """Whether the target is each patch with mean 0 and deviation 1, as in the paper (section 3.3)."""


class SparK(Method):
    """Sparse encoder, mask embeddings at every stage, the backbone's decoder; mean squared error on what was hidden."""

    Config = SparKConfig
    facts = MethodFacts(
        title="SparK",
        paper="Tian et al., Designing BERT for Convolutional Networks: Sparse and Hierarchical Masked Modeling, "
        "ICLR 2023",
        year=2023,
        version=2,
        paradigm="centroid-hidden",
        pretrains="encoder and decoder",
        needs=("sparse encoder",),
    )

    def __init__(self, backbone: Backbone, config: SparKConfig, crop: int) -> None:
        """Raises UserError for a backbone whose encoder cannot be run on visible voxels alone."""
        super().__init__(backbone, config, crop)
        require_sparse(backbone, "spark")
        self.options = config
        self.side = coarsest_patch(crop, backbone.stride)
        self.embeddings = nn.ParameterList(
            nn.init.trunc_normal_(torch.empty(1, channels, 1, 1, 1), std=0.02) for channels in backbone.stage_channels
        )
        self.restoration = RestorationHead(backbone.local_channels, backbone.channels_in)

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Restore what is hidden of `volumes` (B, C, D, H, W), all channels of a patch together."""
        hidden = hidden_patches(volumes.shape[2:], draws, self.side, self.options.hidden)
        target = normalised_patches(volumes, self.side) if self.options.normalised else volumes
        # The decoder's voxels are the padded volume's; what was padded is not hidden, and so not scored.
        pad = self.backbone.pad
        return {"loss": mean_where(pad(hidden), (self.restore(volumes, hidden) - pad(target)).square())}

    def restore(self, volumes: Tensor, hidden: Tensor) -> Tensor:
        """`volumes` (B, C, D, H, W) without what is `hidden` (B, 1, D, H, W) -> restored, padded; float32."""
        sparse = sparse_stages(self.backbone, volumes, ~hidden)
        dense = [
            torch.where(seen, stage, embedding.to(stage.dtype))
            for stage, seen, embedding in zip(sparse.stages, sparse.visible, self.embeddings, strict=True)
        ]
        restored: Tensor = self.restoration(self.backbone.decode(dense))
        return restored.float()
