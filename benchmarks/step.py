"""The training step of every method, beside the plain backbone's, beside float32, and beside the machine.

A step is what a pre-training takes: draws, views or corruption, forward, loss, backward, Adam's update. Batch,
options and optimiser are those of the preset `paper`, with width 32, windows of 64³ and the precision that `auto`
chooses.

- *Plain backbone*: forward, backward and update of the same U-Net on the step's volumes, or of its encoder for
  methods that train the encoder alone, in the fastest format of the first table. Methods with two views send two
  volumes through the encoder for each, as the column *backbone passes* says.
- *Limits of this machine*: a product of two 4096² matrices and a copy between two arrays of 512 MiB, in turn with the
  steps. The backbone's operations are those of its convolutions and of upsampling, forward and backward, counted by
  torch. Its memory traffic is what its layers read and write if each runs alone and caches keep nothing: three times
  the input and twice the output of every layer, and seven passes of Adam over the weights. A step cannot be faster
  than its operations; fused layers can beat the memory traffic.
- *float32 by default*: the same step in float32 with torch's default memory layout.
- *% in the backbone*: the step's passes through the backbone, forward and backward, repeated on volumes of the same
  shapes in turn with whole steps. The update is not in it.
- *GVSL's step, part by part*: each part alone, forward and backward, on inputs of the step's shapes, in turn with
  whole steps. What the parts lack of the whole is the pair's splitting and joining, and the update.
- *By operator*: torch's profiler over one step; time of the processor, or of the GPU it runs on, without the
  operators called inside.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import NamedTuple

import torch

from benchmarks.gvsl_parts import gvsl_parts
from benchmarks.machine import demand, matrix_product, memory_copy
from benchmarks.stepping import (
    Precision,
    Stepper,
    backbone_passes,
    learning_methods,
    native_precision,
    plain_step,
    plan,
    replay,
)
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, at_least, at_most, interleaved, ratio, spread
from ssl_bench.api.registry import METHODS

RESTORING = ("centroid-hidden", "geometric")
"""Paradigms whose step should be the backbone's for the most part."""
SHOWN_OPERATORS = 4
BESIDE_PLAIN = "/ plain backbone"
FASTER = "times as fast as float32 by default"
SHARE = "% in the backbone"


def measure(options: Options) -> list[Table]:
    sizes = ["width=8", "pretraining.crop=16"] if options.quick else ["width=32", "pretraining.crop=64"]
    formats, fastest = _formats(options, sizes)
    methods, profiles = zip(*(_method(name, options, sizes, fastest) for name in learning_methods()), strict=True)
    return [
        {"title": "The plain backbone on two volumes, in every format", "rows": formats},
        {"title": "Limits of this machine", "rows": _limits(options, sizes, fastest)},
        {"title": "Each method's step", "rows": list(methods)},
        {"title": "Targets", "rows": [target for row in methods for target in _targets(row)]},
        {"title": "GVSL's step, part by part", "rows": gvsl_parts(options, sizes)},
        {"title": "Where a step's time goes, by operator", "rows": list(profiles)},
    ]


class Format(NamedTuple):
    """How a backbone computes."""

    precision: Precision
    channels_last: bool
    compiled: bool = False

    def plain_step(self, method: str, options: Options, sizes: list[str], decodes: bool = True) -> Callable[[], None]:
        """The plain backbone's step on a batch of `method`."""
        return plain_step(plan(method, self.precision, sizes), options, decodes, self.channels_last, self.compiled)


def _formats(options: Options, sizes: list[str]) -> tuple[list[Row], Format]:
    formats = {
        f"{precision}, {'channels last' if last else 'default layout'}": Format(precision, last)
        for precision in ("float32", "bf16")
        for last in (False, True)
    }
    # Compiling takes a minute, and where there is no compiler it cannot be tried.
    if not options.quick and (options.device != "cpu" or shutil.which(os.environ.get("CXX", "g++"))):
        native = native_precision(options)
        formats[f"{native}, channels last, torch.compile"] = Format(native, True, compiled=True)
    times = interleaved({t: each.plain_step("gvsl", options, sizes) for t, each in formats.items()}, options)
    slowest = times["float32, default layout"]
    rows = [
        {"format": title, "seconds": spread(taken), "times as fast as float32 by default": ratio(slowest, taken)}
        for title, taken in times.items()
    ]
    return rows, formats[min(times, key=lambda title: spread(times[title])["median"])]


