"""What a cell that compares pairs of cases keeps of its first pair for the report's pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.measurement import KnownPartners, Show
from ssl_bench.api.rng import numpy_generator
from ssl_bench.api.task import TaskFacts
from ssl_bench.protocols.geometry.pairs import known_labels, spread_over
from ssl_bench.store.example_file import LaidPair, Matches
from ssl_bench.training.examples import arrows, best_effort, hung, in_bytes, indices, pixel_mm, stride
from ssl_bench.training.labels import drawn

SHOWN_POINTS = 24
LARGEST_SIDE = 96
"""Pixels of a kept slice; of a longer one every second or third pixel is kept."""
QUANTILES = 101


class PairExamples(Show):
    """The first pair, the same for every row and chosen by no score, at its slice with the most foreground."""

    def __init__(self, path: Path | None, facts: TaskFacts) -> None:
        """They will be written to `path`, None for nowhere; `facts` are of the task."""
        self.path = path
        self.facts = facts
        self.first_laid: LaidPair | None = None
        self._first_matches: Matches | None = None
        self._errors: list[NDArray[np.float32]] = []

    def points(self, source: Case, target: Case, points: Tensor, partners: Tensor, found: Tensor) -> None:
        """See `Show`: of the first pair the points nearest to the slice are kept, of all the errors."""
        if self.path is None or not len(points):
            return
        path, self.path = self.path, None
        with best_effort(path):
            errors = ((found - partners) * torch.tensor(target.spacing_mm)).norm(dim=1).numpy().astype(np.float32)
            self._errors.append(errors)
            if self._first_matches is None:
                places = tuple(some.numpy().astype(np.float32) for some in (points, partners, found))
                self._first_matches = _matches(source, target, places, errors)
            self.path = path

    def matches(self) -> Matches | None:
        """What is kept of matched points; None where there were none."""
        if self._first_matches is None:
            return None
        every = np.quantile(np.concatenate(self._errors), np.linspace(0, 1, QUANTILES)).astype(np.float32)
        return Matches(**vars(self._first_matches) | {"every_error_mm": every})

    def laid(self, fixed: Case, moving: Case, field: Tensor, labels: Tensor, truth: KnownPartners | None) -> None:
        """See `Show`."""
        if self.path is None or self.first_laid is not None:
            return
        path, self.path = self.path, None
        with best_effort(path):
            self.first_laid = _laid(self.facts, fixed, moving, field, labels, truth)
            self.path = path


def _matches(
    source: Case, target: Case, places: tuple[NDArray[np.float32], ...], errors: NDArray[np.float32]
) -> Matches:
    """`places` are points, partners and where they were found, (N, 3) each."""
    points, partners, found = places
    level = _fullest(source)
    # Of points that are equally near the drawn order decides, not that of the structures.
    order = numpy_generator("shown points", source.identifier).permutation(len(points))
    chosen = np.sort(order[np.abs(points[order, 0] - level).argsort(kind="stable")][:SHOWN_POINTS])
    beyond = int(np.clip(np.median(partners[chosen, 0]).round(), 0, target.size[0] - 1))
    return Matches(
        source=source.identifier,
        target=target.identifier,
        source_image=_image(source.channels[0, level]),
        target_image=_image(target.channels[0, beyond]),
        points=_in_pixels(points[chosen], source),
        partners=_in_pixels(partners[chosen], target),
        found=_in_pixels(found[chosen], target),
        error_mm=errors[chosen],
        source_pixel_mm=pixel_mm(source, _step(source)),
        target_pixel_mm=pixel_mm(target, _step(target)),
        every_error_mm=errors,
    )


def _laid(
    facts: TaskFacts, fixed: Case, moving: Case, field: Tensor, labels: Tensor, truth: KnownPartners | None
) -> LaidPair:
    level, step = _fullest(fixed), _step(fixed)
    size = fixed.size[1:]
    voxels = torch.from_numpy(np.indices(size).reshape(2, -1).T.copy())
    voxels = torch.cat([torch.full((len(voxels), 1), level), voxels], dim=1)
    found = spread_over(voxels + field[:, level].reshape(3, -1).T, fixed, moving)
    image = ndimage.map_coordinates(moving.channels[0], found.numpy().T, order=1, mode="constant", cval=0.0)
    error = None
    if truth is not None:
        partners = truth.partners(fixed.identifier, moving.identifier, voxels.float())
        error = ((found - partners) * torch.tensor(moving.spacing_mm)).norm(dim=1).numpy().reshape(size)
    true, carried = (drawn(facts, volume)[level] for volume in (np.asarray(fixed.label), labels.cpu().numpy()))
    return LaidPair(
        case=fixed.identifier,
        partner=moving.identifier,
        image=_image(np.nan_to_num(image).reshape(size)),
        truth=indices(hung(true, step)),
        prediction=indices(hung(carried, step)),
        displacement=arrows(field[1:, level].numpy(), step),
        error_mm=None if error is None else hung(error, step).astype(np.float16),
        pixel_mm=pixel_mm(fixed, step),
    )


def _fullest(case: Case) -> int:
    return int(known_labels(case).count_nonzero(dim=(1, 2)).argmax())


def _step(case: Case) -> int:
    return stride(case.size[1:], LARGEST_SIDE)


def _image(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    return in_bytes(hung(plane, stride(plane.shape, LARGEST_SIDE)))


def _in_pixels(places: NDArray[np.float32], case: Case) -> NDArray[np.float32]:
    """(N, 2), down and right on the slice as it is hung, from (N, 3) voxels."""
    last = np.array(case.size[1:], np.float32) - 1
    return ((last - places[:, 1:]) / _step(case)).astype(np.float32)
