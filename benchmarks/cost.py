"""What the paper's full table would cost on devices like this one, from steps measured at the paper's size.

Every method, task and protocol that is registered, with 5 seeds:

    pre-training  = 200,000 x seconds a step
    cell          = features of the training windows (frozen backbone only)
                    + steps x learning rates x seconds a step
                    + (steps / 200) x learning rates x validation cases x seconds a case
                    + test cases x seconds a case
    days at least = max(sum of all / devices, longest pre-training + longest cell) / 24 h

Assumed: the paper's splits; 160³ voxels of a cropped heart, 160 x 160 x 128 of a brain, 256 x 224 x 288 of two lungs
at 1 mm (timed at 128³ and scaled by the voxels, since a whole-volume step needs more memory than most devices have);
windows of 128³ with half of each shared. Left out: growth or preparation of the data, reading, evaluations on
held-out volumes during pre-training, DeepCluster's clustering, surface distances, idle devices at the end, failures.
Counted too often: features of validation cases, which a protocol with a frozen backbone computes once. A
pre-training's step is timed for about half a minute; so are the features, two steps and one case of a cell, at least
once and after one call each that does not count. A cell's figures are medians.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.stepping import Stepper, learning_methods, native_precision, plan
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, interleaved, spread
from ssl_bench.api.cases import Case
from ssl_bench.api.protocol import Training
from ssl_bench.api.registry import METHODS, PROTOCOLS, TASKS
from ssl_bench.api.settings import load_preset
from ssl_bench.data.windows import CaseBatches
from ssl_bench.training.attempt import Attempt
from ssl_bench.training.descent import on_device
from ssl_bench.training.fitting import Fitting
from ssl_bench.training.inference import predict
from ssl_bench.training.pretraining import build_backbone
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, make_fabric

SEEDS = 5
DEVICES = (1, 8, 64)
TIMED_STEPS = 2
SECONDS = 30.0
"""About as long as each method, and each cell, is measured."""


class Volume(NamedTuple):
    """A typical case at 1 mm."""

    size: tuple[int, int, int]
    """That is timed."""
    factor: float = 1.0
    """How much larger the real one is."""


VOLUMES = {
    "shc": Volume((160, 160, 160)),
    "sac": Volume((160, 160, 160)),
    "sbm": Volume((160, 160, 128)),
    "ccc": Volume((128, 128, 128), factor=256 * 224 * 288 / 128**3),
}


def measure(options: Options) -> list[Table]:
    overrides = ["width=8", "crop=16", "pretraining.crop=16"] if options.quick else []
    names = ["gvsl"] if options.quick else learning_methods()
    pretraining: list[Row] = []
    for name in names:
        spec = plan(name, native_precision(options), overrides)
        seconds = spread(interleaved({"step": Stepper(spec, options)}, options, SECONDS)["step"])
        hours = seconds["median"] * spec.steps / 3600
        pretraining.append({"method": name, "seconds a step": seconds, "steps": spec.steps, "device-hours": hours})
    tasks = list(VOLUMES)[-1:] if options.quick else list(VOLUMES)
    # The paper's: the second versions end when validation says so, so that their cost is no sum of steps.
    # Those without a gradient cost seconds.
    protocols = [name for name in load_preset("paper").protocols if name.endswith("-v1")]
    cells = [_cell(task, protocol, overrides, options) for task in tasks for protocol in protocols]
    return [
        {"title": "A pre-training at the paper's size", "rows": pretraining},
        {"title": "A cell at the paper's size, with the paper's splits", "rows": cells},
        {"title": "The full table", "rows": _table(pretraining, cells)},
    ]


def _cell(task: str, protocol_name: str, overrides: list[str], options: Options) -> Row:
    """Features, steps and prediction of one random case."""
    facts, dataset = TASKS.load(task).facts, TASKS.load(task).dataset
    assert dataset is not None
    preset, plugin = load_preset("paper", overrides), PROTOCOLS.load(protocol_name)
    settings = plugin.Settings.model_validate(preset.protocols[protocol_name])
    volume = VOLUMES[task] if not options.quick else Volume((24, 16, 16))
    fabric = make_fabric(Runtime(options.device, options.threads), native_precision(options))
    protocol = plugin(settings, 0)
    model = protocol.build(build_backbone(preset.width, 0), facts.kind, len(facts.classes))
    fabric.to_device(model)
    case = _case(volume.size, len(facts.classes) if facts.kind == "segmentation" else 0)

    def features(volumes: Tensor) -> tuple[Tensor, ...]:
        with fabric.autocast():
            return model.features(on_device(fabric, volumes))

    def prepare() -> Training:
        return protocol.prepare(model, CaseBatches([case], preset.crop), features)

    training = prepare()
    short = settings.model_copy(update={"steps": TIMED_STEPS, "validate_every": TIMED_STEPS})

    def steps_of_each_trial() -> None:
        Fitting(fabric, training, short, lambda: 0.0, Attempt(), dict).best(Progress(shown=False), "")

    def predict_case() -> None:
        image = on_device(fabric, torch.from_numpy(case.image)[None, None])
        with torch.no_grad(), fabric.autocast():
            predict(model, image, preset.crop, preset.overlap).cpu()

    sides = {"prepare": prepare, "steps": steps_of_each_trial, "predict": predict_case}
    times = interleaved(sides, options, SECONDS, least=1)
    seconds = {name: spread(taken)["median"] for name, taken in times.items()}
    frozen, trials = plugin.facts.frozen_backbone, len(training.optimisers)
    step = seconds["steps"] / (TIMED_STEPS * trials) * (1.0 if frozen else volume.factor)
    predicted = seconds["predict"] * volume.factor
    preparing = seconds["prepare"] * volume.factor * dataset.split_counts.train if frozen else 0.0
    stepping = step * settings.steps * trials
    validating = predicted * dataset.split_counts.validation * (settings.steps // settings.validate_every) * trials
    whole = preparing + stepping + validating + predicted * dataset.split_counts.test
    return {
        "cell": f"{task} {protocol_name}",
        "seconds a step": step,
        "steps": settings.steps * trials,
        "seconds a case": predicted,
        "hours of steps": stepping / 3600,
        "hours of validation": validating / 3600,
        "device-hours": whole / 3600,
    }


def _case(size: tuple[int, int, int], classes: int) -> Case:
    generator = np.random.default_rng(0)
    label = generator.integers(1 + classes, size=size, dtype=np.uint8) if classes else 1
    return Case("random", generator.random(size, dtype=np.float32), label, (1.0, 1.0, 1.0))


def _table(pretraining: list[Row], cells: list[Row]) -> list[Row]:
    """No schedule is shorter than the work divided by the devices, nor than the longest pre-training and a cell."""
    rows = len(METHODS.names())
    hours = SEEDS * (sum(row["device-hours"] for row in pretraining) + rows * sum(row["device-hours"] for row in cells))
    chain = max(row["device-hours"] for row in pretraining) + max(row["device-hours"] for row in cells)
    return [
        {
            "devices": devices,
            "pre-trainings": SEEDS * len(pretraining),
            "cells": SEEDS * rows * len(cells),
            "device-hours": hours,
            "days at least": max(hours / devices, chain) / 24,
        }
        for devices in DEVICES
    ]