def _limits(options: Options, sizes: list[str], fastest: Format) -> list[Row]:
    spec = plan("gvsl", fastest.precision, sizes)
    product, operations = matrix_product(options, fastest.precision)
    copy, moved = memory_copy(options)
    needs = demand(spec)
    sides = {"step": fastest.plain_step("gvsl", options, sizes), "product": product, "copy": copy}
    sides["gvsl"] = Stepper(spec, options)
    times = interleaved(sides, options)
    by_products = [needs.operations / operations * seconds for seconds in times["product"]]
    by_copies = [needs.traffic / moved * seconds for seconds in times["copy"]]
    rates: list[Row] = [
        {
            "what": f"matrix product, {fastest.precision} (10⁹ operations/s)",
            "figure": operations / min(times["product"]) / 1e9,
        },
        {"what": "memory, read and written (GB/s)", "figure": moved / min(times["copy"]) / 1e9},
        {"what": "operations of the backbone's step (10⁹)", "figure": needs.operations / 1e9},
        {"what": "memory traffic of its layers one by one (GB)", "figure": needs.traffic / 1e9},
    ]
    for name, title in (("step", "the plain backbone's step"), ("gvsl", "GVSL's step")):
        rates += [
            {"what": f"{title} / the time of its matrix products alone", "figure": ratio(times[name], by_products)},
            {"what": f"{title} / the time of its memory traffic alone", "figure": ratio(times[name], by_copies)},
        ]
    return rates


def _method(name: str, options: Options, sizes: list[str], fastest: Format) -> tuple[Row, Row]:
    spec = plan(name, native_precision(options), sizes)
    decodes = METHODS.load(name).facts.pretrains == "encoder and decoder"
    step = Stepper(spec, options)
    passes = backbone_passes(step)
    sides: dict[str, Callable[[], None]] = {
        "step": step,
        "plain": fastest.plain_step(name, options, sizes, decodes),
        "float32": Stepper(plan(name, "float32", sizes), options, channels_last=False),
        "backbone": replay(step, passes),
    }
    times = interleaved(sides, options, 300 if name == "gvsl" else 60)
    row: Row = {
        "method": name,
        "volumes": f"{spec.batch} x {spec.crop}³",
        "backbone passes": len(passes),
        "seconds": spread(times["step"]),
        BESIDE_PLAIN: ratio(times["step"], times["plain"]),
        FASTER: ratio(times["float32"], times["step"]),
        SHARE: ratio(times["backbone"], times["step"], factor=100),
    }
    return row, {"method": name, "largest shares of processor time": _profile(step)}


def _targets(row: Row) -> list[Row]:
    """What was wanted of one method, and what it reaches."""
    name = row["method"]
    found = [(FASTER, at_least(1.7, row[FASTER]))]
    if name == "gvsl":
        found += [(BESIDE_PLAIN, at_most(limit, row[BESIDE_PLAIN])) for limit in (1.4, 1.25)]
    if METHODS.load(name).facts.paradigm in RESTORING:
        found += [(SHARE, at_least(80, row[SHARE]))]
    return [{"target": f"{name}, {column}, {said['wanted']}", "figure": row[column], **said} for column, said in found]


def _profile(step: Stepper) -> str:
    with torch.profiler.profile() as profile:
        step()
    events = profile.key_averages()
    on_gpu = step.fabric.device.type == "cuda"
    spent = {event.key: event.self_device_time_total if on_gpu else event.self_cpu_time_total for event in events}
    whole = sum(spent.values())
    largest = sorted(spent, key=lambda key: -spent[key])[:SHOWN_OPERATORS]
    return ", ".join(f"{key.removeprefix('aten::')} {100 * spent[key] / whole:.0f} %" for key in largest)
