"""The unlabelled volumes of pre-training: one corpus for all tasks, cardiac CT with the chest around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ssl_bench.data.synthetic.anatomy import Triple, load_anatomy
from ssl_bench.data.synthetic.ct import acquire
from ssl_bench.data.synthetic.sampling import batches, grow_scene, pool, voxel_grid
from ssl_bench.data.synthetic.thorax import add_lesions, vary_contrast, vary_wall
from ssl_bench.data.synthetic.warps import FAMILY, Variation


@dataclass(frozen=True)
class CorpusFacts:
    """What decides whether a task is inner-scene (same modality and region) or inter-scene."""

    title: str
    modality: Literal["CT", "MR"]
    region: str
    spacing_mm: Triple
    """(D, H, W) at detail 1."""
    field_of_view_mm: Triple
    """(D, H, W), give or take the size of the subject."""


EMBEDDED = CorpusFacts("Embedded cardiac CT", "CT", "heart", (4.0, 4.0, 4.0), (192.0, 192.0, 192.0))

# Framed more loosely than the tasks: nobody crops a corpus by hand.
_VARIATION = Variation(displacement_mm=8.0, rotation_deg=8.0, scale=0.12, shift_mm=14.0)


def grow_corpus(
    count: int, detail: float, seed: int, split: Literal["corpus", "held-out"] = "corpus"
) -> NDArray[np.float32]:
    """(N, D, H, W) in [0, 1]: `count` volumes at `detail`; volume i does not depend on `count`."""
    anatomy = load_anatomy("chest")
    shape, spacing = voxel_grid(EMBEDDED.field_of_view_mm, EMBEDDED.spacing_mm, detail)
    volumes = np.empty((count, *shape), dtype=np.float32)
    filled = 0
    for draws, wanted in batches(count, "corpus", split, seed):
        scene = grow_scene(anatomy, FAMILY[split], draws, shape, spacing, _VARIATION)
        vary_contrast(scene, anatomy, draws)
        vary_wall(scene, anatomy, draws)
        add_lesions(scene, anatomy, draws)
        image, _ = acquire(pool(scene)[0], spacing, draws)
        volumes[filled : filled + wanted] = image[:wanted].numpy()
        filled += wanted
    return volumes
