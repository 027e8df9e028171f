"""The unlabelled volumes of pre-training: one corpus for all tasks, cardiac CT with the chest around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ssl_bench.data.synthetic.ct import acquire
from ssl_bench.data.synthetic.generator import AnatomyGenerator, Subjects
from ssl_bench.data.synthetic.sampling import pool
from ssl_bench.data.synthetic.thorax import add_lesions, vary_contrast, vary_wall
from ssl_bench.data.synthetic.warps import Variation


@dataclass(frozen=True)
class CorpusFacts:
    """What decides whether a task is inner-scene (same modality and region) or inter-scene."""

    title: str
    modality: Literal["CT", "MR"]
    region: str


EMBEDDED = CorpusFacts("Embedded cardiac CT", "CT", "heart")

# Framed more loosely than the tasks: a corpus is not cropped by hand, and pre-training's windows need room to move.
_VARIATION = Variation(displacement_mm=8.0, rotation_deg=8.0, scale=0.12, shift_mm=14.0)


class CardiacCT(AnatomyGenerator):
    """Grows the splits ``corpus`` and ``held-out``; every case is of class 0."""

    name = "corpus"
    shipped = "chest"
    label_values = ()
    spacing_mm = (4.0, 4.0, 4.0)
    field_of_view_mm = (256.0, 256.0, 256.0)

    def scan(self, subjects: Subjects) -> tuple[Tensor, list[int]]:
        """See `AnatomyGenerator`."""
        scene = subjects.scene(self.anatomy, _VARIATION)
        vary_contrast(scene, self.anatomy, subjects.draws)
        vary_wall(scene, self.anatomy, subjects.draws)
        add_lesions(scene, self.anatomy, subjects.draws)
        image, _ = acquire(pool(scene)[0], subjects.spacing_mm, subjects.draws)
        return image, [0] * len(image)
