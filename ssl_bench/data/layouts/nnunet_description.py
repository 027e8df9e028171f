"""``dataset.json`` of nnU-Net's raw format, version 1 or 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from ssl_bench.errors import UserError


class Description(NamedTuple):
    """What ssl-bench needs to know of a data set with one channel."""

    name: str
    """Empty if the file does not say it."""
    licence: str
    channel: str
    """Its name; `CT` means Hounsfield units."""
    classes: dict[str, int]
    """Label value by name, without the background."""
    ending: str
    """How every file name ends, as ``.nii.gz``."""


def read_description(path: Path) -> Description:
    """Read ``dataset.json``. Raises UserError if it is broken, has several channels, regions or an ignore label."""
    try:
        values = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); name a folder in nnU-Net's raw format"
        raise UserError(f"{path}: {reason}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is no JSON ({str(error).splitlines()[0]}); correct it") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: is no JSON object; write channel_names, labels and file_ending into one")
    channels = values.get("channel_names", values.get("modality"))
    if not isinstance(channels, dict) or not channels:
        raise UserError(f'{path}: has no channel_names; add for example "channel_names": {{"0": "CT"}}')
    if len(channels) > 1:
        listed = ", ".join(str(name) for name in channels.values())
        raise UserError(f"{path}: has {len(channels)} channels ({listed}) and ssl-bench reads one; keep one of them")
    ending = values.get("file_ending", ".nii.gz")
    if not isinstance(ending, str) or not ending.startswith("."):
        raise UserError(f'{path}: file_ending is {ending!r}; write for example ".nii.gz"')
    return Description(
        name=str(values.get("name") or ""),
        licence=str(values.get("licence") or values.get("license") or "see the data set"),
        channel=str(next(iter(channels.values()))),
        classes=_classes(values.get("labels"), path),
        ending=ending,
    )


def _classes(labels: Any, path: Path) -> dict[str, int]:
    """Label values by class name. Version 1 has them the other way round, their numbers as text."""
    if not isinstance(labels, dict) or not labels:
        raise UserError(f'{path}: has no labels; add for example "labels": {{"background": 0, "liver": 1}}')
    by_value = all(key.isdecimal() and isinstance(value, str) for key, value in labels.items())
    pairs: list[tuple[str, Any]] = (
        [(name, int(value)) for value, name in labels.items()] if by_value else [*labels.items()]
    )
    regions = [name for name, value in pairs if isinstance(value, list)]
    if regions:
        raise UserError(f"{path}: label {regions[0]!r} is a region of several values; give each a label of its own")
    if any(name == "ignore" for name, _ in pairs):
        raise UserError(f"{path}: has an ignore label, which ssl-bench does not know; correct the labels without it")
    wrong = [name for name, value in pairs if type(value) is not int or value < 0]
    if wrong:
        raise UserError(f"{path}: label {wrong[0]!r} has no whole number from 0 on; correct it")
    classes = {name: value for name, value in pairs if value}
    if not classes or len({*classes.values()}) < len([value for _, value in pairs if value]):
        raise UserError(f"{path}: labels needs one name for each value, and one besides the background; correct it")
    return classes
