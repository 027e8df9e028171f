from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from ssl_bench.api.cases import Case, Split
from ssl_bench.api.rng import Draws
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.data.synthetic.anatomy import Anatomy, load_anatomy
from ssl_bench.data.synthetic.covid import (
    COVID,
    LOOK_ALIKES,
    PNEUMONIA,
    UPPER_LOBE_DISEASE,
    Lungs,
    Pattern,
    blend_lesions,
    lesion_score,
    lungs_of,
)
from ssl_bench.data.synthetic.sampling import Scene, grow_scene
from ssl_bench.data.synthetic.warps import Variation
from ssl_bench.errors import UserError
from ssl_bench.tasks.ccc import Chests
from tests.data.synthetic.shipped import files_of

CHEST = load_anatomy("chest")
UNWARPED = Variation(displacement_mm=1e-3, rotation_deg=0.0, scale=0.0, shift_mm=0.0)


@cache
def grow(split: Split, count: int, detail: float = 0.5, seed: int = 0) -> list[Case]:
    return Chests().grow(split, count, detail, seed)


def scene_and_mask(draws: Draws) -> tuple[Scene, Tensor]:
    lungs = lungs_of(CHEST)
    scene = grow_scene(CHEST, "waves", draws, (24, 18, 24), (12.0, 12.0, 12.0), UNWARPED, lungs.centre_mm)
    return scene, scene.read(lungs.mask)


def lesion_places(pattern: Pattern, subjects: int = 12) -> list[Tensor]:
    """For each subject the places, mm, of the 5 % of the lungs with the highest score."""
    draws = Draws.keyed("places", samples=range(subjects))
    scene, mask = scene_and_mask(draws)
    scores = lesion_score(pattern, scene, mask, CHEST, draws)
    inside = mask > 0.5
    return [
        points[lung][score[lung] > score[lung].quantile(0.95)]
        for points, score, lung in zip(scene.points, scores, inside, strict=True)
    ]


def test_lungs_hold_vessels_and_no_airways() -> None:
    inside = CHEST.image[lungs_of(CHEST).mask > 0]
    assert 3.0 < len(inside) * np.prod(CHEST.spacing_mm) / 1e6 < 5.0
    assert (inside > 0).float().mean() > 0.01
    trachea = torch.tensor([210.0, 135.0, 170.0]) / torch.tensor(CHEST.spacing_mm)
    near = tuple(slice(int(i) - 8, int(i) + 9) for i in trachea)
    airway = CHEST.image[near] < -990
    assert airway.sum() > 100
    assert (lungs_of(CHEST).mask[near][airway] == 0).float().mean() > 0.95


def test_outside_the_lungs_is_zero() -> None:
    for case in grow("train", 8, 1.0):
        assert max(case.image.shape) <= 48
        assert 0.08 < (case.image > 0).mean() < 0.35
        assert case.image.min() >= 0
        assert case.image.max() <= 1
        edges = [case.image.take(end, axis) for axis in range(3) for end in (0, -1)]
        assert sum(float((edge > 0).mean()) for edge in edges) < 0.12


def test_covid_is_posterior_low_bilateral_and_subpleural() -> None:
    lungs = lungs_of(CHEST)
    x = lungs.centre_mm[2]
    everywhere = lungs.places.mean(0)
    covid = lesion_places(COVID)
    middle = torch.cat(covid).mean(0)
    assert middle[0] < everywhere[0] - 10
    assert middle[1] < everywhere[1] - 10
    assert all(0.05 < (places[:, 2] > x).float().mean() < 0.95 for places in covid)
    nearest = [torch.cdist(torch.cat(lesion_places(p, 6)), lungs.places[::20]).argmin(1) for p in (COVID, *LOOK_ALIKES)]
    depth, *others = (float(lungs.position[::20][index, 0].mean()) for index in nearest)
    assert depth < min(others)


def test_the_score_of_a_focus_falls_from_1_in_its_middle_to_0_at_its_radius_inside_the_lungs_alone() -> None:
    draws = Draws.keyed("one focus", samples=range(2))
    scene, mask = scene_and_mask(draws)
    scores = lesion_score(Pattern((1, 1), (80, 80), ragged=0), scene, mask, CHEST, draws)
    assert (scores[mask == 0] == -torch.inf).all()
    for points, score, lung in zip(scene.points, scores, mask > 0, strict=True):
        inside, found = points[lung], score[lung]
        middle = inside[found.argmax()]
        # The voxel nearest to the middle of the focus lies within half a diagonal of a voxel of it.
        assert (found - (1 - (inside - middle).norm(dim=-1) / 80)).abs().max() < 0.1


