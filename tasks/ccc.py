"""CCC: COVID-19 classification on chest CT, after STOIC 2021."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F

from ssl_bench.cohort.anatomy import Anatomy
from ssl_bench.cohort.covid import COVID, LOOK_ALIKES, blend_lesions, lesion_score, lungs_of, vary_lungs
from ssl_bench.cohort.ct import acquire
from ssl_bench.cohort.sampling import SUPERSAMPLING, grow_scene, pool, voxel_grid
from ssl_bench.cohort.thorax import PULMONARY_ARTERY
from ssl_bench.cohort.warps import FAMILY, Variation
from ssl_bench.draws import Draws, numpy_generator
from ssl_bench.task import Case, Split, Task, TaskFacts

_VARIATION = Variation(displacement_mm=10.0, rotation_deg=6.0, scale=0.08, shift_mm=4.0, size=0.92)


class CCC(Task):
    """Does this chest CT show COVID-19?"""

    facts: ClassVar[TaskFacts] = TaskFacts(
        title="COVID-19 classification on chest CT",
        kind="classification",
        metric="AUC",
        classes=("COVID-19",),
        label_values=(1,),
        modality="CT",
        region="lungs",
        spacing_mm=(6.5, 6.5, 6.5),
        field_of_view_mm=(273.0, 195.0, 286.0),
        anatomy="chest",
        dataset="STOIC 2021",
        licence="CC BY-NC 4.0",
        access="open: the public bucket stoic2021-training on AWS (2,000 scans); label probCOVID (RT-PCR)",
    )
    anatomy_values = (PULMONARY_ARTERY,)

    def grow(self, anatomy: Anatomy, split: Split, count: int, detail: float, seed: int) -> list[Case]:
        """Lungs cut out of the chest, every other one with COVID-like lesions, in shuffled order; outside is 0."""
        anatomy.require(self.anatomy_values)
        return [self._grow_one(anatomy, split, index, detail, seed) for index in range(count)]

    def _grow_one(self, anatomy: Anatomy, split: Split, index: int, detail: float, seed: int) -> Case:
        draws = Draws.keyed("ccc", split, seed, samples=[index])
        shape, spacing = voxel_grid(self.facts.field_of_view_mm, self.facts.spacing_mm, detail)
        fields = lungs_of(anatomy)
        scene = grow_scene(anatomy, FAMILY[split], draws, shape, spacing, _VARIATION, fields.centre_mm)
        mask = scene.read(fields.mask)
        vary_lungs(scene, mask, draws)
        positive = _is_positive(split, index, seed)
        look_alike = LOOK_ALIKES[int(draws.integers(0, len(LOOK_ALIKES)))]
        score = lesion_score(COVID if positive else look_alike, scene, mask, anatomy, draws)
        blend_lesions(scene, mask, score, draws)
        image, _ = acquire(pool(scene)[0], spacing, draws, cuts=False)
        lung = F.avg_pool3d(mask, SUPERSAMPLING) > 0.5
        return Case(f"ccc-{split}-{index:03d}", (image * lung)[0].numpy(), int(positive), spacing)


def _is_positive(split: Split, index: int, seed: int) -> bool:
    """Every pair of neighbours holds one positive and one negative, in random order."""
    return bool(numpy_generator("ccc", "label", split, seed, index // 2).integers(2)) == bool(index % 2)
