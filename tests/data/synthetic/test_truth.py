"""Partners of places in other subjects: inverses of the maps that subjects are grown by."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_bench.api.registry import TASKS
from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.generator import AnatomyGenerator
from ssl_bench.data.synthetic.sampling import class_indices, sample
from ssl_bench.data.synthetic.truth import Truth, inverted
from ssl_bench.data.synthetic.warps import FAMILY, Variation, anatomy_points

SHAPE, SPACING, CENTRE = (24, 30, 20), (4.0, 4.0, 6.0), (100.0, 110.0, 120.0)
LIVELY = Variation(displacement_mm=8.0, rotation_deg=8.0, scale=0.12, shift_mm=14.0)


@pytest.mark.parametrize("family", sorted(set(FAMILY.values())))
def test_a_map_is_inverted_to_a_tenth_of_a_voxel(family: str) -> None:
    """Any places, not voxels alone, come back from where the map takes them: between voxels it is trilinear."""
    draws = Draws.keyed("truth", samples=range(2))
    for points in anatomy_points(family, draws, SHAPE, SPACING, CENTRE, LIVELY):
        generator = torch.Generator().manual_seed(0)
        places = torch.rand(400, 3, generator=generator) * (torch.tensor(SHAPE) - 1)
        corner = places.floor()
        shown = torch.zeros(400, 3)
        for offset in np.ndindex(2, 2, 2):
            at = (corner + torch.tensor(offset)).minimum(torch.tensor(SHAPE) - 1).long()
            weight = (1 - (places - corner - torch.tensor(offset)).abs()).prod(1, keepdim=True)
            shown += weight * points[*at.T]
        found = inverted(points, shown)
        assert (found - places).abs().max() < 0.1


def test_there_and_back_again() -> None:
    points = anatomy_points("bumps", Draws.keyed("truth", samples=range(2)), SHAPE, SPACING, CENTRE, LIVELY)
    truth = Truth({"one": points[0], "other": points[1]})
    voxels = torch.from_numpy(np.argwhere(np.ones(SHAPE)))[::11].float()
    there = truth.partners("one", "other", voxels)
    inside = ~there.isnan().any(1)
    assert 0.4 < inside.float().mean() < 1
    back = truth.partners("other", "one", there[inside])
    assert (back - voxels[inside]).norm(dim=1).nanmedian() < 0.01
    assert (back - voxels[inside]).nan_to_num(0).norm(dim=1).max() < 0.1


def test_a_shift_has_its_partner_at_the_shifted_place_and_none_outside() -> None:
    points = torch.stack(torch.meshgrid(*(4.0 * torch.arange(n) for n in SHAPE), indexing="ij"), -1)
    truth = Truth({"one": points, "other": points + torch.tensor([8.0, 0.0, 2.0])})
    found = truth.partners("one", "other", torch.tensor([[5.0, 7.0, 3.0], [1.0, 7.0, 3.0]]))
    torch.testing.assert_close(found[0], torch.tensor([3.0, 7.0, 2.5]))
    assert found[1].isnan().all()


@pytest.mark.parametrize("task", ["shc", "sbm"])
def test_the_points_are_those_that_the_grown_case_shows(task: str) -> None:
    """Labels of the anatomy read at the points are the case's own, but where disease moved a boundary."""
    generator = TASKS.load(task).generator
    assert generator is not None
    assert issubclass(generator, AnatomyGenerator)
    grower = generator()
    (case,), (points,) = (make("test", 1, 0.5, 0) for make in (grower.grow, grower.points))
    shown = sample(grower.anatomy.labels, points[None], grower.anatomy.spacing_mm)
    expected, label = class_indices(shown, grower.label_values)[0].numpy(), np.asarray(case.label)
    both = (expected > 0) & (label > 0)
    assert (expected[both] == label[both]).mean() > 0.8
    assert 2 * both.sum() / ((expected > 0).sum() + (label > 0).sum()) > 0.85


def test_who_does_not_say_how_it_warps_knows_no_points() -> None:
    known = {name: TASKS.load(name).generator.knows_points for name in TASKS.names()}  # type: ignore[union-attr]
    assert known == {"ccc": False, "sac": False, "sbm": True, "shc": True}
