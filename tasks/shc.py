"""SHC: segmentation of heart structures on cardiac CT (MM-WHS 2017)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.settings import SplitCounts
from ssl_bench.api.task import Task, TaskFacts
from ssl_bench.data.layouts.paired_files import Naming, PairedFiles
from ssl_bench.data.synthetic.ct import acquire
from ssl_bench.data.synthetic.generator import AnatomyGenerator, Subjects
from ssl_bench.data.synthetic.sampling import class_indices, pool
from ssl_bench.data.synthetic.thorax import add_lesions, vary_contrast, vary_wall
from ssl_bench.data.synthetic.warps import Variation

_STRUCTURES = {
    205: "left ventricular myocardium",
    420: "left atrium",
    500: "left ventricle",
    550: "right atrium",
    600: "right ventricle",
    820: "ascending aorta",
    850: "pulmonary artery",
}
"""The structures by the label values of MM-WHS, which the shipped chest uses too."""

_NAMINGS = (
    Naming(
        shown="ct_train_1001_image.nii.gz beside ct_train_1001_label.nii.gz",
        image=r"/(?P<case>ct_train_\d+)_image\.nii(\.gz)?$",
        label=r"/(?P<case>ct_train_\d+)_label\.nii(\.gz)?$",
    ),
    # The successor, WHS++: the folder alone tells CT from MR.
    Naming(
        shown='"A ct_train/Case1001_image.nii.gz" beside its _label',
        image=r"ct_train(?!.*mr_train).*/(?P<case>Case\d+)_image\.nii(\.gz)?$",
        label=r"ct_train(?!.*mr_train).*/(?P<case>Case\d+)_label\.nii(\.gz)?$",
    ),
)


class Hearts(AnatomyGenerator):
    """Hearts that sit inside the corpus' own scene. Where the scan has no data, there is no label either."""

    name = "shc"
    shipped = "chest"
    label_values = tuple(_STRUCTURES)
    variation: ClassVar[Variation] = Variation(displacement_mm=8.0, rotation_deg=8.0, scale=0.08, shift_mm=7.0)
    spacing_mm = (4.0, 4.0, 4.0)
    field_of_view_mm = (192.0, 192.0, 192.0)

    def scan(self, subjects: Subjects) -> tuple[Tensor, Tensor]:
        """See `AnatomyGenerator`."""
        scene = subjects.scene(self.anatomy, self.variation)
        vary_contrast(scene, self.anatomy, subjects.draws)
        vary_wall(scene, self.anatomy, subjects.draws)
        add_lesions(scene, self.anatomy, subjects.draws)
        hu, labels = pool(scene)
        images, seen = acquire(hu, subjects.spacing_mm, subjects.draws)
        return images, class_indices(labels * seen, self.label_values)


class SHC(Task):
    """Seven heart structures on contrast CT."""

    facts: ClassVar[TaskFacts] = TaskFacts(
        title="Segmentation of heart on CT",
        kind="segmentation",
        metric="DSC",
        classes=tuple(_STRUCTURES.values()),
        modality="CT",
        region="heart",
    )
    # Labelled CT scans alone: the test scans have no public labels, and MR scans lie beside.
    dataset = PairedFiles(
        title="MM-WHS 2017, CT",
        licence="research use, after registration",
        access="register with the organisers at https://zmiclab.github.io/zxh/0/mmwhs/",
        preprocessing=Preprocessing(intensity="ct", region="label"),
        # Of the 20 labelled scans. The paper's 15/5/40 needs the organisers, who keep the labels of the 40 test scans.
        split_counts=SplitCounts(train=10, validation=4, test=6),
        label_values=tuple(_STRUCTURES),
        label_synonyms={421: 420},
        namings=_NAMINGS,
        structures=tuple(_STRUCTURES.values()),
    )
    generator = Hearts
