from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.morphology import skeletonize

from ssl_bench.api.cases import Case
from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.anatomy import Anatomy, load_anatomy
from ssl_bench.data.synthetic.coronary import connected_to, surface_distance
from ssl_bench.data.synthetic.coronary_tree import Arteries, grow_arteries
from ssl_bench.data.synthetic.epicardium import HEART, epicardium, root_mm, without_coronaries
from ssl_bench.data.synthetic.sampling import Scene
from ssl_bench.data.synthetic.thorax import AORTA
from ssl_bench.errors import UserError
from ssl_bench.tasks import sac
from ssl_bench.tasks.sac import CoronaryArteries
from tests.data.synthetic.shipped import files_of

CHEST = load_anatomy("chest")
NEIGHBOURS = np.ones((3, 3, 3), bool)


@cache
def grown() -> list[tuple[Case, NDArray[np.bool_]]]:
    """Test cases, each with its aorta."""
    aortas: list[NDArray[np.bool_]] = []
    pool = sac.pool

    def watched(scene: Scene) -> tuple[torch.Tensor, torch.Tensor]:
        hu, labels = pool(scene)
        aortas.append((labels[0] == AORTA).numpy())
        return hu, labels

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sac, "pool", watched)
        cases = CoronaryArteries().grow("test", 4, 1.0, 0)
    return list(zip(cases, aortas, strict=True))


def test_arteries_hang_on_the_aorta() -> None:
    for case, aorta in grown():
        pieces, count = ndimage.label(case.label, NEIGHBOURS)
        assert 1 <= count <= 2
        assert set(np.unique(pieces[ndimage.binary_dilation(aorta, NEIGHBOURS)])) == set(range(count + 1))


def test_arteries_are_two_voxels_wide() -> None:
    for case, _ in grown():
        label = np.asarray(case.label) > 0
        squares = [ndimage.binary_opening(label, np.ones(shape)) for shape in ((2, 2, 1), (2, 1, 2), (1, 2, 2))]
        assert np.any(squares, 0).sum() > 0.95 * label.sum()
        assert label.sum() / skeletonize(label).sum() > 4


def test_arteries_are_bright_and_lie_in_something_darker() -> None:
    for case, aorta in grown():
        hu, label = case.image * 2048 - 1024, np.asarray(case.label) > 0
        core = ndimage.binary_erosion(label)
        assert 250 < np.median(hu[core]) < 550
        assert np.percentile(hu[core], 5) > 180
        ring = ndimage.binary_dilation(label, iterations=2) & ~ndimage.binary_dilation(label) & ~aorta
        assert np.percentile(hu[ring], 25) < 0
        assert np.median(hu[ring]) < np.median(hu[core]) - 150


def test_shape_and_share_of_the_volume() -> None:
    for case, _ in grown():
        assert case.image.shape == np.shape(case.label) == (64, 64, 64)
        assert 0.002 < (np.asarray(case.label) > 0).mean() < 0.03
    shares = [(np.asarray(case.label) > 0).mean() for case, _ in grown()]
    assert np.mean(shares) > 0.003


def test_case_does_not_depend_on_count_and_splits_differ() -> None:
    few = CoronaryArteries().grow("test", 1, 1.0, 0)[0]
    first = grown()[0][0]
    assert few.image.tobytes() == first.image.tobytes()
    assert np.array_equal(few.label, first.label)
    assert not np.array_equal(CoronaryArteries().grow("train", 1, 1.0, 0)[0].label, first.label)


def test_coarse_cohorts_keep_their_arteries() -> None:
    for case in CoronaryArteries().grow("train", 2, 0.5, 0):
        assert case.image.shape == (32, 32, 32)
        assert np.asarray(case.label).any()


def test_real_arteries_give_way_to_fat() -> None:
    clean = without_coronaries(CHEST)
    changed = clean.image != CHEST.image
    assert not (changed & CHEST.mask(HEART)).any()
    assert CHEST.image[changed].min() > -40
    assert (clean.image[changed] < 50).float().mean() > 0.99
    assert (CHEST.image[changed] > 150).sum() > 100


def test_centrelines_start_in_the_aorta_and_run_outside_the_heart() -> None:
    anatomy = without_coronaries(CHEST)
    arteries = grow_arteries(anatomy, Draws.keyed("tree", samples=[0]))
    voxels = (arteries.points / torch.tensor(anatomy.spacing_mm)).round().long()
    values = anatomy.labels[tuple(voxels.T)]
    assert values[0] == AORTA
    assert torch.isin(values, torch.tensor([v for v in HEART if v != AORTA], dtype=torch.int16)).float().mean() < 0.1
    assert (arteries.points - torch.from_numpy(root_mm(anatomy))).norm(dim=1).max() > 45


def test_the_root_is_the_middle_of_the_aorta_13_mm_above_its_lowest_point() -> None:
    """A column of 3 x 3 voxels that leans to the front by a voxel a slice, of 2 x 1 x 1 mm."""
    labels = torch.zeros(20, 30, 9, dtype=torch.int16)
    for slice_ in range(4, 20):
        labels[slice_, slice_ : slice_ + 3, 5:8] = AORTA
    aorta = Anatomy("leaning", labels.float(), labels, (2.0, 1.0, 1.0))
    # The slices within a voxel of 4 * 2 + 13 mm are those at 20 and 22 mm, with middles at 11 and 12 mm.
    assert root_mm(aorta).tolist() == [21, 11.5, 6]


def test_arteries_keep_to_the_grooves() -> None:
    heart = epicardium(without_coronaries(CHEST))
    second = np.sort(np.stack(list(heart.to.values())), axis=0)[1]
    arteries = grow_arteries(without_coronaries(CHEST), Draws.keyed("tree", samples=[0]))
    _, nearest = KDTree(heart.places).query(arteries.points.numpy())
    assert np.median(second[nearest]) < 0.6 * np.median(second)


def test_no_two_subjects_share_their_arteries() -> None:
    one, other = (grow_arteries(without_coronaries(CHEST), Draws.keyed("tree", samples=[i])).points for i in (0, 1))
    assert torch.cdist(one, other).amin(1).mean() > 1.0


def test_surface_distance_is_the_distance_to_the_nearest_ball() -> None:
    arteries = Arteries(torch.tensor([[10.0, 10, 10], [10, 10, 14]]), torch.tensor([2.0, 1.5]))
    points = 6 + 10 * torch.rand(1, 5, 5, 5, 3, generator=torch.Generator().manual_seed(0))
    exact = (torch.cdist(points.view(-1, 3), arteries.points) - arteries.radius).amin(1).clamp(max=2).view(1, 5, 5, 5)
    assert (surface_distance(arteries, points) - exact).abs().max() < 0.25


def test_connected_to_drops_loose_pieces() -> None:
    mask = torch.zeros(1, 1, 3, 9, dtype=torch.bool)
    mask[0, 0, 1, [1, 2, 5, 8]] = True
    seed = torch.zeros_like(mask)
    seed[0, 0, 0, [0, 7]] = True
    assert connected_to(mask, seed).nonzero()[:, 3].tolist() == [1, 2, 8]


def test_an_anatomy_without_a_heart_is_refused() -> None:
    with pytest.raises(UserError, match="missing"):
        CoronaryArteries(files_of("brain")).grow("train", 1, 1.0, 0)
