"""SAC: segmentation of the coronary arteries on CT angiography, after ASOCA 2020."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.settings import SplitCounts
from ssl_bench.api.task import Task, TaskFacts
from ssl_bench.data.layouts.paired_files import Naming, PairedFiles
from ssl_bench.data.synthetic.coronary import ARTERY, connected_to, paint_arteries
from ssl_bench.data.synthetic.coronary_tree import grow_arteries
from ssl_bench.data.synthetic.ct import acquire
from ssl_bench.data.synthetic.epicardium import HEART, root_mm, without_coronaries
from ssl_bench.data.synthetic.generator import AnatomyGenerator, Subjects
from ssl_bench.data.synthetic.sampling import pool
from ssl_bench.data.synthetic.thorax import AORTA, vary_contrast
from ssl_bench.data.synthetic.warps import Variation

_VARIATION = Variation(displacement_mm=4.0, rotation_deg=10.0, scale=0.08, shift_mm=4.0, size=0.8)
_KERNEL_MM = (0.25, 0.7)
"""Coronary angiography is reconstructed sharply."""
_BESIDE_ROOT_MM = (-8.0, 5.0, -18.0)
"""From the aortic root down and to the left, where most of the arteries are."""

_NAMINGS = (
    Naming(
        shown="Train/0.nrrd with Train_Masks/0.nrrd",
        image=r"(^|/)Train/(?P<case>[^/]+)\.nrrd$",
        label=r"(^|/)Train_Masks/(?P<case>[^/]+)\.nrrd$",
    ),
    Naming(
        shown="Normal/CTCA/Normal_1.nrrd with Normal/Annotations/Normal_1.nrrd",
        image=r"(^|/)CTCA/(?P<case>(Normal|Diseased)_\d+)\.nrrd$",
        label=r"(^|/)Annotations/(?P<case>(Normal|Diseased)_\d+)\.nrrd$",
    ),
)


class CoronaryArteries(AnatomyGenerator):
    """Surroundings of the aortic root with arteries grown anew in each subject; the real ones are painted over."""

    name = "sac"
    shipped = "chest"
    label_values = HEART
    together = 1
    spacing_mm = (1.0, 1.0, 1.0)
    field_of_view_mm = (64.0, 64.0, 64.0)

    def scan(self, subjects: Subjects) -> tuple[Tensor, Tensor]:
        """See `AnatomyGenerator`."""
        anatomy, draws = without_coronaries(self.anatomy), subjects.draws
        z, y, x = (root_mm(anatomy) + _BESIDE_ROOT_MM).tolist()
        scene = subjects.scene(anatomy, _VARIATION, (z, y, x))
        vary_contrast(scene, anatomy, draws)
        paint_arteries(scene, grow_arteries(anatomy, draws), draws)
        hu, labels = pool(scene)
        image, _ = acquire(hu, subjects.spacing_mm, draws, cuts=False, kernel_mm=_KERNEL_MM)
        return image, connected_to(labels == ARTERY, labels == AORTA).to(torch.uint8)


class SAC(Task):
    """Where are the coronary arteries?"""

    facts: ClassVar[TaskFacts] = TaskFacts(
        title="Coronary artery segmentation on CT angiography",
        kind="segmentation",
        metric="DSC",
        classes=("coronary artery",),
        modality="CT",
        region="heart",
        centreline=True,
    )
    # The 20 scans of the challenge's test set have no public labels and are left alone.
    dataset = PairedFiles(
        title="ASOCA 2020",
        licence="non-commercial research",
        access="by application to the organisers of the challenge (40 labelled CT angiographies)",
        preprocessing=Preprocessing(intensity="ct", region="label"),
        split_counts=SplitCounts(train=15, validation=5, test=20),
        label_values=(1,),
        namings=_NAMINGS,
    )
    generator = CoronaryArteries
