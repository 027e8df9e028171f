"""Where the lungs are in a CT: by a network, or by a threshold and connected components."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_bench.api.cases import Doubt
from ssl_bench.data.preprocessing.lung_threshold import (
    are_two,
    filled_up,
    lungs_by_threshold,
    picture_edge,
    working_grid,
)
from ssl_bench.errors import UserError

FoundBy = Literal["lungmask", "threshold"]

WEIGHTS_VARIABLE = "SSL_BENCH_LUNGMASK_WEIGHTS"
"""Names the file of lungmask's R231 weights, for machines without a network."""

SMALLEST_LITRES = 0.1
SMALL_LITRES = 1.0
"""Less than a healthy adult keeps after breathing out."""


class Lungs(NamedTuple):
    """Where the lungs are, and what they look like."""

    mask: NDArray[np.bool_]
    """(D, H, W)."""
    found_by: FoundBy
    litres: float
    both: bool
    """Whether there are two."""
    cut: bool
    """Whether they reach a side of the picture, or of a field of view inside it."""

    @property
    def note(self) -> str:
        """What they look like, in a line."""
        cut = ", cut by the edge of the picture" if self.cut else ""
        return f"lungs by {self.found_by}: {self.litres:.1f} l, {'two lungs' if self.both else 'one lung'}{cut}"

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """What speaks against their being the lungs, or all of them."""
        said = [
            (not self.both, "one lung alone was found"),
            (self.cut, "the edge of the picture cuts a lung"),
            (self.litres < SMALL_LITRES, f"the lungs hold less than {SMALL_LITRES:g} l"),
        ]
        other = "threshold" if self.found_by == "lungmask" else "lungmask"
        way_out = f"look at them (ssl-bench data show); else --set data.TASK.lungs={other} or data.TASK.region=whole"
        return tuple(Doubt(what, self.note, way_out) for holds, what in said if holds)


def lung_mask(
    voxels_hu: NDArray[Any], spacing_mm: tuple[float, float, float], how: Literal["auto", "lungmask", "threshold"]
) -> Lungs:
    """The lungs of a CT (D, H, W) in HU, canonical axes and spacing in that order.

    `auto` is lungmask where the package and its weights are at hand, else the threshold. Raises UserError, without the
    file's name, if there are no lungs of at least 0.1 l.
    """
    found_by = chosen(how)
    mask = lungs_by_threshold(voxels_hu, spacing_mm) if found_by == "threshold" else _by_network(voxels_hu)
    litres = np.count_nonzero(mask) * float(np.prod(spacing_mm)) / 1e6
    if litres < SMALLEST_LITRES:
        other = "threshold" if found_by == "lungmask" else "lungmask"
        raise UserError(
            f"{found_by} found {litres:.2f} l of lung and at least {SMALLEST_LITRES} are needed; "
            f"check data.TASK.intensity_offset, --set data.TASK.lungs={other}, or choose another region"
        )
    grid = working_grid(voxels_hu.shape, spacing_mm)
    lungs, edge = mask[grid], picture_edge(filled_up(voxels_hu[grid]))
    return Lungs(mask, found_by, litres, are_two(lungs), cut=bool(lungs[edge].any()))


def chosen(how: Literal["auto", "lungmask", "threshold"]) -> FoundBy:
    """What finds the lungs on this machine."""
    if how != "auto":
        return how
    weights = os.environ.get(WEIGHTS_VARIABLE)
    return "lungmask" if weights and Path(weights).is_file() and find_spec("lungmask") else "threshold"


def _by_network(voxels_hu: NDArray[Any]) -> NDArray[np.bool_]:
    """Hofmanninger et al., European Radiology Experimental 2020: the network R231, slice by slice."""
    weights = os.environ.get(WEIGHTS_VARIABLE) or None
    if weights and not Path(weights).is_file():
        raise UserError(f"{WEIGHTS_VARIABLE}={weights}: no such file; name the file of lungmask's R231 weights")
    # The network knows slices whose rows run to posterior and columns to left.
    return np.asarray(_network(weights).apply(voxels_hu[:, ::-1, ::-1]))[:, ::-1, ::-1] > 0


@cache
def _network(weights: str | None) -> Any:
    try:
        library: Any = import_module("lungmask")
    except ImportError as error:
        raise UserError(
            "lungmask is not installed; pip install 'ssl-bench[lungs]', or --set data.TASK.lungs=threshold"
        ) from error
    try:
        return library.LMInferer(modelname="R231", modelpath=weights, force_cpu=True, tqdm_disable=True)
    except Exception as error:
        reason = f"lungmask's weights cannot be loaded ({type(error).__name__})"
        raise UserError(
            f"{reason}; name their file in {WEIGHTS_VARIABLE}, or --set data.TASK.lungs=threshold"
        ) from error
