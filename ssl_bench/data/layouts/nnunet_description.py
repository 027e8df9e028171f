"""``dataset.json`` of nnU-Net's raw format, version 1 or 2."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from ssl_bench.data.layouts.nnunet_labels import DescribedLabels, read_labels
from ssl_bench.errors import UserError


class Listed(NamedTuple):
    """The files of one case."""

    images: tuple[Path, ...]
    """One for each channel, in order."""
    label: Path


class Description(NamedTuple):
    """What ssl-bench needs to know of a data set."""

    name: str
    """Empty if the file does not say it."""
    licence: str
    channels: tuple[str, ...]
    """Their names, in the order of their files' numbers."""
    labels: DescribedLabels
    ending: str
    """How every file name ends, as ``.nii.gz``."""
    listed: dict[str, Listed] | None
    """The training cases by name; None where they are those of ``imagesTr`` and ``labelsTr``."""


def read_description(path: Path) -> Description:
    """Read ``dataset.json``. Raises UserError if it is broken."""
    try:
        values = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); name a folder in nnU-Net's raw format"
        raise UserError(f"{path}: {reason}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is no JSON ({str(error).splitlines()[0]}); correct it") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: is no JSON object; write channel_names, labels and file_ending into one")
    channels = _channels(values.get("channel_names", values.get("modality")), path)
    ending = values.get("file_ending", ".nii.gz")
    if not isinstance(ending, str) or not ending.startswith("."):
        raise UserError(f'{path}: file_ending is {ending!r}; write for example ".nii.gz"')
    return Description(
        name=str(values.get("name") or ""),
        licence=str(values.get("licence") or values.get("license") or "see the data set"),
        channels=channels,
        labels=read_labels(values.get("labels"), values.get("regions_class_order"), path),
        ending=ending,
        listed=_listed(values, len(channels), path),
    )


def _channels(written: Any, path: Path) -> tuple[str, ...]:
    """The names of the channels. Of several the numbers that are their keys are those of the files."""
    if not isinstance(written, dict) or not written:
        raise UserError(f'{path}: has no channel_names; add for example "channel_names": {{"0": "CT"}}')
    if len(written) == 1:
        return (str(next(iter(written.values()))),)
    named = {str(number): str(name) for number, name in written.items()}
    numbers = [str(number) for number in range(len(named))]
    if named.keys() != set(numbers):
        raise UserError(f"{path}: channel_names has the numbers {', '.join(named)}; count them from 0 on without a gap")
    channels = tuple(named[number] for number in numbers)
    if len(set(channels)) < len(channels):
        raise UserError(f"{path}: channel_names has a name twice ({', '.join(channels)}); give each its own")
    return channels


def _listed(values: dict[str, Any], channels: int, path: Path) -> dict[str, Listed] | None:
    """The training cases that the description lists by itself, as nnU-Net's `dataset` does; None without such a list.

    Paths are relative to the description's folder, and may hold environment variables.
    """
    listed = values.get("dataset")
    if listed is None:
        return None
    if not isinstance(listed, dict) or not listed:
        raise UserError(f"{path}: dataset lists no case; name images and label of each, or leave it out")
    cases: dict[str, Listed] = {}
    for name, case in listed.items():
        images, label = (case.get("images"), case.get("label")) if isinstance(case, dict) else (None, None)
        files = [*images, label] if isinstance(images, list) else [None]
        if not all(isinstance(file, str) and file for file in files):
            raise UserError(
                f'{path}: case {name!r} of dataset needs "images", a list of files, and "label"; correct it'
            )
        if len(files) != channels + 1:
            wanted = "one; keep one of them" if channels == 1 else f"{channels}; name one for each channel"
            raise UserError(f"{path}: case {name!r} of dataset has {len(files) - 1} images, not {wanted}")
        *found, mask = (path.parent / os.path.expandvars(str(file)) for file in files)
        cases[name] = Listed(tuple(found), mask)
    return cases
