"""The grid after resampling, against physical positions and against SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk

from ssl_bench.data.preprocessing.resampling import Grid, Triple

SPACINGS = [(0.7, 0.45, 0.45), (3.0, 0.8, 1.3), (1.0, 1.0, 2.5)]


def scan(spacing: Triple) -> np.ndarray:
    shape = [round(size / step) for size, step in zip((30, 21, 26), spacing, strict=True)]
    return np.random.default_rng(0).integers(-1000, 2000, shape).astype(np.int16)


def by_simpleitk(voxels: np.ndarray, spacing: Triple, grid: Grid, interpolator: int, pixel: int) -> np.ndarray:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing[::-1])
    resampling = sitk.ResampleImageFilter()
    resampling.SetSize(grid.shape[::-1])
    resampling.SetOutputSpacing(grid.spacing_mm[::-1])
    # Both boxes have one centre.
    middle = [(n - 1) / 2 * step for n, step in zip(voxels.shape, spacing, strict=True)]
    origin = [at - (n - 1) / 2 * step for at, n, step in zip(middle, grid.shape, grid.spacing_mm, strict=True)]
    resampling.SetOutputOrigin(origin[::-1])
    resampling.SetInterpolator(interpolator)
    resampling.SetOutputPixelType(pixel)
    resampling.UseNearestNeighborExtrapolatorOn()
    return sitk.GetArrayFromImage(resampling.Execute(image))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_images_are_read_linearly_as_simpleitk_does(spacing: Triple) -> None:
    voxels = scan(spacing)
    grid = Grid.over(voxels.shape, spacing, 1.0)
    found = grid.read(voxels, grid.whole(), "linear")
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, by_simpleitk(voxels, spacing, grid, sitk.sitkLinear, sitk.sitkFloat32), atol=2e-3)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_labels_take_the_nearest_voxel_as_simpleitk_does(spacing: Triple) -> None:
    labels = (scan(spacing) % 7).astype(np.uint8)
    grid = Grid.over(labels.shape, spacing, 1.0)
    found = grid.read(labels, grid.whole(), "nearest")
    assert found.dtype == np.uint8
    expected = by_simpleitk(labels, spacing, grid, sitk.sitkNearestNeighbor, sitk.sitkUInt8)
    # Half-way between two voxels either is right.
    places = [at + np.arange(n) * step for at, n, step in zip(grid.first, grid.shape, grid.step, strict=True)]
    clear = np.ix_(*[np.abs(place % 1 - 0.5) > 1e-6 for place in places])
    assert found[clear].size > found.size / 2
    assert np.array_equal(found[clear], expected[clear])


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("target", [0.6, 1.0, 2.0])
def test_the_physical_box_stays(spacing: Triple, target: float) -> None:
    shape = scan(spacing).shape
    grid = Grid.over(shape, spacing, target)
    for n, step, m, first, ratio in zip(shape, spacing, grid.shape, grid.first, grid.step, strict=True):
        assert abs(n * step - m * target) <= target / 2 + 1e-9
        assert first + (m - 1) / 2 * ratio == pytest.approx((n - 1) / 2)
    assert grid.spacing_mm == (target, target, target)


def test_without_a_target_every_voxel_stays_as_it_is() -> None:
    voxels = scan((3.0, 0.8, 1.3))
    grid = Grid.over(voxels.shape, (3.0, 0.8, 1.3), None)
    assert grid.spacing_mm == (3.0, 0.8, 1.3)
    assert np.array_equal(grid.read(voxels, grid.whole(), "linear"), voxels)


@pytest.mark.parametrize("target", [None, 1.0])
def test_a_box_reads_what_the_whole_has_there(target: float | None) -> None:
    voxels = scan((0.7, 0.45, 0.45))
    grid = Grid.over(voxels.shape, (0.7, 0.45, 0.45), target)
    box = grid.centre((8, 9, 10))
    assert [part.stop - part.start for part in box] == [8, 9, 10]
    np.testing.assert_allclose(grid.read(voxels, box, "linear"), grid.read(voxels, grid.whole(), "linear")[box])


def test_the_box_around_a_mask_reaches_the_margin_and_no_voxel_further() -> None:
    mask = np.zeros((40, 60, 60), np.uint8)
    mask[10:20, 20:40, 0:5] = 1
    grid = Grid.over(mask.shape, (2.0, 0.5, 0.5), 1.0)
    # Faces: 20 to 40, 10 to 20 and 0 to 2.5 mm; the scan is 80 x 30 x 30 mm.
    assert grid.around(mask, 5.0) == (slice(15, 45), slice(5, 25), slice(0, 8))
    assert grid.around(mask, 0.0) == (slice(20, 40), slice(10, 20), slice(0, 3))
