"""DINO (Caron et al., ICCV 2021): a student's views of a volume predict what its own moving average says of others.

The teacher sees the two large views alone; its output is centred and sharpened, without which both collapse.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
from ssl_bench.api.rng import Draws
from ssl_bench.api.search import Choice
from ssl_bench.nn.distributed import gathered
from ssl_bench.nn.heads import InFloat32
from ssl_bench.nn.momentum import encoder_of, follow, rising_momentum, still_copy
from ssl_bench.transforms.views import region_of_views, small_view_size, small_views, two_views, view_size


class DINOConfig(MethodConfig):
    """Temperatures and momenta of the paper; sizes of lightly's small-scale example."""

    student_temperature: float = Field(default=0.1, gt=0)
    teacher_temperature: Annotated[float, Choice((0.02, 0.04, 0.06))] = Field(default=0.04, gt=0)
    """Lower is sharper."""
    centre_momentum: float = Field(default=0.9, ge=0, lt=1)
    small_views: int = Field(default=6, ge=0)
    """Local views a volume, half as long as the two large ones: eight would cost as much as one of those."""
    hidden: int = Field(default=512, gt=0)
    bottleneck: int = Field(default=64, gt=0)
    output: int = Field(default=2048, gt=1)
    momentum: Annotated[float, Choice((0.9, 0.97, 0.99, 0.996))] = Field(default=0.996, ge=0, le=1)
    """The teacher's largest momentum in the first step; it rises along a cosine to 1 in the last."""
    start_left: float = Field(default=0.01, gt=0, le=1)
    """Largest share of the teacher's random start that may be left in it at the end; 1 keeps `momentum` as it is."""


class Prototypes(nn.Linear):
    """The weight-normalised last layer without a gain: cosines of rows of unit length with those of its weights."""

    def forward(self, rows: Tensor) -> Tensor:
        """(B, bottleneck) -> (B, output) in [-1, 1]."""
        return F.linear(F.normalize(rows, dim=1), F.normalize(self.weight, dim=1))


class DINO(Method):
    """Cross-entropy between the softmax of teacher and student over all pairs of two different views (Eq. 3)."""

    Config = DINOConfig
    facts = MethodFacts(
        title="DINO",
        paper="Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021",
        year=2021,
        version=1,
        paradigm="centroid-relative",
        pretrains="encoder",
        smallest_batch=8,
        trains_on=("noise", "gamma", "thickness", "rotation"),
    )

    def __init__(self, backbone: Backbone, config: DINOConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.region = region_of_views(crop, backbone.stride)
        # The paper's convolutional networks normalise over the batch; this backbone does not, so that the head does.
        self.head = InFloat32(
            nn.Linear(backbone.global_channels, config.hidden, bias=False),
            nn.BatchNorm1d(config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.hidden, bias=False),
            nn.BatchNorm1d(config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.bottleneck),
            Prototypes(config.bottleneck, config.output, bias=False),
        )
        self.teacher_encoder = encoder_of(backbone)
        self.teacher_head = still_copy(self.head)
        self.centre: Tensor
        self.register_buffer("centre", torch.zeros(config.output))
        self.newest: Tensor | None = None
        """What the teacher said of the last batch on average, (output,), for the centre."""

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """The student sees two large and some small views of each of `volumes` (B, C, D, H, W), the teacher the two."""
        stride = self.backbone.stride
        large = two_views(volumes, draws, view_size(self.crop, stride))
        said = torch.stack([self.teach(view) for view in large])
        heard = torch.stack([self.student(view) for view in large])
        if self.options.small_views:
            small = small_views(volumes, draws, small_view_size(self.crop, stride), self.options.small_views)
            heard = torch.cat([heard, self.student_of_many(small)])
        self.newest = said.mean(dim=(0, 1))
        return {"loss": self.loss(said, heard)}

    def loss(self, said: Tensor, heard: Tensor) -> Tensor:
        """Outputs of the teacher (2, B, output) and of the student (V, B, output), the same two views first."""
        targets = F.softmax((said - self.centre) / self.options.teacher_temperature, dim=2)
        predicted = F.log_softmax(heard / self.options.student_temperature, dim=2)
        pairs = [-(target * one).sum(dim=1).mean()
                 for t, target in enumerate(targets) for s, one in enumerate(predicted) if s != t]  # fmt: skip
        return torch.stack(pairs).mean()

    def student(self, views: Tensor) -> Tensor:
        """Views (b, C, d, h, w) -> the student's output (B, output) for the whole batch of all ranks."""
        out: Tensor = self.head(gathered(self.backbone.pool(views)))
        return out

    def student_of_many(self, views: Tensor) -> Tensor:
        """Views (b, V, C, d, h, w) in one pass -> (V, B, output)."""
        count = views.shape[1]
        pooled = gathered(self.backbone.pool(views.flatten(0, 1)).view(len(views), count, -1))
        out: Tensor = self.head(pooled.transpose(0, 1).flatten(0, 1))
        return out.view(count, len(pooled), -1)

    @torch.no_grad()
    def teach(self, views: Tensor) -> Tensor:
        """Views (b, C, d, h, w) -> the teacher's output (B, output) for the whole batch of all ranks."""
        out: Tensor = self.teacher_head(gathered(self.teacher_encoder.pool(views)))
        return out

    def after_step(self, step: int, steps: int) -> None:
        """The teacher follows the student (section 3.1), the centre the teacher's mean output (Eq. 4)."""
        momentum = rising_momentum(step, steps, self.options.momentum, self.options.start_left)
        follow(self.teacher_encoder, self.backbone, momentum)
        follow(self.teacher_head, self.head, momentum)
        if self.newest is not None:
            self.centre.lerp_(self.newest, 1 - self.options.centre_momentum)
            self.newest = None
