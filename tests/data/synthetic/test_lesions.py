"""Tissue that no warp explains."""

from __future__ import annotations

import torch

from ssl_bench.data.synthetic.lesions import ball


def test_a_ball_is_1_within_and_0_beyond_with_an_edge_of_a_fifth_of_its_radius() -> None:
    along = torch.tensor([0.0, 4.0, 5.0, 6.0, 10.0])
    points = torch.stack((along, torch.zeros(5), torch.zeros(5)), -1)
    found = ball(points, torch.zeros(3), torch.tensor([5.0, 1.0, 1.0]))
    assert found[0] == 1
    assert found[-1] == 0
    assert 0 < found[2] < 1
    assert (found.diff() <= 0).all()
    assert ball(points[3:4].roll(1, -1), torch.zeros(3), torch.tensor([5.0, 1.0, 1.0])) == 0
