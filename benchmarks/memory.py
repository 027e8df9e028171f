"""Peak memory and seconds of one pre-training step, each in a process of its own.

The second of two steps, measured once: its seconds and the process's largest resident size, libraries included; on a
GPU, the most that was allocated there.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import torch

from benchmarks.stepping import Precision, Stepper, learning_methods, native_precision, plan
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, timed
from ssl_bench.training.runtime import peak_of_process

PRESETS = ("quick", "small", "paper")
IN_FLOAT32 = ("gvsl", "simclr", "byol")
"""Also measured as the paper did, in float32: the pair and the largest batches of views."""


class Cost(NamedTuple):
    """Of one step."""

    volumes: str
    seconds: float
    peak: float
    """GiB: of the process, or of what it allocated on a GPU."""


def measure(options: Options) -> list[Table]:
    native = native_precision(options)
    if options.quick:
        return [_table("smoke", native, ["gvsl"], options)]
    tables = [_table(preset, native, learning_methods(), options) for preset in PRESETS]
    return tables if native == "float32" else [*tables, _table("paper", "float32", IN_FLOAT32, options)]


def _table(preset: str, precision: Precision, methods: Sequence[str], options: Options) -> Table:
    return {
        "title": f"One step in the preset {preset}, {precision}",
        "rows": [_row(method, preset, precision, options) for method in methods],
    }


def _row(method: str, preset: str, precision: Precision, options: Options) -> Row:
    kept, again = (_in_a_process(method, preset, precision, options, checkpointing) for checkpointing in (False, True))
    return {
        "method": method,
        "volumes": kept.volumes,
        "peak GiB": kept.peak,
        "peak GiB, checkpointing": again.peak,
        "checkpointing / without": again.peak / kept.peak,
        "seconds": kept.seconds,
        "seconds, checkpointing / without": again.seconds / kept.seconds,
    }


def peak_of_two_steps(method: str, preset: str, precision: Precision, options: Options) -> float:
    """GiB: of a process of its own, or of what it allocated on a GPU."""
    return _in_a_process(method, preset, precision, options, checkpointing=False).peak


def _in_a_process(method: str, preset: str, precision: Precision, options: Options, checkpointing: bool) -> Cost:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_cost, method, preset, precision, options, checkpointing).result()


def _cost(method: str, preset: str, precision: Precision, options: Options, checkpointing: bool) -> Cost:
    """The second of two steps, and the peak of this process so far."""
    spec = plan(method, precision, preset=preset)
    step = Stepper(spec, options, checkpointing=checkpointing)
    timed(step, options.device)
    seconds = timed(step, options.device)
    if step.fabric.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(step.fabric.device) / 2**30
    else:
        peak = peak_of_process() / 2**30
    return Cost(f"{spec.batch} x {spec.crop}³", seconds, peak)
