"""A linear cell beside its fine-tuning, and beside itself without shared features; cells of the preset quick.

Whole cells on the random backbone, with training, validation and test, without the growth of the volumes: `linear-v1`
against `finetune-v1`, both with 300 steps and two validations, and against itself when every step sends its windows
through the frozen backbone again. The windows are the same, so the scores must be the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.stepping import native_precision
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, at_least, interleaved, ratio, spread
from ssl_bench.api.settings import load_preset
from ssl_bench.data.windows import CaseBatches
from ssl_bench.planning.planner import Planner
from ssl_bench.protocols import linear_v1
from ssl_bench.protocols.frozen.features import Features
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.training.attempt import Attempt
from ssl_bench.training.evaluation import evaluate
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime

STEPS = 300
"""Of both protocols, validated twice: enough that training, not testing, is what a cell costs."""
ONE_OF_EACH_KIND = ("ccc", "shc")


class RecomputedFeatures:
    """The same windows as `FrozenFeatures`, sent through the backbone each time that they are drawn."""

    def __init__(
        self,
        batches: CaseBatches,
        windows_per_volume: int,
        generator: np.random.Generator,
        features: Callable[[Tensor], Features],
    ) -> None:
        self.features = features
        cases = [
            index for _ in range(1 if batches.whole else windows_per_volume) for index in range(len(batches.cases))
        ]
        read = [batches.read(np.array([index]), generator.random((1, 3))) for index in cases]
        self.windows, self.targets = [volumes for volumes, _ in read], torch.cat([target for _, target in read])

    def draw(self, batch: int, generator: np.random.Generator) -> tuple[Features, Tensor]:
        count = len(self.targets)
        chosen = generator.choice(count, size=batch, replace=batch > count)
        with torch.no_grad():
            found = [self.features(self.windows[index]) for index in chosen]
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True)), self.targets[chosen]


def measure(options: Options) -> list[Table]:
    tasks = ONE_OF_EACH_KIND[:1] if options.quick else ONE_OF_EACH_KIND
    return [{"title": "A linear cell of the preset quick, at equal steps", "rows": [_row(t, options) for t in tasks]}]


def _row(task: str, options: Options) -> Row:
    preset, steps = ("smoke", 2) if options.quick else ("quick", STEPS)
    overrides = [f"protocols.{name}.steps={steps}" for name in ("linear-v1", "finetune-v1")]
    overrides += [f"protocols.{name}.validate_every={steps // 2}" for name in ("linear-v1", "finetune-v1")]
    planner = Planner(load_preset(preset, overrides), overrides, native_precision(options))
    scores: dict[str, EvaluationRecord] = {}

    def cell(name: str, protocol: str) -> None:
        planned = planner.evaluation("scratch", task, protocol, 0)
        runtime = Runtime(options.device, options.threads)
        scores[name] = evaluate(planned, runtime, Progress(shown=False), None, 0, Attempt())

    def unshared() -> None:
        with patch.object(linear_v1, "FrozenFeatures", RecomputedFeatures):
            cell("unshared", "linear-v1")

    sides: dict[str, Callable[[], None]] = {
        "linear": lambda: cell("linear", "linear-v1"),
        "finetune": lambda: cell("finetune", "finetune-v1"),
        "unshared": unshared,
    }
    times = interleaved(sides, options)
    cheaper = ratio(times["finetune"], times["linear"])
    return {
        "task": task,
        "linear: seconds": spread(times["linear"]),
        "fine-tuning / linear": cheaper,
        **at_least(5, cheaper),
        "features each step / shared": ratio(times["unshared"], times["linear"]),
        "score, shared": scores["linear"].score,
        "score, features each step": scores["unshared"].score,
        "same bits in every case": "yes" if scores["linear"].cases == scores["unshared"].cases else "no",
    }
