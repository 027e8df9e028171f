"""A segmentation task from a data set in nnU-Net's raw format, version 1 or 2."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from ssl_bench.api.cases import Found, Problem
from ssl_bench.api.dataset import Dataset
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.task import Task, TaskFacts
from ssl_bench.data.io.formats import natural_key
from ssl_bench.data.layouts.folders import PROPORTIONS, data_set_name, existing_folder, in_order, pair
from ssl_bench.data.layouts.nnunet_description import read_description

PREPROCESSED = "nnUNet_preprocessed"
"""The environment variable that names nnU-Net's folder of preprocessed data, and how that folder is called."""


@dataclass(frozen=True, kw_only=True)
class RawDataset(Dataset):
    """A folder in nnU-Net's raw format; with ``labelsTs`` the data set fixes its test cases."""

    ending: str
    """How every file name ends, as ``.nii.gz``."""

    def find(self, root: Path) -> Found:
        """See `Dataset`."""
        return _find(existing_folder(root), self.ending)

    def split_file(self, root: Path) -> Path | None:
        """The ``splits_final.json`` that nnU-Net keeps with the preprocessed data, or that lies in `root`."""
        beside = root.parent.parent / PREPROCESSED
        folders = [root, Path(os.environ.get(PREPROCESSED) or beside) / root.name, beside / root.name]
        return next((file for folder in folders if (file := folder / "splits_final.json").is_file()), None)


def nnunet_task(folder: Path) -> type[Task]:
    """A segmentation task with one channel: CT by the channel's name, anything else is normalised as MR.

    The format is described at https://github.com/MIC-DKFZ/nnUNet, documentation/dataset_format.md. Raises UserError
    for a folder or ``dataset.json`` that is missing or broken, several channels, regions and an ignore label.
    """
    name = data_set_name(folder)
    described = read_description(folder / "dataset.json")
    computed = described.channel.upper() == "CT"

    class NNUNet(Task):
        """See `nnunet_task`."""

        facts = TaskFacts(
            title=f"Segmentation of {described.name or name}",
            kind="segmentation",
            metric="DSC",
            classes=tuple(described.classes),
            modality="CT" if computed else "MR",
            region="unknown",
        )
        dataset = RawDataset(
            title=name,
            licence=described.licence,
            access="a folder of the user's",
            preprocessing=Preprocessing(intensity="ct" if computed else "mr", region="whole"),
            split_counts=PROPORTIONS,
            label_values=tuple(described.classes.values()),
            ending=described.ending,
        )

    return NNUNet


def _find(root: Path, ending: str) -> Found:
    cases, problems, _ = _find_pairs(root / "imagesTr", root / "labelsTr", ending)
    if (root / "labelsTs").is_dir():
        test, more, _ = _find_pairs(root / "imagesTs", root / "labelsTs", ending)
        trained = {case.patient for case in cases}
        twice = [case for case in test if case.patient in trained]
        problems += more
        problems += [Problem(case.image, f"{case.patient} is a training case too; keep one of them") for case in twice]
        cases += [replace(case, split="test") for case in test if case not in twice]
    if not (cases or problems):
        expected = f"imagesTr/<case>_0000{ending} with labelsTr/<case>{ending}"
        problems.append(Problem(root, f"holds no case; expected {expected}"))
    return Found(in_order(replace(case, patient_is_known=False) for case in cases), problems)


def _find_pairs(image_folder: Path, label_folder: Path, ending: str) -> Found:
    images, image_problems = _by_name(image_folder, ending)
    labels, label_problems = _by_name(label_folder, ending)
    problems = image_problems + label_problems
    if problems:
        return Found([], problems)
    matched = {name: re.fullmatch(r"(.+)_(\d{4})", name) for name in images}
    if images and not any(matched.values()):
        reason = "holds images without a channel number, as the Medical Segmentation Decathlon does; "
        return Found([], [Problem(image_folder, reason + "convert the data set by nnUNetv2_convert_MSD_dataset")])
    first: dict[str, list[Path]] = {}
    for name, file in images.items():
        match = matched[name]
        if match and match[2] == "0000":
            first[match[1]] = [file]
        else:
            case = match[1] if match else name
            problems.append(Problem(file, f"is no image of channel 0; call it {case}_0000{ending} or take it away"))
    expected = f"{image_folder.name}/<case>_0000{ending} with {label_folder.name}/<case>{ending}"
    pairs = pair(first, {name: [file] for name, file in labels.items()}, expected)
    return Found(pairs.cases, problems + pairs.problems)


def _by_name(folder: Path, ending: str) -> tuple[dict[str, Path], list[Problem]]:
    """The files with that ending, by the rest of their names; other files are passed over."""
    try:
        files = [file for file in folder.iterdir() if file.name.endswith(ending) and not file.name.startswith(".")]
    except FileNotFoundError:
        return {}, [Problem(folder, "no such folder; nnU-Net keeps its training cases in imagesTr and labelsTr")]
    except OSError as error:
        return {}, [Problem(folder, f"cannot be listed ({error.strerror}); allow it to be read")]
    files.sort(key=lambda file: natural_key(file.name))
    return {file.name.removesuffix(ending): file for file in files}, []
