"""``dataset.json`` of nnU-Net's raw format, version 1 or 2."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from ssl_bench.errors import UserError

_CT = re.compile(
    r"(cb|nc|ne|ce|cc|ld|hr|md|ms|de|c|p|s|q|u|µ|μ|micro|3d|4d)?ct(|a|pa|p|ac|c|e|u|scans?|images?)|ctangio.*"
)
"""One word for a kind of computed tomography: CT, CTA, CCTA, CTPA, NCCT, CECT, CBCT, LDCT, HRCT, ... but not OCT or
SPECT, nor CT1, which is a T1 with contrast."""
_CT_PHRASE = re.compile(r"\b(comput(ed|eri[sz]ed|er) (\w+ )?tomogra|cat scan|hounsfield)|^hu$")
_OTHER = frozenset(("mr", "mri", "pet", "spect", "t1", "t2", "flair", "emission", "magnetic", "ultrasound"))
"""With a CT they are of two minds."""


class Listed(NamedTuple):
    """The files of one case."""

    image: Path
    label: Path


class Description(NamedTuple):
    """What ssl-bench needs to know of a data set with one channel."""

    name: str
    """Empty if the file does not say it."""
    licence: str
    channel: str
    """Its name."""
    classes: dict[str, int]
    """Label value by name, without the background."""
    ending: str
    """How every file name ends, as ``.nii.gz``."""
    listed: dict[str, Listed] | None
    """The training cases by name; None where they are those of ``imagesTr`` and ``labelsTr``."""

    @property
    def is_ct(self) -> bool:
        """Whether the channel holds Hounsfield units, judged by the words of its name."""
        words = re.findall(r"[^\W_]+", self.channel.casefold())
        if _OTHER.intersection(words):
            return False
        phrase = " ".join(words)
        return any(_CT.fullmatch(word) for word in words) or bool(_CT_PHRASE.search(phrase))


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
        listed=_listed(values, path),
    )


def _classes(labels: Any, path: Path) -> dict[str, int]:
    """Label values by class name. Version 1 has them the other way round, their numbers as text."""
    if not isinstance(labels, dict) or not labels:
        raise UserError(f'{path}: has no labels; add for example "labels": {{"background": 0, "liver": 1}}')
    by_value = all(key.isdecimal() and isinstance(value, str) for key, value in labels.items())
    pairs = [(str(name), value) for value, name in labels.items()] if by_value else [*labels.items()]
    if any(name == "ignore" for name, _ in pairs):
        raise UserError(f"{path}: has an ignore label, which ssl-bench does not know; correct the labels without it")
    values = [(name, _value(name, value, path)) for name, value in pairs]
    classes = {name: value for name, value in values if value}
    if not classes or len({*classes.values()}) < len([value for _, value in values if value]):
        raise UserError(f"{path}: labels needs one name for each value, and one besides the background; correct it")
    return classes


def _value(name: str, written: Any, path: Path) -> int:
    """The value of a label, however nnU-Net takes it: ``1``, ``1.0``, ``"1"``, or ``[1]``, a region of one value."""
    parts = written if isinstance(written, list) else [written]
    values = {_whole(part) for part in parts}
    if len(values) > 1 and None not in values:
        raise UserError(f"{path}: label {name!r} is a region of several values; give each a label of its own")
    value = values.pop() if len(values) == 1 else None
    if value is None:
        raise UserError(f"{path}: label {name!r} has no whole number from 0 on; correct it")
    return value


def _whole(written: Any) -> int | None:
    if isinstance(written, str) and written.strip().isdecimal():
        return int(written)
    if isinstance(written, float) and written.is_integer():
        written = int(written)
    return written if type(written) is int and written >= 0 else None


def _listed(values: dict[str, Any], path: Path) -> dict[str, Listed] | None:
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
        if len(files) != 2:
            raise UserError(f"{path}: case {name!r} of dataset has {len(files) - 1} images, not one; keep one of them")
        cases[name] = Listed(*(path.parent / os.path.expandvars(str(file)) for file in files))
    return cases
