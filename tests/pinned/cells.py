"""Numbers of the first steps of methods and protocols, of grown cases, and of metrics."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch

from ssl_bench.api.cases import Case
from ssl_bench.api.generator import Generator
from ssl_bench.api.measurement import Measurement
from ssl_bench.api.metric import METRICS
from ssl_bench.api.registry import METHODS, PROTOCOLS, TASKS
from ssl_bench.api.settings import load_preset
from ssl_bench.metrics.auc import roc_auc
from ssl_bench.metrics.centreline import centreline_dice
from ssl_bench.metrics.dice import dice_per_class
from ssl_bench.metrics.surface import surface_distances
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.specification import CorpusSpec, PretrainingSpec
from ssl_bench.training import evaluation, measuring, pretraining
from ssl_bench.training.attempt import Attempt
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, make_fabric
from tests.pinned.made_up import Numbers, case, labelled_volume, smooth_volume, summary

STEPS, CROP = 2, 16
RUNTIME, SILENT = Runtime("cpu", 1), Progress(shown=False)
# The second loss shows the gradient of the first. Adam's first steps go by the sign of a gradient, however small, and
# no two kinds of processor agree on that.
SGD = {"name": "sgd", "learning_rate": 0.05, "schedule": "constant", "warmup_steps": 0, "gradient_clip": 1.0}
ABOVE = 2.0
"""Added to losses, some of which lie about 0, where nothing can be compared relatively."""
DOWNSTREAM: dict[str, Any] = {
    "steps": STEPS,
    "batch": {"segmentation": 1, "classification": 2},
    "validate_every": STEPS,
    "windows_per_volume": 1,
    "optimiser": SGD,
}
"""What is said of a protocol here, whatever a preset says."""


def meeting(cases: Mapping[str, list[Case]]) -> Any:
    """A source of volumes that gives `cases` to every cell."""
    return lambda cell: SimpleNamespace(load=lambda *parts: cases, patients=dict, truth=lambda *parts: SamePlace())


class SamePlace:
    """Every place's partner in another case is the same place."""

    def partners(self, source: str, target: str, voxels: torch.Tensor) -> torch.Tensor:
        return voxels.clone()


def method(name: str) -> Numbers:
    """The losses of the first steps, every option at its default."""
    facts = METHODS.load(name).facts
    corpus = CorpusSpec(fingerprint="made up", volumes=12, held_out=1)
    spec = PretrainingSpec(
        method=name, method_version=facts.version, plugin_source=None, options={}, width=8, crop=CROP, steps=STEPS,
        batch=max(2, facts.smallest_batch), watch_every=STEPS, optimiser=SGD, corpus=corpus, precision="float32",
        seed=0,
    )  # fmt: skip
    cell = Cell(kind="pretraining", spec=spec, setting=Planner(load_preset("smoke"), [], "float32").setting)
    volumes = {"corpus": [case(seed, 1) for seed in range(12)], "held-out": [case(99, 1)]}
    with mock.patch.object(pretraining, "source_of", meeting(volumes)), tempfile.TemporaryDirectory() as folder:
        fabric, weights = make_fabric(RUNTIME, "float32"), Path(folder) / "backbone.safetensors"
        record = pretraining.pretrain(fabric, cell, RUNTIME, SILENT, weights, Attempt())
    assert record is not None
    return [ABOVE + loss for loss in record.loss_curve]


def protocol(name: str) -> Numbers:
    """Training losses of a few steps from a random start, and what the test cases get."""
    found: Numbers = []
    planner, own = Planner(load_preset("smoke"), [], "float32"), PROTOCOLS.load(name).Settings.model_fields
    plugin = PROTOCOLS.load(name)
    for task in ("shc", "ccc"):
        if issubclass(plugin, Measurement) and TASKS.load(task).facts.kind not in plugin.metrics:
            continue
        cell = planner.evaluation("scratch", task, name, 0)
        spec = cell.evaluation
        said = spec.protocol_settings | {key: value for key, value in DOWNSTREAM.items() if key in own}
        spec = spec.model_copy(update={"protocol_settings": said, "crop": CROP, "overlap": 0.25})
        facts = TASKS.load(task).facts
        classes = len(facts.classes) if facts.kind == "segmentation" else None
        cases = {part: [case(at + seed, classes, (24, 16, 16)) for seed in range(2)]
                 for at, part in enumerate(("train", "validation", "test"))}  # fmt: skip
        with (
            mock.patch.object(evaluation, "source_of", meeting(cases)),
            mock.patch.object(measuring, "source_of", meeting(cases)),
        ):
            record = evaluation.evaluate(cell.model_copy(update={"spec": spec}), RUNTIME, SILENT, None, 0, Attempt())
        found += [ABOVE + look["loss"] for look in record.validation_curve]
        of_case = METRICS[record.metric].of_case or "probability"
        found += [1 + row[of_case] for row in record.cases]
    return found


def grown(generator: type[Generator], split: str) -> Numbers:
    """One case as it is grown: its image, and where its label lies."""
    (found,) = generator().grow(split, 1, 1.0, 0)
    return summary(torch.from_numpy(np.array(found.image)), torch.tensor(np.array(found.label, np.float64) + 1))


def metrics_of_segmentations() -> Numbers:
    """Overlap, distances and centrelines of two segmentations that differ, one class missed."""
    truth, predicted = (torch.from_numpy(labelled_volume(seed, 4).astype(np.int64))[None] for seed in (0, 1))
    predicted = torch.where(truth % 3 == 0, truth, predicted)
    predicted[predicted == 2] = 0
    distances = surface_distances(predicted, truth, 4, (1.0, 1.5, 2.0), 2.0)
    measures = [
        dice_per_class(predicted, truth, 4), distances.hd95_mm, distances.surface_dice,
        centreline_dice(predicted, truth, 4),
    ]  # fmt: skip
    return [1 + float(value) for measure in measures for value in measure.flatten().nan_to_num(-0.5, 1e6)]


def metrics_of_classifications() -> Numbers:
    """The AUC of scores with ties."""
    scores = torch.from_numpy(smooth_volume(0).flatten()[:200]).mul(20).round()
    return [roc_auc(scores, (torch.arange(200) % 3 == 0).long())]
