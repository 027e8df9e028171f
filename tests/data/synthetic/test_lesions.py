"""Tissue that no warp explains: lesions, contrast, and what grows or shrinks."""

from __future__ import annotations

import pytest
import torch

from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic import mr, thorax
from ssl_bench.data.synthetic.anatomy import load_anatomy
from ssl_bench.data.synthetic.covid import lungs_of, vary_lungs
from ssl_bench.data.synthetic.lesions import ball, mean_inside
from ssl_bench.data.synthetic.sampling import Scene, grow_scene
from ssl_bench.data.synthetic.warps import Variation

CHEST, BRAIN = load_anatomy("chest"), load_anatomy("brain")
LEFT_WHITE, RIGHT_WHITE, LEFT_VENTRICLE, RIGHT_VENTRICLE = 2, 41, 4, 43


def chests(organ: str) -> tuple[Scene, Draws]:
    """Eight coarse chests, and what else is drawn for them."""
    keyed = Draws.keyed(organ, samples=range(8))
    return grow_scene(CHEST, "waves", keyed, (20, 20, 24), (14.0, 14.0, 14.0), Variation(8.0, 8.0, 0.08, 7.0)), keyed


def brains(organ: str) -> tuple[Scene, Draws]:
    """Eight brains around their ventricles, and what else is drawn for them."""
    keyed = Draws.keyed(organ, samples=range(8))
    return grow_scene(BRAIN, "waves", keyed, (24, 24, 24), (4.0, 4.0, 4.0), Variation(4.0, 5.0, 0.05, 3.0)), keyed


def test_a_ball_is_1_within_and_0_beyond_with_an_edge_of_a_fifth_of_its_radius() -> None:
    along = torch.tensor([0.0, 4.0, 5.0, 6.0, 10.0])
    points = torch.stack((along, torch.zeros(5), torch.zeros(5)), -1)
    found = ball(points, torch.zeros(3), torch.tensor([5.0, 1.0, 1.0]))
    assert found[0] == 1
    assert found[-1] == 0
    assert 0 < found[2] < 1
    assert (found.diff() <= 0).all()
    assert ball(points[3:4].roll(1, -1), torch.zeros(3), torch.tensor([5.0, 1.0, 1.0])) == 0


def test_the_mean_inside_a_mask_is_that_of_its_image_and_of_no_voxel_beyond() -> None:
    masks = torch.zeros(2, 6, 6, 6, dtype=torch.bool)
    masks[0, :4] = True
    image = torch.where(masks, 70.0, -900.0)
    scene = Scene(torch.empty(0), torch.empty(0), image, image.short(), (1.0, 1.0, 1.0))
    assert mean_inside(scene, masks).flatten().tolist() == [70, 0], "nothing inside: no mean"


def test_a_chest_has_scars_calcifications_and_dense_lungs_at_times() -> None:
    scene, keyed = chests("lesions of a chest")
    before, lung = scene.image.clone(), scene.read(thorax.lungs(CHEST))
    thorax.add_lesions(scene, CHEST, keyed)
    changed = scene.image != before
    calcified = changed & (scene.image > before + 100) & ~lung
    scarred = changed & (scene.image < before) & ~lung
    assert 0 < calcified.flatten(1).any(1).sum() < 8, "of some subjects"
    assert scene.image[calcified].max() < 1500
    assert scarred.any()
    assert set(scene.labels[scarred & (scene.image < 300)].tolist()) == {thorax.MYOCARDIUM}
    in_air = changed & lung & (before < -300)
    assert 0 < in_air.flatten(1).any(1).sum() <= 8
    assert (scene.image[in_air] > before[in_air]).all(), "nodules and fluid are denser than the lung"


def test_an_effusion_lies_at_the_back_of_the_lungs() -> None:
    scene, keyed = chests("lesions of a chest")
    lung, behind = scene.read(thorax.lungs(CHEST)), scene.points[..., 1]
    thorax.add_lesions(scene, CHEST, keyed)
    fluid = lung & (scene.image > -5) & (scene.image < 30)
    shares = [float(found.sum() / inside.sum()) for found, inside in zip(fluid, lung, strict=True)]
    flooded = max(range(8), key=shares.__getitem__)
    assert behind[flooded][fluid[flooded]].mean() < behind[flooded][lung[flooded]].mean() - 30


