"""Lungs with disease: COVID-like lesions, and look-alikes of other causes that only their place and shape tell apart.

Every pattern draws the total load and the attenuation of its lesions from the same distributions, so that neither
the brightness of a lung nor its histogram gives the diagnosis away.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import ndimage
from scipy.spatial import KDTree
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.data.synthetic.anatomy import Anatomy, Triple
from ssl_bench.data.synthetic.sampling import Scene
from ssl_bench.data.synthetic.thorax import PULMONARY_ARTERY, lungs
from ssl_bench.errors import UserError

_AIRWAY_HU = -930.0
_MIDDLE = 0.12
"""Half the width of the middle part that counts to neither side, as a share of the width of the lungs."""
_EDGE = 0.06
"""Softness of the edge of a lesion, in units of the score."""


@dataclass(frozen=True)
class Pattern:
    """Where a disease places its foci, and what shape they have.

    The slopes say how steeply the probability of a focus falls, as exp(-slope * position).
    """

    foci: tuple[int, int]
    """Fewest and most foci, both included."""
    radius_mm: tuple[float, float]
    pleural: float = 0.0
    """Slope per mm of depth below the pleura."""
    hilar: float = 0.0
    """Slope per mm of distance from the hilum."""
    anterior: float = 0.0
    """Slope from the posterior (0) to the anterior (1) end of the lungs; negative prefers the front."""
    upper: float = 0.0
    """Slope from the lowest (0) to the highest (1) point of the lungs; negative prefers the apices."""
    unilateral: bool = False
    ragged: float = 0.3
    """Weight of the noise that frays the edges."""


COVID = Pattern((7, 14), (14, 30), pleural=0.16, anterior=4.0, upper=2.5)
OEDEMA = Pattern((8, 14), (16, 32), hilar=0.12)
PNEUMONIA = Pattern((1, 2), (30, 50), unilateral=True)
TUMOUR = Pattern((1, 4), (10, 24), ragged=0.1)
UPPER_LOBE_DISEASE = Pattern((5, 14), (12, 28), pleural=-0.02, upper=-5.0)
LOOK_ALIKES = (OEDEMA, PNEUMONIA, TUMOUR, UPPER_LOBE_DISEASE)


@dataclass(frozen=True)
class Lungs:
    """The lungs of an anatomy: a mask on its grid, and places for foci."""

    mask: Tensor
    """(D, H, W), float32 in {0, 1}: parenchyma and the vessels inside it, without trachea and main bronchi."""
    places: Tensor
    """(N, 3), mm: points of the lungs on a regular grid."""
    position: Tensor
    """(N, 5) of those: depth and distance to the hilum in mm, anterior and upper in 0 to 1, and the side.

    The side is -1 (left), 1 (right), or 0 near the middle.
    """

    @property
    def centre_mm(self) -> Triple:
        """Middle of the bounding box."""
        z, y, x = ((self.places.amin(0) + self.places.amax(0)) / 2).tolist()
        return z, y, x


def lungs_of(anatomy: Anatomy) -> Lungs:
    """The lungs of a chest CT with the pulmonary artery labelled (it marks the hila); found once per anatomy."""
    return anatomy.derive("lung fields", lambda: _find_lungs(anatomy))


def vary_lungs(scene: Scene, mask: Tensor, draws: Draws) -> None:
    """Another depth of inspiration and sometimes emphysema; `mask` (B, D, H, W) in [0, 1]. In place."""
    air = mask * (-(scene.image + 400) / 200).clamp(0, 1)
    scene.image = scene.image + air * draws.uniform(1, 1, 1, low=-60, high=110)
    grade = draws.uniform(1, 1, 1, low=0, high=0.9) * draws.chance(0.3, 1, 1, 1)
    holes = ((scene.noise(draws, 30.0) - 0.8) * 4).clamp(0, 1)
    scene.image = torch.lerp(scene.image, torch.tensor(-975.0), air * grade * holes)


def lesion_score(pattern: Pattern, scene: Scene, mask: Tensor, anatomy: Anatomy, draws: Draws) -> Tensor:
    """(B, D, H, W): how much each subvoxel of the lungs belongs to the lesions; they are where the score is highest.

    The score is 1 in the middle of a focus and 0 at its radius, frayed by smooth noise; -inf outside the lungs `mask`.
    """
    centres = _draw_centres(pattern, anatomy, draws)
    least, most = pattern.foci
    absent = torch.arange(most) >= draws.integers(least, most + 1, 1)
    radius = draws.uniform(most, low=pattern.radius_mm[0], high=pattern.radius_mm[1])
    radius = radius.masked_fill(absent, torch.finfo().tiny)
    score = pattern.ragged * scene.noise(draws, 24.0)
    for subject, lung in enumerate(mask > 0):
        distance = torch.cdist(scene.points[subject][lung], centres[subject]) / radius[subject]
        score[subject][lung] += 1 - distance.amin(-1)
        score[subject][~lung] = -torch.inf
    return score


def blend_lesions(scene: Scene, mask: Tensor, score: Tensor, draws: Draws) -> None:
    """Fill the part of the lungs with the highest score (B, D, H, W) with a drawn load of disease. In place.

    The load is the share of the lung `mask` (B, D, H, W) that is diseased: none in one of twenty subjects, a trace in
    three of twenty. A drawn part of it is consolidation, the rest ground glass.
    """
    severity, trace = draws.uniform(), draws.uniform(low=0.004, high=0.02)
    load = torch.where(severity < 0.2, trace, draws.uniform(low=-3.5, high=-1.6).exp())
    load = torch.where(severity < 0.05, 0.0, load)
    solid = load * draws.uniform(low=0.0, high=0.6)
    texture = 60 * scene.noise(draws, 14.0)
    for share, (low, high) in ((load, (-620.0, -350.0)), (solid, (-150.0, 40.0))):
        target = torch.maximum(scene.image, draws.uniform(1, 1, 1, low=low, high=high) + texture)
        scene.image = torch.lerp(scene.image, target, _highest(score, mask, share))


def _draw_centres(pattern: Pattern, anatomy: Anatomy, draws: Draws) -> Tensor:
    """(B, most foci, 3), mm: places in the lungs drawn with the probabilities of the pattern."""
    fields = lungs_of(anatomy)
    depth, hilum, anterior, upper, side = fields.position.unbind(-1)
    fall = pattern.pleural * depth + pattern.hilar * hilum + pattern.anterior * anterior + pattern.upper * upper
    likely = torch.softmax(-fall, 0).expand(len(draws), -1)
    if pattern.unilateral:
        likely = likely * (side == 2.0 * draws.chance(0.5, 1) - 1)
    cumulative = likely.cumsum(-1)
    drawn = torch.searchsorted(cumulative, draws.uniform(pattern.foci[1]) * cumulative[:, -1:])
    return fields.places[drawn.clamp(max=len(depth) - 1)]


def _highest(score: Tensor, mask: Tensor, share: Tensor) -> Tensor:
    """(B, D, H, W) in [0, 1]: the `share` (B,) of the mask (B, D, H, W) where the score is highest, soft-edged."""
    opacity = torch.zeros_like(score)
    for subject, part in enumerate(share.tolist()):
        inside = score[subject][mask[subject] > 0.5]
        if count := round(part * len(inside)):
            threshold = inside.kthvalue(len(inside) - count + 1).values
            opacity[subject] = torch.sigmoid((score[subject] - threshold) / _EDGE)
    return opacity


def _find_lungs(anatomy: Anatomy) -> Lungs:
    both = lungs(anatomy).numpy()
    if not both.any():
        raise UserError(f"anatomy {anatomy.name}: no lungs found; CCC needs a chest CT in HU")
    # Lungs are spongy: air that stays dark after smoothing is in the large airways.
    airways = ndimage.binary_dilation(
        (ndimage.uniform_filter(anatomy.image.numpy(), 3) < _AIRWAY_HU) & both, iterations=2
    )
    mask = both & ~airways
    step = 2
    spacing = torch.tensor(anatomy.spacing_mm) * step
    coarse = mask[::step, ::step, ::step]
    depth = torch.from_numpy(ndimage.distance_transform_edt(coarse, spacing.numpy()))[coarse]
    places = torch.from_numpy(coarse).nonzero() * spacing
    hilum = torch.from_numpy(
        KDTree(anatomy.points_in((PULMONARY_ARTERY,)).numpy()).query(places.numpy(), workers=-1)[0]
    )
    low, high = places.amin(0), places.amax(0)
    upper, anterior, right = ((places - low) / (high - low)).unbind(-1)
    # Near the middle one focus would reach into both lungs.
    side = torch.where((right - 0.5).abs() > _MIDDLE, (right - 0.5).sign(), 0.0)
    position = torch.stack((depth, hilum, anterior, upper, side), -1).float()
    return Lungs(torch.from_numpy(mask).float(), places, position)
