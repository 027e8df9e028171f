"""A task's own structures in a data set in nnU-Net's raw format, whose labels have other values and spellings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ssl_bench.api.dataset import Dataset
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.layouts.folders import PROPORTIONS, data_set_name
from ssl_bench.data.layouts.nnunet import RawDataset
from ssl_bench.data.layouts.nnunet_description import Description, read_description
from ssl_bench.errors import UserError

DESCRIPTION = "dataset.json"

_SPELLINGS = {
    "3rd": "third",
    "4th": "fourth",
    "brainstem": "brain stem",
    "cerebellum": "cerebellar",
    "cerebrum": "cerebral",
    "csf": "cerebrospinal fluid",
    "dc": "diencephalon",
    "l": "left",
    "lh": "left",
    "r": "right",
    "rh": "right",
    "thalamus": "thalamus proper",
    "ventraldc": "ventral diencephalon",
    "ventricle": "ventricular",
}
"""Words that mean the same in names of structures, FreeSurfer's among them."""
_SAYS_NOTHING = frozenset(("and", "blood", "cavity", "heart", "of", "the"))


def with_structures(root: Path, structures: Mapping[str, int], preprocessing: Preprocessing) -> Dataset:
    """The nnU-Net data set in `root` as one of the classes `structures`, in their order.

    They are found in ``dataset.json`` by name, whatever its case, order of words and separators
    (``Left-Thalamus-Proper`` is ``left thalamus``), or by the number that `structures` gives each (``17`` is the left
    hippocampus in CANDI).
    Other labels are background. Raises UserError that lists the structures without a label, and for two labels of one,
    regions, an ignore label and several channels.
    """
    path = root / DESCRIPTION
    described = read_description(path)
    labels = _plain_labels(described, path)
    known = {words(name): name for name in structures} | {words(str(value)): name for name, value in structures.items()}
    values: dict[str, int] = {}
    for label, value in labels.items():
        name = known.get(words(label))
        if name in values:
            raise UserError(f"{path}: two labels mean {name!r}, and {label!r} is the second; keep one of them")
        if name is not None:
            values[name] = value
    missing = [name for name in structures if name not in values]
    if missing:
        raise UserError(
            f"{path}: has no label for {len(missing)} of the task's {len(structures)} structures "
            f"({', '.join(missing)}); call its labels so, or take it as a task of its own with --task nnunet:{root}"
        )
    return RawDataset(
        title=data_set_name(root),
        licence=described.licence,
        access="a folder of the user's",
        preprocessing=preprocessing,
        split_counts=PROPORTIONS,
        label_values=tuple(values[name] for name in structures),
        background_values=tuple(sorted({*labels.values()} - {*values.values()})),
        ending=described.ending,
        listed=described.listed,
    )


def _plain_labels(described: Description, path: Path) -> dict[str, int]:
    """The value of each label. Raises UserError where a voxel may have two labels or none, or a case several images."""
    own = f"take it as a task of its own with --task nnunet:{path.parent}"
    if described.labels.kind != "segmentation":
        raise UserError(f"{path}: has regions or an ignore label, which the task's structures have not; {own}")
    if len(described.channels) > 1:
        raise UserError(f"{path}: has {len(described.channels)} channels and the task has one; {own}")
    return {label: value for label, (value,) in described.labels.classes.items()}


def words(name: str) -> frozenset[str]:
    """The words of a structure's name that tell it from others, each in one spelling."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    found = " ".join(_SPELLINGS.get(word, word) for word in re.findall(r"[^\W_]+", apart.casefold())).split()
    return frozenset(found) - _SAYS_NOTHING
