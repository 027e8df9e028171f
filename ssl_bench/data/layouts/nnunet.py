"""A segmentation task from a data set in nnU-Net's raw format, version 1 or 2."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ssl_bench.api.cases import Found, Problem
from ssl_bench.api.dataset import Dataset
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.task import Task, TaskFacts
from ssl_bench.data.io.formats import natural_key
from ssl_bench.data.layouts.folders import PROPORTIONS, data_set_name, existing_folder, in_order, pair
from ssl_bench.data.layouts.nnunet_description import Listed, read_description
from ssl_bench.data.layouts.tables import exists

PREPROCESSED = "nnUNet_preprocessed"
"""The environment variable that names nnU-Net's folder of preprocessed data, and how that folder is called."""


@dataclass(frozen=True, kw_only=True)
class RawDataset(Dataset):
    """A folder in nnU-Net's raw format; with ``labelsTs`` the data set fixes its test cases."""

    ending: str
    """How every file name ends, as ``.nii.gz``, in capitals or not."""
    listed: Mapping[str, Listed] | None = None
    """The training cases by name, where ``dataset.json`` lists them: then the folders are not looked at."""

    def find(self, root: Path) -> Found:
        """See `Dataset`."""
        folder = existing_folder(root)
        trained = _find_listed(self.listed) if self.listed else _find_pairs(folder, "Tr", self.ending)
        return _with_test_cases(folder, trained, self.ending)

    def split_file(self, root: Path) -> Path | None:
        """The ``splits_final.json`` that nnU-Net keeps with the preprocessed data, or that lies in `root`."""
        beside = root.parent.parent / PREPROCESSED
        folders = [root, Path(os.environ.get(PREPROCESSED) or beside) / root.name, beside / root.name]
        return next((file for folder in folders if (file := folder / "splits_final.json").is_file()), None)


def nnunet_task(folder: Path) -> type[Task]:
    """A segmentation task with one channel: CT by the channel's name, anything else is normalised as MR.

    The format is described at https://github.com/MIC-DKFZ/nnUNet, documentation/dataset_format.md. Raises UserError
    for a folder or ``dataset.json`` that is missing or broken, and for several channels.
    """
    name = data_set_name(folder)
    described = read_description(folder / "dataset.json")
    computed = described.is_ct

    class NNUNet(Task):
        """See `nnunet_task`."""

        facts = TaskFacts(
            title=f"Segmentation of {described.name or name}",
            kind=described.labels.kind,
            metric="DSC",
            classes=tuple(described.labels.classes),
            region_codes=described.labels.region_codes,
            modality="CT" if computed else "MR",
            region="unknown",
        )
        dataset = RawDataset(
            title=name,
            licence=described.licence,
            access="a folder of the user's",
            preprocessing=Preprocessing(intensity="ct" if computed else "mr", region="whole"),
            split_counts=PROPORTIONS,
            label_values=described.labels.values,
            label_regions=described.labels.regions,
            ignored_value=described.labels.ignored,
            ending=described.ending,
            listed=described.listed,
        )

    return NNUNet


def _with_test_cases(root: Path, trained: Found, ending: str) -> Found:
    """The training cases, and with ``labelsTs`` the test cases."""
    cases, problems = list(trained.cases), list(trained.problems)
    if (root / "labelsTs").is_dir():
        test, more, _ = _find_pairs(root, "Ts", ending)
        known = {case.patient for case in cases}
        twice = [case for case in test if case.patient in known]
        problems += more
        problems += [Problem(case.image, f"{case.patient} is a training case too; keep one of them") for case in twice]
        cases += [replace(case, split="test") for case in test if case not in twice]
    if not (cases or problems):
        expected = f"imagesTr/<case>_0000{ending} with labelsTr/<case>{ending}"
        problems.append(Problem(root, f"holds no case; expected {expected}"))
    return Found(in_order(replace(case, patient_is_known=False) for case in cases), problems)


def _find_listed(listed: Mapping[str, Listed]) -> Found:
    there = {name: files for name, files in listed.items() if all(map(exists, files))}
    problems = [
        Problem(file, f"does not exist, and dataset.json lists it for {name}; correct the path or leave the case out")
        for name, files in listed.items()
        for file in files
        if not exists(file)
    ]
    pairs = pair(
        {name: [files.image] for name, files in there.items()},
        {name: [files.label] for name, files in there.items()},
        "dataset.json",
    )
    return Found(pairs.cases, problems + pairs.problems)


def _find_pairs(root: Path, part: Literal["Tr", "Ts"], ending: str) -> Found:
    """The cases of ``imagesTr`` and ``labelsTr``, or of their likes for testing."""
    image_folder, label_folder = root / f"images{part}", root / f"labels{part}"
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
    for name, files in images.items():
        match = matched[name]
        if match and match[2] == "0000":
            first[match[1]] = files
        else:
            case = match[1] if match else name
            reason = f"is no image of channel 0; call it {case}_0000{ending} or take it away"
            problems += [Problem(file, reason) for file in files]
    expected = f"{image_folder.name}/<case>_0000{ending} with {label_folder.name}/<case>{ending}"
    pairs = pair(first, labels, expected)
    return Found(pairs.cases, problems + pairs.problems)


def _by_name(folder: Path, ending: str) -> tuple[dict[str, list[Path]], list[Problem]]:
    """The files with that ending, in capitals or not, by the rest of their names; other files are passed over."""
    try:
        files = [file for file in folder.iterdir() if not file.name.startswith(".")]
    except FileNotFoundError:
        return {}, [Problem(folder, "no such folder; nnU-Net keeps its training cases in imagesTr and labelsTr")]
    except OSError as error:
        return {}, [Problem(folder, f"cannot be listed ({error.strerror}); allow it to be read")]
    named: dict[str, list[Path]] = {}
    for file in sorted(files, key=lambda file: natural_key(file.name)):
        if file.name.lower().endswith(ending.lower()):
            named.setdefault(file.name[: -len(ending)], []).append(file)
    return named, []
