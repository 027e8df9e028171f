"""``labels`` of nnU-Net's ``dataset.json``: exclusive classes or overlapping regions, and what is to be ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ssl_bench.api.kinds import Kind
from ssl_bench.errors import UserError

MOST_REGIONS = 15
"""A label of 16 bits holds a bit for each, and one value to ignore."""


class DescribedLabels(NamedTuple):
    """What label files hold."""

    classes: dict[str, tuple[int, ...]]
    """Label values by the name of a class, or of a region, without the background: one for a class."""
    order: tuple[int, ...] = ()
    """``regions_class_order``: the value that nnU-Net writes where a voxel is in each region; empty for classes."""
    ignored: int | None = None
    """The value of ``ignore``."""

    @property
    def kind(self) -> Kind:
        """The kind of task that they make."""
        if self.order:
            return "region segmentation"
        return "segmentation" if self.ignored is None else "sparse segmentation"

    @property
    def values(self) -> tuple[int, ...]:
        """Every value of a class, or of any region, once."""
        return tuple(dict.fromkeys(value for values in self.classes.values() for value in values))

    @property
    def value_names(self) -> dict[int, str]:
        """The classes by their values; empty for regions, whose values have no names."""
        return {} if self.order else {value: name for name, (value,) in self.classes.items()}

    @property
    def regions(self) -> tuple[tuple[int, ...], ...]:
        """The values of every region; empty for classes."""
        return tuple(self.classes.values()) if self.order else ()

    @property
    def region_codes(self) -> tuple[int, ...]:
        """What a voxel holds that is painted with each region's value of `order`: a bit for each region it is in."""
        return tuple(sum(1 << r for r, values in enumerate(self.regions) if value in values) for value in self.order)


def read_labels(labels: Any, order: Any, path: Path) -> DescribedLabels:
    """Understand ``labels`` and ``regions_class_order`` of the file at `path`, as nnU-Net does; version 1 of it too.

    There are regions if a label has several values: then every label is one. Raises UserError for what nnU-Net refuses.
    """
    if not isinstance(labels, dict) or not labels:
        raise UserError(f'{path}: has no labels; add for example "labels": {{"background": 0, "liver": 1}}')
    # Version 1 has them the other way round, their numbers as text.
    by_value = all(key.isdecimal() and isinstance(value, str) for key, value in labels.items())
    pairs = [(str(name), value) for value, name in labels.items()] if by_value else [*labels.items()]
    found = {name: _values(name, written, path) for name, written in pairs}
    ignored = _ignored(found, path)
    classes = {name: values for name, values in found.items() if any(values)}
    if not any(len(values) > 1 for values in classes.values()):
        named = [name for name, written in pairs if name != "ignore" and any(_values(name, written, path))]
        if not classes or len(set(classes.values())) < len(named):
            raise UserError(f"{path}: labels needs one name for each value, and one besides the background; correct it")
        return DescribedLabels(classes, ignored=ignored)
    if len(classes) > MOST_REGIONS:
        raise UserError(f"{path}: labels has {len(classes)} regions and ssl-bench reads {MOST_REGIONS}; leave some out")
    return DescribedLabels(classes, _order(order, classes, path), ignored)


def _ignored(found: dict[str, tuple[int, ...]], path: Path) -> int | None:
    """The value of ``ignore``, which is taken out of `found`."""
    values = found.pop("ignore", None)
    if values is None:
        return None
    others = {value for written in found.values() for value in written}
    if len(values) > 1 or values[0] in others or values[0] == 0:
        raise UserError(f'{path}: "ignore" is {list(values)}; give it one value that is no label and not 0')
    return values[0]


def _order(order: Any, regions: dict[str, tuple[int, ...]], path: Path) -> tuple[int, ...]:
    """``regions_class_order``, of which each value must be one of its region's."""
    example = '"regions_class_order": [1, 2, 3]'
    if not isinstance(order, list) or len(order) != len(regions):
        raise UserError(
            f"{path}: labels has {len(regions)} regions ({', '.join(regions)}) and regions_class_order "
            f"{len(order) if isinstance(order, list) else 'no'} values; give each region the label to write, {example}"
        )
    for value, (name, values) in zip(order, regions.items(), strict=True):
        if _whole(value) not in values:
            said = f"regions_class_order has {value!r} for region {name!r} of the labels {list(values)}"
            raise UserError(f"{path}: {said}; give one of them")
    return tuple(int(value) for value in order)


def _values(name: str, written: Any, path: Path) -> tuple[int, ...]:
    """The values of a label, however nnU-Net takes them: ``1``, ``1.0``, ``"1"``, or a list of such."""
    parts = written if isinstance(written, list) else [written]
    values = tuple(dict.fromkeys(value for part in parts if (value := _whole(part)) is not None))
    if not values or any(_whole(part) is None for part in parts):
        raise UserError(f"{path}: label {name!r} has no whole number from 0 on; correct it")
    if len(values) > 1 and 0 in values:
        raise UserError(f"{path}: region {name!r} holds the background, 0; leave it out of the region")
    return values


def _whole(written: Any) -> int | None:
    if isinstance(written, str) and written.strip().isdecimal():
        return int(written)
    if isinstance(written, float) and written.is_integer():
        written = int(written)
    return written if type(written) is int and written >= 0 else None
