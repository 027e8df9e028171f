"""Each backbone's step and memory beside those of the shared one with about as many parameters.

A step is forward, backward from the local features and Adam's update, on two windows of 48³, the small presets' size,
in float32. Each is taken in turn with that of `unet3d`, and the ratio within each round. Memory is what a process of
its own holds at most in two such steps, beyond what it held before the first: weights, gradients, Adam's moments and
activations.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from benchmarks.tables import Row, Table
from benchmarks.timing import Options, interleaved, ratio, spread
from ssl_bench.training.pretraining import build_backbone
from ssl_bench.training.runtime import peak_of_process

GROUPS = ((("unet3d", 16), ("resenc", 16), ("primus", 16)), (("unet3d", 24), ("swinunetr", 24)))
"""Backbones and their widths with about as many parameters; the first of each is what the others stand beside."""
SIDE, BATCH = 48, 2


def measure(options: Options) -> list[Table]:
    groups = [(("unet3d", 8), ("primus", 8))] if options.quick else GROUPS
    return [{"title": "Each backbone's step", "rows": [row for group in groups for row in _rows(group, options)]}]


def _rows(group: tuple[tuple[str, int], ...], options: Options) -> list[Row]:
    # Before this process holds much: where it starts another, that one's largest size begins with its own.
    memory = {name: _in_a_process(name, width, options) for name, width in group}
    steps: dict[str, Step] = {name: Step(name, width, options) for name, width in group}
    times = interleaved(steps, options)
    first = group[0][0]
    return [
        {
            "backbone": f"{name}, width {width}",
            "million parameters": steps[name].parameters / 1e6,
            "seconds": spread(times[name]),
            "/ unet3d": ratio(times[name], times[first]),
            "MiB": memory[name],
            "MiB / unet3d": memory[name] / memory[first],
        }
        for name, width in group
    ]


class Step:
    """One update of a backbone from its local features."""

    def __init__(self, name: str, width: int, options: Options) -> None:
        self.network = build_backbone(width, 0, name).to(options.device)
        self.parameters = sum(weight.numel() for weight in self.network.parameters())
        self.optimiser = torch.optim.Adam(self.network.parameters())
        side = 16 if options.quick else SIDE
        self.volumes = torch.rand(BATCH, 1, side, side, side).to(options.device)

    def __call__(self) -> None:
        self.optimiser.zero_grad()
        self.network(self.volumes).local.square().mean().backward()
        self.optimiser.step()


def _in_a_process(name: str, width: int, options: Options) -> float:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_peak, name, width, options).result()


def _peak(name: str, width: int, options: Options) -> float:
    """MiB that two steps add to what the process, or its GPU, holds."""
    held: Callable[[], float] = _on_gpu if options.device.startswith("cuda") else _of_process
    Step("primus", 8, Options(options.part, True, options.device, options.threads))()  # Libraries load before.
    before = held()
    step = Step(name, width, options)
    step()
    step()
    return held() - before


def _on_gpu() -> float:
    return torch.cuda.max_memory_allocated() / 2**20


def _of_process() -> float:
    return peak_of_process() / 2**20
