"""Transforms of one volume, or of a pair, against the way the published codes make them.

T is GVSL's corruption. Its counterpart goes block by block in NumPy on one core, as the published codes do (a test
compares what the two change, by how much and how often): ten volumes a round, of which it shuffles eight and maps
nine, as its probabilities say. The counterpart of the spatial augmentation blurs the noise by convolutions with 81 to
105 taps along each axis and resamples twice; the two blurs are compared before they are timed.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks import corruption_by_blocks, spatial_by_convolution
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, at_least, interleaved, ratio, spread
from ssl_bench.api.rng import Draws, numpy_generator
from ssl_bench.transforms.corruption import GVSL, corrupt
from ssl_bench.transforms.separable import filter_axes, gaussian_matrix
from ssl_bench.transforms.shuffling import GVSL_SHUFFLING, number_of_blocks
from ssl_bench.transforms.spatial import SpatialSettings, random_spatial

VOLUMES_A_ROUND = 10
"""Of which the published code shuffles 8 and maps 9, what its probabilities come to."""
TOLERANCE = 1e-4


def measure(options: Options) -> list[Table]:
    side = 32 if options.quick else 128
    rows = [_corruption(side, options), _spatial(side, options)]
    return [{"title": "Transforms", "rows": rows}]


def _corruption(side: int, options: Options) -> Row:
    volume = np.random.default_rng(0).random((side, side, side), dtype=np.float32)
    tensor = torch.from_numpy(volume)[None, None].to(options.device)
    blocks = number_of_blocks(volume.shape, GVSL_SHUFFLING)

    def ours() -> None:
        for index in range(VOLUMES_A_ROUND):
            corrupt(tensor, Draws.keyed("benchmark", samples=[index], device=options.device), GVSL)

    def by_blocks() -> None:
        for index in range(VOLUMES_A_ROUND):
            shuffled, mapped = index < 10 * GVSL.shuffling_probability, index > 0
            corruption_by_blocks.corrupt(volume, numpy_generator("benchmark", index), blocks, shuffled, mapped)

    times = interleaved({"ours": ours, "other": by_blocks}, options)
    return _row(f"T, one volume of {side}³, against NumPy block by block", times, VOLUMES_A_ROUND)


def _spatial(side: int, options: Options) -> Row:
    settings = SpatialSettings()
    first, second = (torch.rand(1, 1, side, side, side).to(options.device) for _ in range(2))
    _check_that_blurs_agree(side, options)
    pair = torch.cat([first, second], dim=1)

    def draws() -> Draws:
        return Draws.keyed("benchmark", samples=[0], device=options.device)

    sides = {
        "ours": lambda: random_spatial((first, second), draws(), settings),
        "other": lambda: spatial_by_convolution.augment(pair, draws(), settings),
    }
    return _row(f"spatial augmentation, a pair of {side}³, against convolutions", interleaved(sides, options), 1)


def _check_that_blurs_agree(side: int, options: Options) -> None:
    noise, sigma = torch.rand(1, 3, side, side, side).to(options.device), torch.tensor([11.5], device=options.device)
    ours = filter_axes(noise, [gaussian_matrix(side, sigma)] * 3)
    torch.testing.assert_close(ours, spatial_by_convolution.blur(noise, 11.5), atol=TOLERANCE, rtol=TOLERANCE)


def _row(title: str, times: dict[str, list[float]], volumes: int) -> Row:
    faster = ratio(times["other"], times["ours"])
    return {
        "transform": title,
        "seconds": spread([taken / volumes for taken in times["ours"]]),
        "published way: seconds": spread([taken / volumes for taken in times["other"]]),
        "times as fast": faster,
        **at_least(5, faster),
    }
