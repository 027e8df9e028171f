"""Brain MR: tissue changes that no warp explains, and the scanner. Images are in units of white matter."""

from __future__ import annotations

import torch
from scipy import ndimage
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.anatomy import Anatomy, Triple
from ssl_bench.data.synthetic.ct import blur
from ssl_bench.data.synthetic.fields import smooth_noise
from ssl_bench.data.synthetic.lesions import paint
from ssl_bench.data.synthetic.sampling import Scene

WHITE_MATTER, CORTEX, VENTRICLES = (2, 41), (3, 42), (4, 43)
_AROUND_VENTRICLES = {2: 4, 10: 4, 11: 4, 28: 4, 41: 43, 49: 43, 50: 43, 60: 43}
"""What an enlarging ventricle displaces, and which ventricle does."""
_LEFT_OF = {41: 2, 42: 3, 43: 4, 46: 7, 47: 8, 49: 10, 50: 11, 51: 12, 52: 13, 53: 17, 54: 18, 60: 28}


def vary_contrast(scene: Scene, anatomy: Anatomy, draws: Draws) -> None:
    """Another T1 weighting: new levels of fluid, grey and white matter, of each structure, and of the skull."""
    fluid, grey, white = anatomy.derive("levels", lambda: _levels(anatomy))
    new_fluid, new_grey = draws.uniform(low=0.12, high=0.3), draws.uniform(low=0.5, high=0.7)
    image = torch.empty_like(scene.image)
    for index, (low, middle) in enumerate(zip(new_fluid.tolist(), new_grey.tolist(), strict=True)):
        image[index] = _curve(scene.image[index], (0.0, fluid, grey, white), (0.0, low, middle, 1.0))
    # Iron, myelin and age change structures one by one, the two sides alike.
    shift = 0.035 * draws.normal(64)
    structure = scene.labels.long().flatten(1)
    for right, left in _LEFT_OF.items():
        shift[:, right] = shift[:, left]
    shift[:, 0] = 0
    image += shift.gather(1, structure.clamp(max=63)).view_as(image)
    outside = scene.read(anatomy.derive("outside the brain", lambda: _outside(anatomy)))
    scene.image = torch.where(outside, image * draws.uniform(1, 1, 1, low=0.5, high=1.5), image)


def vary_ventricles(scene: Scene, anatomy: Anatomy, draws: Draws) -> None:
    """Sometimes enlarged lateral ventricles: they take up to 5 mm from their neighbours, in image and labels."""
    distance = scene.read(anatomy.distance(VENTRICLES, reach_mm=10.0))
    growth = draws.uniform(1, 1, 1, low=-1.0, high=4.0).clamp(min=0) * (1 + 0.25 * scene.noise(draws, 40.0))
    ventricle = torch.arange(2**15, dtype=torch.int16)
    for neighbour, side in _AROUND_VENTRICLES.items():
        ventricle[neighbour] = side
    taken = ventricle[scene.labels.long()]
    grown = (taken != scene.labels) & (distance < growth)
    scene.labels = torch.where(grown, taken, scene.labels)
    core = ((scene.image * (distance < -1)).sum((1, 2, 3)) / (distance < -1).sum((1, 2, 3)).clamp(min=1)).view(
        -1, 1, 1, 1
    )
    # The old wall inside the new ventricle is fluid as well.
    scene.image = torch.where((distance < growth) & ((taken == 4) | (taken == 43)), core, scene.image)


def add_lesions(scene: Scene, anatomy: Anatomy, draws: Draws) -> None:
    """Sometimes up to six white-matter lesions near the ventricles, darker than white matter."""
    near = anatomy.derive("periventricular", lambda: _periventricular(anatomy))
    white = (scene.labels == WHITE_MATTER[0]) | (scene.labels == WHITE_MATTER[1])
    for _ in range(6):
        paint(scene, draws, near, 0.25, (2.0, 6.0), 0.6, white)


def acquire(image: Tensor, spacing_mm: Triple, draws: Draws) -> Tensor:
    """(B, D, H, W) in [0, 1]: bias field, blur and Rician noise, then negatives to 0 and min-max as in the paper."""
    bias = (0.12 * smooth_noise(draws, image.shape[1:], spacing_mm, 160.0)).exp()
    image = blur(image * bias, spacing_mm, draws.uniform(low=0.3, high=1.2))
    sigma = draws.uniform(1, 1, 1, low=0.012, high=0.05)
    real, imaginary = draws.normal(2, *image.shape[1:]).unbind(1)
    image = (image + sigma * real).square().add((sigma * imaginary).square()).sqrt()
    low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
    return (image - low) / (high - low)


def _curve(values: Tensor, knots: tuple[float, ...], levels: tuple[float, ...]) -> Tensor:
    """A monotone piecewise linear map through (knot, level), its last piece continued."""
    mapped = torch.zeros_like(values)
    last = len(knots) - 2
    for piece, (start, end, low, high) in enumerate(zip(knots, knots[1:], levels, levels[1:], strict=False)):
        covered = values - start
        covered = covered.clamp(min=0) if piece == last else covered.clamp(0, end - start)
        mapped += covered * ((high - low) / (end - start))
    return mapped


def _levels(anatomy: Anatomy) -> tuple[float, float, float]:
    """Intensities of fluid, grey and white matter."""
    fluid = anatomy.image[anatomy.mask(VENTRICLES)].quantile(0.25)
    grey, white = (anatomy.image[anatomy.mask(values)].median() for values in (CORTEX, WHITE_MATTER))
    return float(fluid), float(grey), float(white)


def _outside(anatomy: Anatomy) -> Tensor:
    brain = ndimage.binary_closing(anatomy.labels.numpy() > 0, iterations=3)
    return torch.from_numpy(~ndimage.binary_dilation(brain, iterations=3))


def _periventricular(anatomy: Anatomy) -> Tensor:
    distance = anatomy.distance(VENTRICLES, reach_mm=10.0)
    return anatomy.voxel_points(anatomy.mask(WHITE_MATTER) & (distance < 9))
