"""Predicting a whole volume: the sliding window as it is, against one window at a time.

Both with the same overlap. A voxel is computed as often as windows cover it, on average.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from benchmarks.stepping import native_precision
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, interleaved, ratio, spread
from ssl_bench.nn.heads import PaperDownstream
from ssl_bench.training.inference import predict
from ssl_bench.training.pretraining import build_backbone
from ssl_bench.training.runtime import Runtime, make_fabric

CLASSES = 7
SIZES = [(48, (80, 96, 96)), (64, (160, 128, 160)), (128, (160, 160, 128))]
"""Side of the window, and the volume: about the preset quick's, something between, and a brain of the paper's."""


class CountingModel(PaperDownstream):
    """Counts the windows that it is shown."""

    windows = 0

    def probabilities(self, volumes: Tensor) -> Tensor:
        self.windows += len(volumes)
        return super().probabilities(volumes)


def measure(options: Options) -> list[Table]:
    sizes = [(16, (24, 20, 32))] if options.quick else SIZES
    rows = [_row(crop, size, overlap, options) for crop, size in sizes for overlap in (0.25, 0.5)]
    return [{"title": f"Sliding window, width {8 if options.quick else 16}", "rows": rows}]


def _row(crop: int, size: tuple[int, ...], overlap: float, options: Options) -> Row:
    fabric = make_fabric(Runtime(options.device, options.threads), native_precision(options))
    model = CountingModel(build_backbone(8 if options.quick else 16, 0), "segmentation", CLASSES)
    fabric.to_device(model)
    volume = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0)).to(fabric.device)

    def ours() -> Tensor:
        with torch.no_grad(), fabric.autocast():
            return predict(model, volume, crop, overlap)

    def one_by_one() -> Tensor:
        with torch.no_grad(), fabric.autocast():
            return _one_window_at_a_time(model, volume, crop, overlap)

    alike = (ours() == one_by_one()).float().mean()
    model.windows = 0
    ours()
    windows = model.windows
    times = interleaved({"ours": ours, "other": one_by_one}, options)
    return {
        "volume and window": f"{' x '.join(map(str, size))}, {crop}³, overlap {overlap:g}",
        "windows": windows,
        "times each voxel is computed": windows * crop**3 / volume.numel(),
        "seconds": spread(times["ours"]),
        "times as fast as one window at a time": ratio(times["other"], times["ours"]),
        "% of voxels of the same class": 100 * float(alike),
    }


def _one_window_at_a_time(model: PaperDownstream, volume: Tensor, crop: int, overlap: float) -> Tensor:
    """Windows at regular starts, the last one flush with the end; the mean of the probabilities."""
    step = max(1, int(crop * (1 - overlap)))
    total = torch.zeros(1, 1 + CLASSES, *volume.shape[2:], device=volume.device)
    seen = torch.zeros(volume.shape[2:], device=volume.device)
    starts = [sorted({min(first, n - crop) for first in range(0, n - crop + step, step)}) for n in volume.shape[2:]]
    for corner in product(*starts):
        place = tuple(slice(first, first + crop) for first in corner)
        total[:, :, *place] += model.probabilities(volume[:, :, *place])
        seen[place] += 1
    return (total / seen)[0].argmax(dim=0).to(torch.uint8)
