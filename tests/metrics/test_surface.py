from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from monai.metrics import SurfaceDiceMetric, compute_hausdorff_distance
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from ssl_bench.metrics.surface import surface_distances


def cube(start: int, side: int, label: int = 1) -> torch.Tensor:
    labels = torch.zeros(1, 20, 20, 20, dtype=torch.long)
    labels[:, start : start + side, 5:11, 5:11] = label
    return labels


def test_a_shift_by_three_slices_is_read_in_millimetres() -> None:
    distances = surface_distances(cube(2, 6), cube(5, 6), 1, spacing_mm=(2.0, 1.0, 1.0), tolerance_mm=0.5)
    assert distances.hd95_mm.tolist() == [[6.0]]
    tolerant = surface_distances(cube(2, 6), cube(5, 6), 1, spacing_mm=(2.0, 1.0, 1.0), tolerance_mm=6.0)
    assert tolerant.surface_dice.tolist() == [[1.0]]
    assert 0 < distances.surface_dice.item() < 1


def test_equal_structures_are_at_no_distance() -> None:
    distances = surface_distances(cube(0, 6), cube(0, 6), 1, (1, 1, 1), 0.0)
    assert (distances.hd95_mm.item(), distances.surface_dice.item()) == (0, 1)


def test_both_numbers_equal_all_pairs_of_edge_voxels_and_monais_metrics() -> None:
    first, second = cube(2, 6), cube(3, 9)
    second[0, 9, 8, 14] = 1
    spacing, tolerance = (1.5, 1.0, 0.7), 1.2
    edges = []
    for labels in (first, second):
        mask = labels[0].numpy() == 1
        edges.append(np.argwhere(mask & ~binary_erosion(mask)) * spacing)
    pairs = np.linalg.norm(edges[0][:, None] - edges[1][None], axis=-1)
    there, back = pairs.min(1), pairs.min(0)
    result = surface_distances(first, second, 1, spacing, tolerance)
    assert result.hd95_mm.item() == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-5)
    expected = ((there <= tolerance).sum() + (back <= tolerance).sum()) / (len(there) + len(back))
    assert result.surface_dice.item() == pytest.approx(expected, abs=1e-12)

    one_hot = [torch.stack([labels == 0, labels == 1], dim=1) for labels in (first, second)]
    hd95 = compute_hausdorff_distance(*one_hot, percentile=95, spacing=list(spacing))
    assert result.hd95_mm.item() == pytest.approx(hd95.item(), abs=1e-4)
    metric = SurfaceDiceMetric(class_thresholds=[tolerance])
    assert result.surface_dice.item() == pytest.approx(metric(*one_hot, spacing=list(spacing)).item(), abs=1e-6)


@pytest.mark.parametrize("spacing", [0.3, 0.7, 1.1, 1 / 3])
def test_a_surface_one_voxel_off_is_within_a_tolerance_of_one_voxel(spacing: float) -> None:
    tolerance = np.float64(spacing)
    assert surface_distances(cube(2, 1), cube(3, 1), 1, (spacing, 0.1, 0.1), tolerance).surface_dice.item() == 1


def test_structures_of_one_voxel_and_of_the_whole_volume_have_surfaces() -> None:
    dot, whole = torch.zeros(1, 7, 7, 7, dtype=torch.long), torch.ones(1, 7, 7, 7, dtype=torch.long)
    dot[0, 3, 3, 3] = 1
    assert surface_distances(dot, dot, 1, (1, 1, 1), 0.0).hd95_mm.item() == 0
    # Each face of the volume is at least three voxels from its centre, a corner 3 times the root of 3.
    assert 3 < surface_distances(dot, whole, 1, (1, 1, 1), 0.0).hd95_mm.item() < 3 * math.sqrt(3)


def test_absent_classes_are_excluded_where_absent_from_both_and_worst_where_absent_from_one() -> None:
    spacing = (3.0, 1.0, 0.5)
    distances = surface_distances(cube(2, 6), cube(2, 6, label=2), 3, spacing, 1.0)
    diagonal = math.sqrt(60**2 + 20**2 + 10**2)
    assert distances.hd95_mm[0, :2].tolist() == pytest.approx([diagonal, diagonal])
    assert distances.surface_dice[0, :2].tolist() == [0, 0]
    assert distances.hd95_mm[0, 2].isnan()
    assert distances.surface_dice[0, 2].isnan()


def test_a_missed_class_of_a_volume_of_brats_has_the_hd95_that_brats_gives_it() -> None:
    """373.13 mm, for volumes of 240 x 240 x 155 voxels of 1 mm."""
    missed, there = torch.zeros(1, 240, 240, 155, dtype=torch.uint8), torch.zeros(1, 240, 240, 155, dtype=torch.uint8)
    there[0, 100, 100, 100] = 1
    assert surface_distances(missed, there, 1, (1, 1, 1), 1.0).hd95_mm.item() == pytest.approx(373.13, abs=0.005)


def test_a_missed_class_is_worse_than_any_found_anywhere() -> None:
    """Than a voxel in the corner opposite to the true one, by the distance between them in SciPy."""
    spacing = (2.0, 1.0, 0.7)
    corners, there, missed = torch.zeros(3, 1, 9, 8, 7, dtype=torch.long)
    corners[0, 0, 0, 0] = there[0, -1, -1, -1] = 1
    (farthest,) = cdist([(0, 0, 0)], np.multiply([(8, 7, 6)], spacing))[0]
    found, not_found = (surface_distances(one, there, 1, spacing, 1.0).hd95_mm.item() for one in (corners, missed))
    assert found == pytest.approx(farthest, abs=1e-5)
    assert not_found > found


def test_twenty_eight_classes_take_well_under_half_a_second() -> None:
    z, y, _ = np.meshgrid(np.arange(48), np.arange(64), np.arange(48), indexing="ij")
    labels = torch.from_numpy(1 + (z // 12) * 7 + (y // 10).clip(0, 6))[None]
    moved = labels.roll(2, dims=3).roll(1, dims=1)
    surface_distances(labels, moved, 28, (1, 1, 1), 1.0)
    start = time.process_time()
    surface_distances(labels, moved, 28, (1, 1, 1), 1.0)
    assert time.process_time() - start < 0.5


def test_label_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        surface_distances(cube(2, 6), cube(2, 6)[:, 1:], 1, (1, 1, 1), 1.0)
