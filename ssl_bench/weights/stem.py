"""How weights that read volumes of N channels enter a network that reads C: what ``--stem`` says.

Only kernels over the volumes' own channels differ, in practice the first convolution's. Its bias and all other weights
enter as they are. On C equal channels `copy` and `mean` give what N equal channels gave before.

* `copy`, N = 1: each channel gets the one kernel divided by C.
* `mean`, N > 1: each channel gets the mean of the N kernels times N / C.
* `new`: the kernels of all channels are those that the cell's seed draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ssl_bench.spec.specification import Stem

if TYPE_CHECKING:
    from torch import Tensor


def entering(weights: Mapping[str, Tensor], start: Mapping[str, Tensor], stem: Stem) -> dict[str, Tensor]:
    """`weights` by name, those over the volumes' channels as `stem` says and in the shape that they have in `start`.

    `start` are the weights that a seed draws for the same network with another number of channels.
    """
    found = dict(weights)
    for name in over_channels(weights, start):
        place = start[name]
        kernel = weights[name].sum(dim=1, keepdim=True) / place.shape[1]
        found[name] = place if stem == "new" else kernel.expand(place.shape)
    return found


def over_channels(weights: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> list[str]:
    """The names of `weights` that have another shape in `start`: kernels over the channels of volumes."""
    return [name for name, value in weights.items() if value.shape != start[name].shape]


def wrong_stem(stem: Stem, channels: int) -> str:
    """Why weights for volumes of so many `channels` cannot enter a network for others as `stem` says; empty if so."""
    if not stem:
        fitting = "copy" if channels == 1 else "mean"
        return f"say how they enter with --stem {fitting} or --stem new"
    if stem == "copy" and channels > 1:
        return "--stem copy copies one channel; use --stem mean or --stem new"
    if stem == "mean" and channels == 1:
        return "--stem mean averages several channels; use --stem copy or --stem new"
    return ""