def test_the_air_of_a_lung_changes_with_the_breath_and_nothing_else_does() -> None:
    scene, keyed = chests("breath")
    before, mask = scene.image.clone(), scene.read(lungs_of(CHEST).mask)
    vary_lungs(scene, mask, keyed)
    change = scene.image - before
    assert (change[(mask == 0) | (before >= -400)] == 0).all()
    air = (mask == 1) & (before < -600)
    breath = [float(each[inside].median()) for each, inside in zip(change, air, strict=True)]
    assert -60 <= min(breath) < 0 < max(breath) <= 110
    assert scene.image[air].min() > before[air].min() - 61, "emphysema ends at -975 HU"


def test_lesions_of_a_brain_are_dark_spots_in_white_matter() -> None:
    scene, keyed = brains("lesions of a brain")
    before = scene.image.clone()
    mr.add_lesions(scene, BRAIN, keyed)
    changed = scene.image != before
    assert changed.flatten(1).any(1).sum() > 4, "one of six chances of a quarter"
    assert set(scene.labels[changed].tolist()) <= {LEFT_WHITE, RIGHT_WHITE}
    assert scene.image[changed].mean() < before[changed].mean()


def test_ventricles_grow_into_their_own_side_and_are_filled_with_fluid() -> None:
    scene, keyed = brains("ventricles")
    labels, image = scene.labels.clone(), scene.image.clone()
    mr.vary_ventricles(scene, BRAIN, keyed)
    grown = labels != scene.labels
    sizes = grown.flatten(1).sum(1)
    assert sizes.max() > 10 * sizes.min(), "sometimes"
    assert set(scene.labels[grown].tolist()) == {LEFT_VENTRICLE, RIGHT_VENTRICLE}
    assert not (grown & (labels == LEFT_WHITE) & (scene.labels == RIGHT_VENTRICLE)).any()
    ventricle = (labels == LEFT_VENTRICLE) | (labels == RIGHT_VENTRICLE)
    assert scene.image[grown].mean() < image[grown].mean() - 0.1
    assert scene.image[grown].mean() < 1.2 * image[ventricle].mean()
    assert torch.equal(scene.image[~grown & ~ventricle], image[~grown & ~ventricle])


def test_another_phase_of_contrast_scales_what_blood_has_above_40_hu_by_one_factor_a_side() -> None:
    scene, keyed = chests("phase")
    before, labels = scene.image.clone(), scene.labels
    thorax.vary_contrast(scene, CHEST, keyed)
    assert torch.equal(scene.image[before <= 40], before[before <= 40])
    for sides, lowest, highest in (
        (thorax.LEFT_HEART, 0.55, 1.25),
        (thorax.RIGHT_HEART, 0.12, 1.15),
        ((thorax.MYOCARDIUM,), 0.5, 1.3),
    ):
        blood = torch.isin(labels, torch.tensor(sides, dtype=torch.int16)) & (before > 60)
        gains = [((now - 40) / (was - 40))[inside] for now, was, inside in zip(scene.image, before, blood, strict=True)]
        for gain in gains:
            assert lowest - 1e-3 <= gain.median() <= highest + 1e-3
            assert (gain - gain.median()).abs().quantile(0.9) < 1e-3
        assert max(float(gain.median()) for gain in gains) > 1.2 * min(float(gain.median()) for gain in gains)


def test_another_t1_weighting_has_new_levels_in_units_of_white_matter_alike_on_both_sides() -> None:
    scene, keyed = brains("weighting")
    mr.vary_contrast(scene, BRAIN, keyed)

    def middle(subject: int, *labels: int) -> float:
        inside = torch.isin(scene.labels[subject], torch.tensor(labels, dtype=torch.int16))
        return float(scene.image[subject][inside].median())

    for subject in range(8):
        fluid, grey, white = (middle(subject, *of) for of in (mr.VENTRICLES, mr.CORTEX, mr.WHITE_MATTER))
        assert 0.05 < fluid < 0.45 < grey < 0.85 < white < 1.15
        assert middle(subject, LEFT_WHITE) - middle(subject, RIGHT_WHITE) == pytest.approx(0, abs=0.05)
    greys = [middle(subject, *mr.CORTEX) for subject in range(8)]
    assert max(greys) - min(greys) > 0.05, "of every subject its own"
