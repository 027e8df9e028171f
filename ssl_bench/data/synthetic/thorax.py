"""What differs between chests that no warp explains: contrast phase, wall thickness, lesions."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.anatomy import Anatomy
from ssl_bench.data.synthetic.lesions import mean_inside, paint
from ssl_bench.data.synthetic.sampling import Scene

MYOCARDIUM, LEFT_ATRIUM, LEFT_VENTRICLE = 205, 420, 500
RIGHT_ATRIUM, RIGHT_VENTRICLE, AORTA, PULMONARY_ARTERY = 550, 600, 820, 850
LEFT_HEART = (LEFT_ATRIUM, LEFT_VENTRICLE, AORTA)
RIGHT_HEART = (RIGHT_ATRIUM, RIGHT_VENTRICLE, PULMONARY_ARTERY)

_PLAIN_BLOOD = 40.0
"""HU of blood without contrast medium."""


def vary_contrast(scene: Scene, anatomy: Anatomy, draws: Draws) -> None:
    """Another contrast phase: iodine in the left heart, the right heart and the myocardium, each on its own.

    The attenuation above plain blood scales with the iodine, so that mixing and partial volume keep their look.
    Vessels without a label follow the nearest labelled chamber.
    """
    territory = scene.read(anatomy.derive("territory", lambda: _territory(anatomy)))
    iodine = torch.ones(len(draws), 4)
    iodine[:, 1] = draws.uniform(low=0.55, high=1.25)
    # Late phases leave the right heart almost plain; early ones fill it more than the left.
    iodine[:, 2] = draws.uniform(low=0.12, high=1.15)
    iodine[:, 3] = draws.uniform(low=0.5, high=1.3)
    gain = iodine.gather(1, territory.flatten(1).long()).view_as(scene.image)
    enhanced = scene.image > _PLAIN_BLOOD
    scene.image = torch.where(enhanced, _PLAIN_BLOOD + (scene.image - _PLAIN_BLOOD) * gain, scene.image)


def vary_wall(scene: Scene, anatomy: Anatomy, draws: Draws) -> None:
    """A thinner or thicker left-ventricular wall, by -4 to 5.5 mm, unevenly; changes image and labels."""
    depth = scene.read(anatomy.derive("wall depth", lambda: _wall_depth(anatomy)))
    move = draws.uniform(1, 1, 1, low=-2.5, high=4.0) + 0.75 * scene.noise(draws, 45.0).clamp(-2, 2)
    was_wall, was_cavity = scene.labels == MYOCARDIUM, scene.labels == LEFT_VENTRICLE
    thickened, thinned = was_cavity & (depth > -move), was_wall & (depth <= -move)
    # The new tissue has the other one's mean and a quarter of the grain that was there.
    middle = mean_inside(scene, was_wall), mean_inside(scene, was_cavity)
    wall, cavity = (mean + 0.25 * (scene.image - other) for mean, other in (middle, middle[::-1]))
    scene.image = torch.where(thickened, wall, torch.where(thinned, cavity, scene.image))
    scene.labels[thickened] = MYOCARDIUM
    scene.labels[thinned] = LEFT_VENTRICLE


def add_lesions(scene: Scene, anatomy: Anatomy, draws: Draws) -> None:
    """Sometimes: a myocardial scar, calcifications of the aortic root and left heart, lung nodules, an effusion."""
    wall, root = anatomy.points_in((MYOCARDIUM,)), anatomy.points_in((AORTA,))
    inside_lungs = anatomy.derive("lung points", lambda: anatomy.voxel_points(lungs(anatomy)))
    lung = scene.read(lungs(anatomy))
    paint(scene, draws, wall, 0.35, (5.0, 14.0), 55.0, scene.labels == MYOCARDIUM)
    for where, chance in ((root, 0.35), (root, 0.35), (wall, 0.2)):
        paint(scene, draws, where, chance, (2.0, 4.5), 800.0, ~lung)
    if not len(inside_lungs):
        return
    for _ in range(3):
        paint(scene, draws, inside_lungs, 0.3, (3.0, 9.0), 30.0, lung)
    # Fluid gathers at the back of a lying patient.
    present, height = draws.chance(0.2), draws.uniform(1, 1, 1, low=15.0, high=50.0)
    surface = inside_lungs[:, 1].min() + height + 4 * scene.noise(draws, 50.0)
    fluid = lung & (scene.points[..., 1] < surface) & present[:, None, None, None]
    scene.image = torch.where(fluid, 8 + 0.3 * scene.image.clamp(-30, 60), scene.image)


def lungs(anatomy: Anatomy) -> Tensor:
    """(D, H, W), bool: both lungs with their vessels, cached."""
    return anatomy.derive("lungs", lambda: _lungs(anatomy))


def _wall_depth(anatomy: Anatomy) -> Tensor:
    """(D, H, W), mm: depth from the endocardium, positive in the wall, negative in the cavity of the left ventricle.

    The cavity's part measures the distance to the wall, so that the valve planes stay where they are.
    """
    to_cavity = anatomy.distance((LEFT_VENTRICLE,)).clamp(min=0)
    to_wall = anatomy.distance((MYOCARDIUM,)).clamp(min=0)
    return to_cavity - to_wall


def _territory(anatomy: Anatomy) -> Tensor:
    """(D, H, W), int16: 1 left-sided blood, 2 right-sided blood, 3 myocardium, 0 anything else."""
    labels, left, right = anatomy.labels.numpy(), anatomy.mask(LEFT_HEART).numpy(), anatomy.mask(RIGHT_HEART).numpy()
    bright = ndimage.binary_opening(anatomy.image.numpy() > 220) | left | right
    components, _ = ndimage.label(bright)
    blood = np.isin(components, np.unique(components[left | right]))
    # One voxel more, for the partial volume at the edge of the blood; the myocardium keeps its own.
    blood = ndimage.binary_dilation(blood, iterations=1)
    coarse = (slice(None, None, 2),) * 3
    nearest = ndimage.distance_transform_edt(~(left | right)[coarse], return_distances=False, return_indices=True)
    side = np.where(left, 1, 2)[coarse][tuple(nearest)]
    for axis, length in enumerate(labels.shape):
        side = np.take(np.repeat(side, 2, axis), range(length), axis)
    territory = np.where(left, 1, np.where(right, 2, np.where(blood, side, 0)))
    return torch.from_numpy(np.where(labels == MYOCARDIUM, 3, territory)).short()


def _lungs(anatomy: Anatomy) -> Tensor:
    air = anatomy.image.numpy() < -500
    components, _ = ndimage.label(air)
    faces = [np.take(components, end, axis).ravel() for axis in (1, 2) for end in (0, -1)]
    sizes = np.bincount(components.ravel())
    sizes[np.unique(np.concatenate([[0], *faces]))] = 0
    # One lung may be cut off from the other; bowel gas and airways are far smaller.
    lung = np.isin(components, (sizes > 0.2 * sizes.max()).nonzero()[0])
    closed = ndimage.binary_closing(lung, ndimage.generate_binary_structure(3, 2), iterations=3)
    return torch.from_numpy(closed & (anatomy.mask((0,)).numpy()))
