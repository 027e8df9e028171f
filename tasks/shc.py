"""SHC: segmentation of heart structures on cardiac CT (MM-WHS 2017)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from ssl_bench.api.cases import Found
from ssl_bench.api.recipe import Recipe
from ssl_bench.api.settings import SplitCounts
from ssl_bench.api.task import Case, Split, Task, TaskFacts
from ssl_bench.data.layouts.folders import Layout, find_pairs
from ssl_bench.data.synthetic.anatomy import Anatomy
from ssl_bench.data.synthetic.ct import acquire
from ssl_bench.data.synthetic.sampling import batches, class_indices, grow_scene, pool, voxel_grid
from ssl_bench.data.synthetic.thorax import add_lesions, vary_contrast, vary_wall
from ssl_bench.data.synthetic.warps import FAMILY, Variation

_VARIATION = Variation(displacement_mm=8.0, rotation_deg=8.0, scale=0.08, shift_mm=7.0)

_LAYOUTS = (
    Layout(
        shown="ct_train_1001_image.nii.gz beside ct_train_1001_label.nii.gz",
        image=r"/(?P<case>ct_train_\d+)_image\.nii(\.gz)?$",
        label=r"/(?P<case>ct_train_\d+)_label\.nii(\.gz)?$",
    ),
    # The successor, WHS++: the folder alone tells CT from MR.
    Layout(
        shown='"A ct_train/Case1001_image.nii.gz" beside its _label',
        image=r"ct_train(?!.*mr_train).*/(?P<case>Case\d+)_image\.nii(\.gz)?$",
        label=r"ct_train(?!.*mr_train).*/(?P<case>Case\d+)_label\.nii(\.gz)?$",
    ),
)
_SPLIT = SplitCounts(train=10, validation=4, test=6)
"""Of the 20 labelled scans. The paper's 15/5/40 needs the organisers, who keep the labels of the 40 test scans."""


class SHC(Task):
    """Seven heart structures on contrast CT; the structures sit inside the corpus' own scene."""

    facts: ClassVar[TaskFacts] = TaskFacts(
        title="Segmentation of heart on CT",
        kind="segmentation",
        metric="DSC",
        classes=(
            "left ventricular myocardium",
            "left atrium",
            "left ventricle",
            "right atrium",
            "right ventricle",
            "ascending aorta",
            "pulmonary artery",
        ),
        label_values=(205, 420, 500, 550, 600, 820, 850),
        modality="CT",
        region="heart",
        spacing_mm=(4.0, 4.0, 4.0),
        field_of_view_mm=(192.0, 192.0, 192.0),
        anatomy="chest",
        dataset="MM-WHS 2017, CT",
        licence="research use, after registration",
        access="register with the organisers at https://zmiclab.github.io/zxh/0/mmwhs/",
    )
    anatomy_values = facts.label_values
    recipe = Recipe(intensity="ct", region="label")
    split_counts = _SPLIT
    label_synonyms: ClassVar[dict[int, int]] = {421: 420}

    def grow(self, anatomy: Anatomy, split: Split, count: int, detail: float, seed: int) -> list[Case]:
        """See `Task.grow`. Where the scan has no data, there is no label either."""
        anatomy.require(self.anatomy_values)
        shape, spacing = voxel_grid(self.facts.field_of_view_mm, self.facts.spacing_mm, detail)
        cases: list[Case] = []
        for draws, wanted in batches(count, "shc", split, seed):
            scene = grow_scene(anatomy, FAMILY[split], draws, shape, spacing, _VARIATION)
            vary_contrast(scene, anatomy, draws)
            vary_wall(scene, anatomy, draws)
            add_lesions(scene, anatomy, draws)
            hu, labels = pool(scene)
            images, seen = acquire(hu, spacing, draws)
            classes = class_indices(labels * seen, self.facts.label_values)
            for image, label in zip(images[:wanted].numpy(), classes[:wanted].numpy(), strict=True):
                identifier = f"shc-{split}-{len(cases):03d}"
                cases.append(Case(identifier, np.ascontiguousarray(image), np.ascontiguousarray(label), spacing))
        return cases

    def find(self, root: Path) -> Found:
        """See `Task.find`. Labelled CT scans alone: the test scans have no public labels, and MR scans lie beside."""
        return find_pairs(root, _LAYOUTS)
