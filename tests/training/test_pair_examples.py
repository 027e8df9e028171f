"""What pairs of cases keep for the pictures: the right places, of the first pair, and little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_bench.api.cases import Case
from ssl_bench.api.registry import TASKS
from ssl_bench.store.example_file import Examples, LaidPair, Matches, read_examples, write_examples
from ssl_bench.training import pair_examples as engine
from ssl_bench.training.pair_examples import PairExamples

SBM = TASKS.load("sbm").facts
GRID = 6, 10, 8
SPACING = (2.0, 1.0, 3.0)


def case(name: str, size: tuple[int, ...] = GRID, bright: tuple[int, ...] | None = None, level: int = 2) -> Case:
    """Its slice `level` holds the most foreground; one voxel may shine."""
    image, label = np.zeros(size, np.float32), np.zeros(size, np.uint8)
    label[level, 2:6, 2:6] = 1
    label[0, 1, 1] = 1
    if bright:
        image[bright] = 1
    return Case(name, image, label, SPACING)


def pairs(tmp_path: Path) -> PairExamples:
    return PairExamples(tmp_path / "x.npz", SBM)


def test_a_point_is_drawn_on_the_pixel_of_its_voxel_and_so_are_its_partner_and_what_was_found(tmp_path: Path) -> None:
    point, partner, found = (2, 7, 1), (3, 2, 6), (3, 4, 5)
    target = case("b", bright=partner)
    shown = pairs(tmp_path)
    shown.points(case("a", bright=point), target, *(torch.tensor([place]) for place in (point, partner, found)))
    kept = shown.matches()
    assert kept is not None
    assert (kept.source, kept.target) == ("a", "b")
    for image, places in ((kept.source_image, kept.points), (kept.target_image, kept.partners)):
        (down, right) = places[0].astype(int)
        assert image[down, right] == 255
        assert image.astype(int).sum() == 255, "the slice that the place lies in, and one voxel of it"
    # Front up and right on the left: both axes of a slice are turned.
    assert kept.found[0].tolist() == [GRID[1] - 1 - 4, GRID[2] - 1 - 5]
    assert kept.error_mm[0] == pytest.approx(np.hypot(2 * 1.0, 1 * 3.0))
    assert kept.source_pixel_mm == (1.0, 3.0)


def test_pixels_of_a_long_slice_are_thinned_and_points_with_them(tmp_path: Path) -> None:
    size, place = (3, 200, 100), (1, 199 - 3 * 10, 99 - 3 * 5)
    long = case("a", size, place, level=1)
    shown = pairs(tmp_path)
    shown.points(long, long, *[torch.tensor([place])] * 3)
    kept = shown.matches()
    assert kept is not None
    assert max(kept.source_image.shape) <= engine.LARGEST_SIDE
    assert kept.points.tolist() == [[10, 5]]
    assert kept.source_image[10, 5] == 255
    assert kept.source_pixel_mm == (3.0, 9.0)


def test_of_the_first_pair_the_points_nearest_to_its_slice_are_kept_and_of_all_pairs_the_errors(tmp_path: Path) -> None:
    points = torch.tensor([(z, y, 4) for z in range(6) for y in range(10)])
    shown = pairs(tmp_path)
    shown.points(case("a"), case("b"), points, points, points)
    shown.points(case("b"), case("c"), points, points, points + torch.tensor([5, 0, 0]))
    kept = shown.matches()
    assert kept is not None
    assert (kept.source, kept.target) == ("a", "b")
    assert len(kept.points) == engine.SHOWN_POINTS
    # Ten points lie in the slice, twenty in the two beside it.
    down = kept.points[:, 0].astype(int).tolist()
    assert set(down) == set(range(10))
    assert max(down.count(place) for place in range(10)) <= 3
    # Half of all points are right, half are off by five slices of 2 mm.
    assert kept.every_error_mm[[0, 49, 51, 100]].tolist() == [0, 0, 10, 10]


class Known:
    """Every place lies a voxel further along each axis, and nothing does beyond column 6."""

    def partners(self, source: str, target: str, voxels: torch.Tensor) -> torch.Tensor:
        assert (source, target) == ("fixed", "moving")
        return torch.where(voxels[:, 2:] > 6, torch.nan, voxels + 1)


def test_a_laid_slice_shows_what_was_fetched_from_where_and_how_far_off_that_is(tmp_path: Path) -> None:
    fixed, moving = case("fixed"), case("moving", bright=(3, 6, 4))
    field = torch.zeros(3, *GRID)
    field[0], field[1] = 1, 2  # one voxel up, two to the front
    labels = torch.zeros(GRID, dtype=torch.int32)
    labels[2, 3, 4] = 7
    shown = pairs(tmp_path)
    shown.laid(fixed, moving, field, labels, Known())
    kept = shown.first_laid
    assert kept is not None
    turned = GRID[1] - 1 - 4, GRID[2] - 1 - 4
    # (3, 6, 4) of the moving case was fetched to (2, 4, 4).
    assert kept.image[turned] == 255
    assert np.count_nonzero(kept.image) == 1
    assert kept.prediction[GRID[1] - 1 - 3, GRID[2] - 1 - 4] == 7
    assert np.count_nonzero(kept.truth) == 16
    # Two voxels to the front are two pixels up.
    assert (kept.displacement[0] == -2).all()
    assert (kept.displacement[1] == 0).all()
    assert kept.error_mm is not None
    assert kept.error_mm[turned] == pytest.approx(np.hypot(1.0, 3.0), abs=1e-3), "right in depth, off by 1 and by 1"
    assert np.isnan(kept.error_mm[:, 0]).all(), "column 7 has no partner"
    shown.laid(moving, fixed, field, labels, None)
    assert shown.first_laid is kept


def test_without_known_partners_there_is_no_map_of_errors(tmp_path: Path) -> None:
    shown = pairs(tmp_path)
    shown.laid(case("a"), case("b"), torch.zeros(3, *GRID), torch.zeros(GRID, dtype=torch.int32), None)
    assert shown.first_laid is not None
    assert shown.first_laid.error_mm is None


def test_what_is_kept_comes_back_and_is_small_whatever_the_size(tmp_path: Path) -> None:
    size, rng = (8, 256, 256), np.random.default_rng(0)
    noise = [Case(name, rng.random(size, np.float32), rng.integers(0, 9, size, np.uint8), SPACING) for name in "ab"]
    points = torch.from_numpy(rng.integers(0, 8, (5000, 3)))
    shown = pairs(tmp_path)
    for _ in range(20):
        shown.points(*noise, points, points, points.flip(0))
    field = torch.from_numpy(rng.standard_normal((3, *size), np.float32))
    shown.laid(*noise, field, torch.from_numpy(noise[1].label.astype(np.int32)), Known0())
    kept = Examples(matches=shown.matches(), laid=shown.first_laid)
    write_examples(tmp_path / "x.npz", kept)
    assert (tmp_path / "x.npz").stat().st_size < 100_000, "of noise, which does not compress"
    found = read_examples(tmp_path / "x.npz")
    for ours, theirs in ((found.matches, kept.matches), (found.laid, kept.laid)):
        assert theirs is not None
        for name, value in vars(theirs).items():
            np.testing.assert_array_equal(getattr(ours, name), value)


class Known0:
    def partners(self, source: str, target: str, voxels: torch.Tensor) -> torch.Tensor:
        return voxels


def test_nothing_is_made_where_nothing_is_kept_and_a_mistake_is_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = torch.tensor([(2, 3, 4)])
    nowhere, wrong = PairExamples(None, SBM), pairs(tmp_path)
    nowhere.points(case("a"), case("b"), points, points, points)
    assert nowhere.matches() is None
    for _ in range(2):
        wrong.points(case("a"), case("b"), points, points, torch.zeros(4, 2))
    assert wrong.matches() is None
    assert capsys.readouterr().err.count("no examples kept") == 1


SLICE = np.arange(12, dtype=np.uint8).reshape(3, 4)
PLACES = np.ones((2, 2), np.float32)
MATCHES = Matches("a", "b", SLICE, SLICE, PLACES, PLACES, PLACES, PLACES[0], (1.0, 2.0), (1.0, 2.0), PLACES[0])
MOVED = np.zeros((2, 3, 4), np.float16)
LAID = LaidPair("a", "b", SLICE, SLICE, SLICE, MOVED, MOVED[0], (1.0, 2.0))


@pytest.mark.parametrize(
    "change",
    [
        {"matches_points": np.ones((3, 2), np.float32)},
        {"matches_found": np.full((2, 2), np.nan, np.float32)},
        {"matches_error_mm": np.array([1.0, 2.0])},
        {"matches_every_error_mm": np.full(2, np.inf, np.float32)},
        {"matches_target_pixel_mm": np.array([0.0, 1.0])},
        {"laid_truth": SLICE[:2]},
        {"laid_displacement": np.zeros((3, 3, 4), np.float16)},
        {"laid_error_mm": np.zeros((3, 3), np.float16)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_file_that_is_not_ours_is_left_out(change: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    write_examples(path, Examples(matches=MATCHES, laid=LAID))
    assert read_examples(path).matches is not None
    with np.load(path) as file:
        arrays = dict(file) | change
    np.savez_compressed(path, **arrays)
    assert read_examples(path) == Examples()
