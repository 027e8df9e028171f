"""Tasks of the Medical Segmentation Decathlon (Simpson et al., arXiv:1902.09063): laid as nnU-Net's raw format."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_bench.data.open_sets.declaration import OpenSet, RemoteFile, at
from ssl_bench.data.open_sets.unpacking import unpack
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    import nibabel as nib

_SERVER = "https://msd-for-monai.s3-us-west-2.amazonaws.com"
"""Named by MONAI, whose DecathlonDataset publishes the hashes too."""
_MEMBER = re.compile(r"(?:^|/)(?P<part>images|labels)(?P<of>Tr|Ts)/(?P<case>[^/]+)\.nii\.gz$")
_ENDING = ".nii.gz"
SUBJECTS = "subjects.csv"


def lay(files: Mapping[str, Path], folder: Path, most_bytes: int, subject_of: Callable[[str], str] | None) -> None:
    """Channel numbers behind the names of images, a file for each channel, and ``dataset.json`` in its second version.

    The test images have no labels and stay in ``imagesTs``: they are a corpus of the same kind. With `subject_of`, a
    table says whose each training case is.
    """
    for archive in files.values():
        unpack(archive, folder, _place, most_bytes)
    described = _description(folder / "dataset.json")
    channels = described.pop("modality")
    for image in sorted([*folder.glob("imagesTr/*"), *folder.glob("imagesTs/*")]):
        _number_channels(image, len(channels))
    cases = sorted(file.name.removesuffix(_ENDING) for file in folder.glob("labelsTr/*"))
    written: dict[str, Any] = {
        key: described[key] for key in ("name", "description", "reference", "licence") if key in described
    }
    written |= {"channel_names": channels, "numTraining": len(cases), "file_ending": _ENDING}
    written["labels"] = {name: int(value) for value, name in described["labels"].items()}
    (folder / "dataset.json").write_text(json.dumps(written, indent=1) + "\n", "utf-8")
    if subject_of:
        with (folder / SUBJECTS).open("w", newline="", encoding="utf-8") as table:
            csv.writer(table).writerows([("case", "subject"), *((case, subject_of(case)) for case in cases)])


def _place(name: str) -> str | None:
    if match := _MEMBER.search(name):
        return f"{match['part']}{match['of']}/{match['case']}{_ENDING}"
    return "dataset.json" if name.rpartition("/")[2] == "dataset.json" else None


def _description(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text("utf-8-sig"))
        if values["modality"] and {int(value) for value in values["labels"]}:
            return values
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path.name}: the archive holds none as the Decathlon has it ({error!r})") from error
    raise UserError(f"{path.name}: the archive's names no channel or no label")


def _number_channels(path: Path, channels: int) -> None:
    """``case.nii.gz`` as ``case_0000.nii.gz``; one of four axes as a file for each step of the last."""
    import nibabel as nib
    import numpy as np
    from nibabel.filebasedimages import ImageFileError

    case = path.name.removesuffix(_ENDING)
    try:
        image: nib.Nifti1Image = nib.load(path)
        depth = image.shape[3] if len(image.shape) == 4 else 1
        if depth != channels:
            raise UserError(f"{path.name}: has {depth} channels and dataset.json names {channels}")
        if len(image.shape) == 3:
            path.rename(path.with_name(f"{case}_0000{_ENDING}"))
            return
        for channel in range(channels):
            voxels = np.asarray(image.dataobj[..., channel])
            alone = nib.Nifti1Image(voxels.astype(image.get_data_dtype(), copy=False), image.affine, image.header)
            nib.save(alone, path.with_name(f"{case}_{channel:04d}{_ENDING}"))
    except (ImageFileError, EOFError) as error:
        raise UserError(f"{path.name}: is no NIfTI file ({error})") from error
    path.unlink()


def _declared(task: str, md5: str, subject_of: Callable[[str], str] | None = None, **facts: Any) -> OpenSet:
    """What all tasks share."""
    number, _, organ = task.removeprefix("Task").partition("_")
    return OpenSet(
        name=f"msd-{organ.lower()}",
        laid_as="nnunet",
        licence="CC BY-SA 4.0",
        non_commercial=False,
        source="http://medicaldecathlon.com, arXiv:1902.09063",
        folder=f"Dataset{int(number):03d}_{organ}",
        remote=at(RemoteFile(f"{task}.tar", f"{_SERVER}/{task}.tar", f"md5:{md5}")),
        lay=lambda files, folder, most_bytes: lay(files, folder, most_bytes, subject_of),
        options=("--subjects", f"{{folder}}/{SUBJECTS}") if subject_of else (),
        **facts,
    )


SETS = (
    _declared(
        "Task04_Hippocampus",
        "9d24dba78a72977dbd1d2e110310f31b",
        subject_of=lambda case: f"{(int(re.findall(r'[0-9]+', case)[-1]) + 1) // 2:03d}",
        title="MSD Hippocampus",
        modality="MR (T1)",
        cases=260,
        subjects=None,
        good_for="a first segmentation task on real volumes: 2 labels on small crops, minutes on two cores",
        known=(
            "crops 2k-1 and 2k are the two sides of one person (found by comparing voxels; the data set does not say "
            "it): the fetch writes subjects.csv, which keeps them on one side of a split",
            "the labels of the 130 test crops are not public",
        ),
        download_gb=0.03,
        disk_gb=0.1,
    ),
    _declared(
        "Task02_Heart",
        "06ee59366e1e5124267b774dbd654057",
        title="MSD Heart",
        modality="MR",
        cases=20,
        subjects=20,
        good_for="segmentation of the left atrium where labels are few; its 10 unlabelled images are a corpus",
        known=(
            "20 labelled cases: one split says little, cross-validate",
            "the labels of the 10 test cases are not public",
        ),
        download_gb=0.45,
        disk_gb=1,
    ),
    _declared(
        "Task01_BrainTumour",
        "240a19d752f0d9e9101544901065d872",
        title="MSD Brain Tumour",
        modality="MR (FLAIR, T1, T1 with contrast, T2)",
        cases=484,
        subjects=None,
        good_for="segmentation with four channels",
        known=(
            "scans of BraTS 2016 and 2017 under other names: no BraTS set may be the corpus of this task",
            "its labels are older than those of later BraTS and less exact, as an author of nnU-Net says "
            "(MIC-DKFZ/nnUNet, issue 634)",
            "the labels of the 266 test cases are not public",
        ),
        download_gb=7.6,
        disk_gb=15,
    ),
)
