from __future__ import annotations

import pytest
import torch

from ssl_bench.metrics.centreline import centreline_dice


def tube(length: int, radius: int = 2, row: int = 8) -> torch.Tensor:
    labels = torch.zeros(1, 16, 17, 24, dtype=torch.long)
    labels[:, 8 - radius : 9 + radius, row - radius : row + 1 + radius, :length] = 1
    return labels


def test_thickness_does_not_count_but_length_does() -> None:
    assert centreline_dice(tube(24, radius=1), tube(24, radius=3), 1).item() > 0.95
    assert centreline_dice(tube(24, radius=3), tube(24, radius=1), 1).item() > 0.95
    # Half the centreline: all of it lies in the whole tube, about half of the whole tube's centreline in it.
    assert centreline_dice(tube(12), tube(24), 1).item() == pytest.approx(2 * 0.5 / 1.5, abs=0.08)


def test_equal_tubes_score_one_and_distant_tubes_zero() -> None:
    assert centreline_dice(tube(24), tube(24), 1).item() == 1
    assert centreline_dice(tube(24, row=3), tube(24, row=13), 1).item() == 0


def test_absent_classes_are_excluded_where_absent_from_both_and_zero_where_absent_from_one() -> None:
    scores = centreline_dice(tube(24), 2 * tube(24), 3)[0]
    assert scores[:2].tolist() == [0, 0]
    assert scores[2].isnan()


@pytest.mark.parametrize("side", [1, 2])
def test_a_structure_that_thins_away_is_its_own_centreline(side: int) -> None:
    dot = torch.zeros(1, 5, 5, 5, dtype=torch.long)
    dot[0, 2 : 2 + side, 2 : 2 + side, 2 : 2 + side] = 1
    assert centreline_dice(dot, dot, 1).item() == 1


def vessels(*sections: tuple[int, int]) -> torch.Tensor:
    """Straight vessels beside each other, 24 long, of these heights and widths."""
    labels = torch.zeros(1, 14, 14 * len(sections), 30, dtype=torch.long)
    for number, (height, width) in enumerate(sections):
        labels[0, 3 : 3 + height, 14 * number + 3 : 14 * number + 3 + width, 3:27] = 1
    return labels


EVEN = [(1, 4), (2, 2), (2, 4), (4, 4), (4, 6), (6, 6), (6, 3)]


@pytest.mark.parametrize("section", [*EVEN, (1, 1), (3, 3), (5, 4)])
def test_one_of_two_equal_vessels_missed_or_invented_leaves_two_thirds(section: tuple[int, int]) -> None:
    both, one = vessels(section, section), vessels(section, (0, 0))
    # Half of one centreline agrees, and all of the other: 2 * 0.5 * 1 / 1.5.
    assert centreline_dice(one, both, 1).item() == pytest.approx(2 / 3)
    assert centreline_dice(both, one, 1).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("section", EVEN)
def test_a_vessel_of_even_thickness_weighs_as_much_as_one_of_odd_thickness(section: tuple[int, int]) -> None:
    both, odd = vessels((3, 3), section), vessels((3, 3), (0, 0))
    assert centreline_dice(odd, both, 1).item() == pytest.approx(2 / 3, abs=0.06)
    assert centreline_dice(both, odd, 1).item() == pytest.approx(2 / 3, abs=0.06)


@pytest.mark.parametrize("section", EVEN)
def test_half_of_a_vessel_of_even_thickness_has_half_of_its_centreline(section: tuple[int, int]) -> None:
    whole = vessels(section)
    half = whole.clone()
    half[..., 15:] = 0
    assert centreline_dice(half, whole, 1).item() == pytest.approx(2 / 3, abs=0.08)


def test_label_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        centreline_dice(tube(24), tube(24)[:, 1:], 1)
