"""A segmentation task from a data set in nnU-Net's raw format, version 1 or 2."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ssl_bench.api.cases import Found, Problem, SourceCase
from ssl_bench.api.dataset import Dataset
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.task import Task, TaskFacts
from ssl_bench.data.io.formats import natural_key
from ssl_bench.data.layouts.channel_names import intensities_of
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
        """See `Dataset`; a case that lacks the file of a channel is found without it."""
        folder, channels = existing_folder(root), self.preprocessing.channel_count
        trained = _find_listed(self.listed) if self.listed else _find_pairs(folder, "Tr", self.ending, channels)
        return _with_test_cases(folder, trained, self.ending, channels)

    def split_file(self, root: Path) -> Path | None:
        """The ``splits_final.json`` that nnU-Net keeps with the preprocessed data, or that lies in `root`."""
        beside = root.parent.parent / PREPROCESSED
        folders = [root, Path(os.environ.get(PREPROCESSED) or beside) / root.name, beside / root.name]
        return next((file for folder in folders if (file := folder / "splits_final.json").is_file()), None)


def nnunet_task(folder: Path) -> type[Task]:
    """A segmentation task: each channel is normalised as its name says, as MR where it says nothing.

    The format is described at https://github.com/MIC-DKFZ/nnUNet, documentation/dataset_format.md. Raises UserError
    for a folder or ``dataset.json`` that is missing or broken.
    """
    name = data_set_name(folder)
    described = read_description(folder / "dataset.json")
    preprocessing = Preprocessing(
        intensity=intensities_of(described.channels),
        region="whole",
        channels=described.channels if len(described.channels) > 1 else (),
    )

    class NNUNet(Task):
        """See `nnunet_task`."""

        facts = TaskFacts(
            title=f"Segmentation of {described.name or name}",
            kind=described.labels.kind,
            metric="DSC",
            classes=tuple(described.labels.classes),
            region_codes=described.labels.region_codes,
            modality="CT" if set(preprocessing.intensities) == {"ct"} else "MR",
            region="unknown",
        )
        dataset = RawDataset(
            title=name,
            licence=described.licence,
            access="a folder of the user's",
            preprocessing=preprocessing,
            split_counts=PROPORTIONS,
            label_values=described.labels.values,
            label_regions=described.labels.regions,
            value_names=described.labels.value_names,
            ignored_value=described.labels.ignored,
            ending=described.ending,
            listed=described.listed,
        )

    return NNUNet


def _with_test_cases(root: Path, trained: Found, ending: str, channels: int) -> Found:
    """The training cases, and with ``labelsTs`` the test cases."""
    cases, problems = list(trained.cases), list(trained.problems)
    if (root / "labelsTs").is_dir():
        test, more, _ = _find_pairs(root, "Ts", ending, channels)
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
    there = {name: files for name, files in listed.items() if all(map(exists, (*files.images, files.label)))}
    problems = [
        Problem(file, f"does not exist, and dataset.json lists it for {name}; correct the path or leave the case out")
        for name, files in listed.items()
        for file in (*files.images, files.label)
        if not exists(file)
    ]
    pairs = pair(
        {name: files.images[:1] for name, files in there.items()},
        {name: [files.label] for name, files in there.items()},
        "dataset.json",
    )
    return Found([_with_channels(case, there[case.patient].images) for case in pairs.cases], problems + pairs.problems)


def _with_channels(case: SourceCase, files: Sequence[Path | None]) -> SourceCase:
    return replace(case, channels=tuple(files)) if len(files) > 1 else case


def _find_pairs(root: Path, part: Literal["Tr", "Ts"], ending: str, channels: int) -> Found:
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
    numbered: dict[str, list[list[Path]]] = {}
    for name, files in images.items():
        match = matched[name]
        if match and int(match[2]) < channels:
            numbered.setdefault(match[1], [[] for _ in range(channels)])[int(match[2])] = files
        else:
            of = "channel 0" if channels == 1 else f"channels 0 to {channels - 1}"
            reason = f"is no image of {of}; call it {match[1] if match else name}_0000{ending} or take it away"
            problems += [Problem(file, reason) for file in files]
    expected = f"{image_folder.name}/<case>_0000{ending} with {label_folder.name}/<case>{ending}"
    # What a case has twice of a channel is a problem; else the first channel that is there stands for it.
    shown = {name: max(found, key=lambda files: min(len(files), 2)) for name, found in numbered.items()}
    pairs = pair(shown, labels, expected)
    cases = [
        _with_channels(case, [next(iter(files), None) for files in numbered[case.patient]]) for case in pairs.cases
    ]
    return Found(cases, problems + pairs.problems)


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