def test_the_middle_of_the_lungs_is_that_of_their_bounding_box() -> None:
    places = torch.tensor([[0.0, 8, 2], [4, 0, 2], [1, 1, 8]])
    assert Lungs(torch.ones(1, 1, 1), places, torch.zeros(3, 5)).centre_mm == (2, 4, 5)


def test_look_alikes_keep_to_their_places() -> None:
    z, _, x = lungs_of(CHEST).centre_mm
    for places in lesion_places(PNEUMONIA):
        assert min((places[:, 2] > x).float().mean(), (places[:, 2] < x).float().mean()) < 0.1
    assert torch.cat(lesion_places(UPPER_LOBE_DISEASE))[:, 0].mean() > z


def test_load_is_a_share_of_the_lungs_whatever_the_pattern() -> None:
    loads = []
    for pattern in (COVID, *LOOK_ALIKES):
        draws = Draws.keyed("load", samples=range(8))
        scene, mask = scene_and_mask(draws)
        score = lesion_score(pattern, scene, mask, CHEST, draws)
        before = scene.image
        blend_lesions(scene, mask, score, Draws.keyed("same", samples=range(8)))
        inside = mask > 0.5
        loads.append(
            [float((a - b)[m].gt(60).float().mean()) for a, b, m in zip(scene.image, before, inside, strict=True)]
        )
    spread = np.array(loads)
    assert spread.max() > 0.05
    assert (np.ptp(spread, axis=0) < 0.04).all()


def test_classes_are_balanced_and_their_order_is_not_regular() -> None:
    labels = np.array([case.label for case in grow("train", 96)])
    assert all(labels[: 2 * pairs].sum() == pairs for pairs in range(1, 49))
    assert 0.3 < labels[::2].mean() < 0.7
    assert (labels[:60] != [case.label for case in grow("test", 60)]).any()


def test_case_does_not_depend_on_count_and_splits_and_seeds_differ() -> None:
    case = grow("train", 96)[2]
    assert grow("train", 3)[2].image.tobytes() == case.image.tobytes()
    others = (grow("validation", 3)[2], grow("train", 3, seed=1)[2])
    assert all(not np.array_equal(other.image, case.image) for other in others)


def histogram(case: Case) -> list[float]:
    lung = case.image[case.image > 0]
    return [lung.mean(), lung.std(), *np.percentile(lung, [5, 25, 50, 75, 95])]


def labels(cases: list[Case]) -> NDArray[np.int64]:
    return np.array([case.label for case in cases])


def histogram_auc(train: list[Case], test: list[Case]) -> float:
    """AUC on `test` of a logistic regression on in-lung intensities."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit([histogram(case) for case in train], labels(train))
    return float(roc_auc_score(labels(test), model.decision_function([histogram(case) for case in test])))


def test_brightness_does_not_give_the_diagnosis_away() -> None:
    assert histogram_auc(grow("train", 96), grow("test", 60)) <= 0.75


@pytest.mark.slow
def test_a_small_network_beats_brightness() -> None:
    train, test = grow("train", 96, 1.0), grow("test", 60, 1.0)
    by_shape = network_auc(train, test)
    assert histogram_auc(train, test) + 0.1 <= by_shape < 1.0


def network_auc(train: list[Case], test: list[Case], steps: int = 120) -> float:
    torch.manual_seed(0)
    net = UNet3D(16).to(memory_format=torch.channels_last_3d)
    head = nn.Linear(net.global_channels, 1)
    optimiser = torch.optim.Adam([*net.parameters(), *head.parameters()], 1e-3)
    images = torch.from_numpy(np.stack([case.image for case in train]))[:, None]
    unseen = torch.from_numpy(np.stack([case.image for case in test]))[:, None]
    target = torch.from_numpy(labels(train)).float()

    def logit(volumes: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            features = net.encode(volumes.contiguous(memory_format=torch.channels_last_3d))
        score: Tensor = head(features.float().mean((2, 3, 4)))[:, 0]
        return score

    for _ in range(steps):
        batch = torch.randperm(len(images))[:8]
        loss = nn.functional.binary_cross_entropy_with_logits(logit(images[batch]), target[batch])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        return float(
            roc_auc_score(labels(test), torch.cat([logit(unseen[i : i + 10]) for i in range(0, len(unseen), 10)]))
        )


def test_an_anatomy_without_lungs_is_refused() -> None:
    chests = Chests()
    chests.anatomy = Anatomy("solid", torch.full_like(CHEST.image, 40.0), CHEST.labels, CHEST.spacing_mm)
    with pytest.raises(UserError, match="no lungs"):
        chests.grow("train", 1, 1.0, 0)
    with pytest.raises(UserError, match="missing"):
        Chests(files_of("brain")).grow("train", 1, 1.0, 0)
