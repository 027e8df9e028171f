"""SBM: segmentation of brain structures on T1 MR (CANDI)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.settings import SplitCounts
from ssl_bench.api.task import Task, TaskFacts
from ssl_bench.data.layouts.paired_files import Naming, PairedFiles
from ssl_bench.data.synthetic import mr
from ssl_bench.data.synthetic.generator import AnatomyGenerator, Subjects
from ssl_bench.data.synthetic.sampling import class_indices, pool
from ssl_bench.data.synthetic.warps import Variation

_STRUCTURES = {
    2: "left cerebral white matter",
    3: "left cerebral cortex",
    4: "left lateral ventricle",
    7: "left cerebellar white matter",
    8: "left cerebellar cortex",
    10: "left thalamus",
    11: "left caudate",
    12: "left putamen",
    13: "left pallidum",
    14: "third ventricle",
    15: "fourth ventricle",
    16: "brain stem",
    17: "left hippocampus",
    18: "left amygdala",
    24: "cerebrospinal fluid",
    28: "left ventral diencephalon",
    41: "right cerebral white matter",
    42: "right cerebral cortex",
    43: "right lateral ventricle",
    46: "right cerebellar white matter",
    47: "right cerebellar cortex",
    49: "right thalamus",
    50: "right caudate",
    51: "right putamen",
    52: "right pallidum",
    53: "right hippocampus",
    54: "right amygdala",
    60: "right ventral diencephalon",
}

_PATIENT = r"/(?P<case>(HC|BPDwoPsy|BPDwPsy|SS)_\d+)"
_NAMINGS = (
    Naming(
        shown="HC_001/HC_001_procimg.nii.gz with HC_001/HC_001_seg.nii.gz",
        image=_PATIENT + r"_procimg\.nii(\.gz)?$",
        label=_PATIENT + r"[._]seg\.nii(\.gz)?$",
    ),
    Naming(
        shown="SS_084_MR/anat/NIfTI/anat.nii.gz with SS_084_MR/SS_084_MR_seg/NIfTI/seg.nii.gz",
        image=_PATIENT + r"[^/]*/(.*/)?anat/NIfTI/anat\.nii(\.gz)?$",
        label=_PATIENT + r"[^/]*_seg/NIfTI/seg\.nii(\.gz)?$",
    ),
)
_NO_CLASS = (5, 26, 30, 44, 58, 62, 29, 61, 72, 77, 85)
"""FreeSurfer's inferior lateral ventricles, accumbens areas and vessels; then what only a few subjects have."""


class Brains(AnatomyGenerator):
    """Heads. At 6 mm (detail 0.5) the third ventricle and the fluid may fall between the voxels."""

    name = "sbm"
    shipped = "brain"
    label_values = tuple(_STRUCTURES)
    # The average head in the ICBM space is larger than an average person's.
    variation: ClassVar[Variation] = Variation(
        displacement_mm=3.5, rotation_deg=6.0, scale=0.06, shift_mm=3.0, size=0.92
    )
    spacing_mm = (3.0, 3.0, 3.0)
    field_of_view_mm = (144.0, 192.0, 144.0)

    def scan(self, subjects: Subjects) -> tuple[Tensor, Tensor]:
        """See `AnatomyGenerator`."""
        scene = subjects.scene(self.anatomy, self.variation)
        mr.vary_contrast(scene, self.anatomy, subjects.draws)
        mr.vary_ventricles(scene, self.anatomy, subjects.draws)
        mr.add_lesions(scene, self.anatomy, subjects.draws)
        pooled, labels = pool(scene)
        images = mr.acquire(pooled, subjects.spacing_mm, subjects.draws)
        return images, class_indices(labels, self.label_values)


class SBM(Task):
    """28 brain structures on T1 MR: another organ and another modality than the corpus."""

    facts: ClassVar[TaskFacts] = TaskFacts(
        title="Segmentation of brain on MR",
        kind="segmentation",
        metric="DSC",
        classes=tuple(_STRUCTURES.values()),
        modality="MR",
        region="brain",
    )
    dataset = PairedFiles(
        title="CANDI, Schizophrenia Bulletin 2008",
        licence="CC BY-NC",
        access="register with NITRC at https://www.nitrc.org/projects/candi_share",
        preprocessing=Preprocessing(intensity="mr", region="centre", size=(128, 160, 160)),
        split_counts=SplitCounts(train=40, validation=20, test=43),
        label_values=tuple(_STRUCTURES),
        background_values=_NO_CLASS,
        namings=_NAMINGS,
        structures=tuple(_STRUCTURES.values()),
    )
    generator = Brains
