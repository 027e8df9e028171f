"""What each row of the preset `small` takes to pre-train: parameters, passes, volumes, seconds, memory.

A step is what a pre-training takes: draws, views or corruption, forward, loss, backward, the optimiser's update. The
backbone's passes, forward and backward, are repeated on volumes of the same shapes in turn with whole steps; a step
should take at most 1.4 times as long as they do. Device-seconds are the step's median times the preset's steps;
reading the corpus, held-out losses and clustering are not in them. Memory is the largest resident size of a process of
its own that takes two steps, libraries included, or on a GPU the most that was allocated.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.memory import peak_of_two_steps
from benchmarks.stepping import Stepper, backbone_passes, learning_methods, native_precision, plan, replay
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, at_most, interleaved, ratio, spread

PRESET = "small"
WANTED = 1.4
BESIDE_PASSES = "/ its backbone passes"
SECONDS = 5.0
"""About as long as each method is measured, in three rounds or more."""


def measure(options: Options) -> list[Table]:
    methods = ["gvsl"] if options.quick else learning_methods()
    rows = [_row(name, options) for name in methods]
    return [
        {"title": f"What each row takes to pre-train in the preset {PRESET}", "rows": rows},
        {"title": f"Steps beside backbone passes in the preset {PRESET}", "rows": [_target(row) for row in rows]},
    ]


def _row(name: str, options: Options) -> Row:
    preset = "smoke" if options.quick else PRESET
    spec = plan(name, native_precision(options), preset=preset)
    step = Stepper(spec, options)
    passes = backbone_passes(step)
    learning, of_backbone = (
        sum(parameter.numel() for parameter in module.parameters() if parameter.grad is not None)
        for module in (step.method, step.method.backbone)
    )
    sides: dict[str, Callable[[], None]] = {"step": step, "backbone": replay(step, passes)}
    times = interleaved(sides, options, SECONDS)
    return {
        "method": name,
        "million parameters that learn": learning / 1e6,
        "of the backbone": of_backbone / 1e6,
        "volumes": f"{spec.batch} x {spec.crop}³",
        "backbone passes": len(passes),
        "volumes seen": spec.batch * spec.steps,
        "seconds a step": spread(times["step"]),
        BESIDE_PASSES: ratio(times["step"], times["backbone"]),
        "device-seconds": spread(times["step"])["median"] * spec.steps,
        "peak GiB": peak_of_two_steps(name, preset, native_precision(options), options),
    }


def _target(row: Row) -> Row:
    figure = row[BESIDE_PASSES]
    return {"target": f"{row['method']}, {BESIDE_PASSES}", "figure": figure, **at_most(WANTED, figure)}
