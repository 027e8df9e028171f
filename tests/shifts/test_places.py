"""Where shifts bring places, against what the shifted image shows there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from ssl_bench.api.cases import Case
from ssl_bench.api.shift import SHIFTS
from ssl_bench.shifts.cases import shifted, shifted_places
from ssl_bench.shifts.partners import ShiftedPartners

SIZE = (24, 30, 28)
VOXELS = np.indices(SIZE).reshape(3, -1).T.astype(np.float64)
NUMBERED = Case(
    "numbered",
    np.stack(np.indices(SIZE)).astype(np.float32) + 1,
    np.arange(1, len(VOXELS) + 1, dtype=np.int32).reshape(SIZE),
    (2.0, 1.0, 1.5),
)
"""Its channels say where each voxel lies, plus one, and its label which it is."""


@pytest.mark.parametrize("grade", [1, 3])
def test_a_place_goes_where_the_turned_image_shows_it(grade: int) -> None:
    """Linear interpolation of coordinates is exact, so that the image itself says what lies where."""
    turned = shifted(NUMBERED, SHIFTS["rotation"], grade, seed=4)
    found = shifted_places(VOXELS, NUMBERED, SHIFTS["rotation"], grade, seed=4)
    inside = ~np.isnan(found).any(1)
    shown = np.stack([ndimage.map_coordinates(channel, found[inside].T, order=1) for channel in turned.channels], 1)
    # Between voxels all of which show something: elsewhere nothing came from beyond the border.
    whole = ndimage.minimum_filter((turned.channels.min(0) > 0).astype(np.float32), 3) > 0
    known = whole[*found[inside].round().astype(int).T]
    assert known.mean() > 0.7
    assert shown[known] - 1 == pytest.approx(VOXELS[inside][known], abs=1e-4)
    # Whose label is still there has a place, and who has none is shown by no voxel away from the border.
    there = np.isin(np.arange(1, len(VOXELS) + 1), np.asarray(turned.label)[1:-1, 1:-1, 1:-1])
    assert inside[there].all()
    assert 0.02 < (~inside).mean() < 0.5


@pytest.mark.parametrize("grade", [0, 2])
def test_a_place_out_of_view_is_nowhere_and_the_others_stay(grade: int) -> None:
    label = np.asarray(shifted(NUMBERED, SHIFTS["field-of-view"], grade, seed=0).label).ravel()
    found = shifted_places(VOXELS, NUMBERED, SHIFTS["field-of-view"], grade, seed=0)
    np.testing.assert_array_equal(found, np.where((label > 0)[:, None], VOXELS, np.nan))


@pytest.mark.parametrize("name", SHIFTS)
def test_partners_stay_where_nothing_moves(name: str) -> None:
    class Known:
        """Of which some are not there, and some lie at the border."""

        def partners(self, source: str, target: str, voxels: torch.Tensor) -> torch.Tensor:
            assert (source, target) == ("one", "numbered")
            return voxels

    places = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) * (torch.tensor(SIZE) - 1)
    places[:3] = torch.tensor([[0.0, 0, 0], [23, 29, 27], [torch.nan] * 3])
    for grade in (0, 3):
        if grade == 0 or not SHIFTS[name].moves:
            found = ShiftedPartners(Known(), [NUMBERED], SHIFTS[name], grade, 0).partners("one", "numbered", places)
            torch.testing.assert_close(found, places, rtol=0, atol=0, equal_nan=True)
        else:
            moved = shifted(NUMBERED, SHIFTS[name], grade, 0)
            assert not np.array_equal(np.asarray(moved.label), np.asarray(NUMBERED.label))
