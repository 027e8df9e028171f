"""The digest of cases covers every voxel and every label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ssl_bench.api.cases import Case
from ssl_bench.data.source import cases_digest


def cases() -> list[Case]:
    generator = np.random.default_rng(0)
    return [
        Case(
            f"case-{i}",
            generator.random((3, 4, 5), np.float32),
            generator.integers(0, 3, (3, 4, 5), np.uint8),
            (1, 1, 1),
        )
        for i in range(2)
    ]


def one_voxel(case: Case) -> Case:
    image = case.image.copy()
    image[2, 3, 4] = np.nextafter(image[2, 3, 4], np.float32(2))
    return replace(case, image=image)


def one_label(case: Case) -> Case:
    label = np.array(case.label)
    label[2, 3, 4] += 1
    return replace(case, label=label)


@pytest.mark.parametrize("change", [one_voxel, one_label])
@pytest.mark.parametrize("place", [0, 1])
def test_one_voxel_or_label_of_any_case_changes_it(change: Callable[[Case], Case], place: int) -> None:
    changed = cases()
    changed[place] = change(changed[place])
    assert cases_digest(changed) != cases_digest(cases())


def test_classes_and_the_order_of_cases_change_it_and_names_do_not() -> None:
    found = cases_digest(cases())
    assert cases_digest(cases()[::-1]) != found
    assert cases_digest([replace(case, label=0) for case in cases()]) != cases_digest(
        [replace(case, label=1) for case in cases()]
    )
    assert cases_digest([replace(case, identifier="another") for case in cases()]) == found
