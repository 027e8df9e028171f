"""What is known about a method without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Paradigm = Literal["none", "centroid-hidden", "centroid-absolute", "centroid-relative", "geometric"]
"""How a method learns, after the GVSL supplement A.2 and A.3; ``none`` is no pre-training at all."""

Pretrains = Literal["nothing", "encoder", "encoder and decoder"]
"""What of the backbone a method pre-trains."""

Need = Literal["sparse encoder"]
"""What a method may ask of a backbone that not every one has; backbones say what they give."""

NEEDS: dict[Need, str] = {
    "sparse encoder": "an encoder that can run on visible voxels alone: a chain of convolutions, group norms and poolings"
}
"""The needs in words."""

PARADIGMS: tuple[Paradigm, ...] = ("none", "centroid-hidden", "centroid-absolute", "centroid-relative", "geometric")

PRETRAINING_OPTIONS = ("learning_rate", "warmup_share", "weight_decay", "optimiser", "batch")
"""The options of every method that concern pre-training alone."""


@dataclass(frozen=True)
class MethodFacts:
    """What is known about a method without building it."""

    title: str
    paper: str
    year: int
    version: int
    """Raised whenever the method's results may change; part of every cell's key."""
    paradigm: Paradigm
    pretrains: Pretrains
    smallest_batch: int = 1
    """Volumes a step below which the loss degenerates; a smaller batch in the preset is raised to it."""
    grouped: int = 1
    """So many consecutive volumes of a batch belong together, 2 for a pair; data parallelism keeps them on one rank."""
    mixed_precision: bool = True
    """False where bf16 would break the method: it then pre-trains in float32 whatever the preset says."""
    deterministic: bool = False
    """True where nothing in the pretext is random."""
    needs: tuple[Need, ...] = ()
    """What a backbone must give beyond global and local features; pairs that lack it are refused."""
