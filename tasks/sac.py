"""SAC: segmentation of the coronary arteries on CT angiography, after ASOCA 2020."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch

from ssl_bench.api.cases import Found
from ssl_bench.api.recipe import Recipe
from ssl_bench.api.rng import Draws
from ssl_bench.api.settings import SplitCounts
from ssl_bench.api.task import Case, Split, Task, TaskFacts
from ssl_bench.data.layouts.folders import Layout, find_pairs
from ssl_bench.data.synthetic.anatomy import Anatomy
from ssl_bench.data.synthetic.coronary import ARTERY, connected_to, paint_arteries
from ssl_bench.data.synthetic.coronary_tree import grow_arteries
from ssl_bench.data.synthetic.ct import acquire
from ssl_bench.data.synthetic.epicardium import HEART, root_mm, without_coronaries
from ssl_bench.data.synthetic.sampling import grow_scene, pool, voxel_grid
from ssl_bench.data.synthetic.thorax import AORTA, vary_contrast
from ssl_bench.data.synthetic.warps import FAMILY, Variation

_VARIATION = Variation(displacement_mm=4.0, rotation_deg=10.0, scale=0.08, shift_mm=4.0, size=0.8)
_KERNEL_MM = (0.25, 0.7)
"""Coronary angiography is reconstructed sharply."""
_BESIDE_ROOT_MM = (-8.0, 5.0, -18.0)
"""From the aortic root down and to the left, where most of the arteries are."""

_LAYOUTS = (
    Layout(
        shown="Train/0.nrrd with Train_Masks/0.nrrd",
        image=r"(^|/)Train/(?P<case>[^/]+)\.nrrd$",
        label=r"(^|/)Train_Masks/(?P<case>[^/]+)\.nrrd$",
    ),
    Layout(
        shown="Normal/CTCA/Normal_1.nrrd with Normal/Annotations/Normal_1.nrrd",
        image=r"(^|/)CTCA/(?P<case>(Normal|Diseased)_\d+)\.nrrd$",
        label=r"(^|/)Annotations/(?P<case>(Normal|Diseased)_\d+)\.nrrd$",
    ),
)


class SAC(Task):
    """Where are the coronary arteries?"""

    facts: ClassVar[TaskFacts] = TaskFacts(
        title="Coronary artery segmentation on CT angiography",
        kind="segmentation",
        metric="DSC",
        classes=("coronary artery",),
        label_values=(1,),
        modality="CT",
        region="heart",
        spacing_mm=(1.0, 1.0, 1.0),
        field_of_view_mm=(64.0, 64.0, 64.0),
        anatomy="chest",
        dataset="ASOCA 2020",
        licence="non-commercial research",
        access="by application to the organisers of the challenge (40 labelled CT angiographies)",
        centreline=True,
    )
    anatomy_values = HEART
    recipe = Recipe(intensity="ct", region="label")
    split_counts = SplitCounts(train=15, validation=5, test=20)

    def grow(self, anatomy: Anatomy, split: Split, count: int, detail: float, seed: int) -> list[Case]:
        """Surroundings of the aortic root with arteries grown anew in each subject; the real ones are painted over."""
        anatomy.require(self.anatomy_values)
        return [self._grow_one(without_coronaries(anatomy), split, index, detail, seed) for index in range(count)]

    def _grow_one(self, anatomy: Anatomy, split: Split, index: int, detail: float, seed: int) -> Case:
        draws = Draws.keyed("sac", split, seed, samples=[index])
        shape, spacing = voxel_grid(self.facts.field_of_view_mm, self.facts.spacing_mm, detail)
        z, y, x = (root_mm(anatomy) + _BESIDE_ROOT_MM).tolist()
        scene = grow_scene(anatomy, FAMILY[split], draws, shape, spacing, _VARIATION, (z, y, x))
        vary_contrast(scene, anatomy, draws)
        paint_arteries(scene, grow_arteries(anatomy, draws), draws)
        hu, labels = pool(scene)
        image, _ = acquire(hu, spacing, draws, cuts=False, kernel_mm=_KERNEL_MM)
        artery = connected_to(labels == ARTERY, labels == AORTA)[0]
        return Case(f"sac-{split}-{index:03d}", image[0].numpy(), artery.to(torch.uint8).numpy(), spacing)

    def find(self, root: Path) -> Found:
        """See `Task.find`. The 20 scans of the challenge's test set have no public labels and are left alone."""
        return find_pairs(root, _LAYOUTS)
