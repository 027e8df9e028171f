"""``dataset.json`` of nnU-Net's raw format, version 1 or 2."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from ssl_bench.data.layouts.nnunet_labels import DescribedLabels, read_labels
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
    labels: DescribedLabels
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
    """Read ``dataset.json``. Raises UserError if it is broken or has several channels."""
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
        labels=read_labels(values.get("labels"), values.get("regions_class_order"), path),
        ending=ending,
        listed=_listed(values, path),
    )


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
