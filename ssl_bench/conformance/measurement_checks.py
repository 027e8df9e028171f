"""What every protocol without a gradient owes the harness: the same rows at each run, and a backbone left alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.api.controls import CONTROL_ROWS
from ssl_bench.api.kinds import KINDS, Kind, of_voxels
from ssl_bench.api.measurement import Measured, Measurement, Rows
from ssl_bench.api.metric import METRICS
from ssl_bench.api.registry import PROTOCOLS, resolve_protocol
from ssl_bench.api.task import TaskFacts
from ssl_bench.conformance import Check, checks_of
from ssl_bench.conformance.method_under_test import same, shared_backbone, some
from ssl_bench.spec.contract import InputContract
from ssl_bench.training.measuring import OfBackbone, score_of
from ssl_bench.training.runtime import Runtime, make_fabric
from ssl_bench.training.scoring import describe
from ssl_bench.weights.entrance import Entrance

CASES, SIDE, CLASSES = 4, 16, ("one", "two", "three")


class MeasurementUnderTest:
    """A measurement on made-up cases of every kind that it measures."""

    def __init__(self, name: str) -> None:
        """Raises UserError if there is no such protocol or it does not import."""
        self.name = resolve_protocol(name)
        plugin = PROTOCOLS.load(self.name)
        assert issubclass(plugin, Measurement)
        self.plugin: type[Measurement] = plugin
        self.facts = plugin.facts
        self.backbone = shared_backbone()

    def protocol(self) -> Measurement:
        """The measurement at its defaults."""
        return self.plugin(self.plugin.Settings(), 0)  # type: ignore[arg-type]

    def kinds(self) -> Iterator[TaskFacts]:
        """A task of each kind that it measures."""
        for kind in self.plugin.metrics:
            classes = CLASSES[:1] if kind == "classification" else () if kind == "regression" else CLASSES
            yield TaskFacts("made up", kind, KINDS[kind].metric, classes, "CT", "heart")

    def measure(self, facts: TaskFacts) -> tuple[Rows, int]:
        """The rows of made-up cases, and how often it advanced."""
        told: list[str] = []

        def described(case: Case, prediction: Tensor, ranked: bool = True) -> dict[str, object]:
            return describe(facts, case, prediction, surfaces=ranked)

        train, test = (_made_up(facts.kind, part) for part in ("train", "test"))
        data = Measured(facts, train, test, SIDE, "", _SamePlace, described, told.append)
        entrance = Entrance(InputContract(), "CT")
        descriptor = OfBackbone(make_fabric(Runtime("cpu", 1), "float32"), self.backbone, entrance)
        with torch.no_grad():
            return self.protocol().measure(data, descriptor), len(told)


class _SamePlace:
    """Every place's partner is the same place."""

    def partners(self, source: str, target: str, voxels: Tensor) -> Tensor:
        """See `KnownPartners`."""
        return voxels.clone()


def facts_are_complete(subject: MeasurementUnderTest) -> str | None:
    """Title and source say what it is and who described it; kinds, metrics and controls are known ones."""
    if not subject.facts.title or not subject.facts.source:
        return "facts.title and facts.source must say what the protocol is and who described it"
    metrics, beside = subject.plugin.metrics, subject.plugin.beside
    unknown = [name for name in (*metrics.values(), *beside) if name not in METRICS]
    unknown += [kind for kind in metrics if kind not in KINDS]
    unknown += [name for name in subject.plugin.controls if f"control:{name}" not in CONTROL_ROWS]
    if not metrics or unknown:
        return f"metrics, beside and controls hold {some(unknown)}" if unknown else "metrics names no kind of task"
    return None if subject.facts.frozen_backbone else "nothing of the backbone learns; say so: frozen_backbone=True"


def rows_are_scored(subject: MeasurementUnderTest) -> str | None:
    """Every test case, or pair of them, has a row of its own name, and the rows have a finite score."""
    for facts in subject.kinds():
        rows, _ = subject.measure(facts)
        names = [row.get("case") for row in rows]
        if len(set(names)) < len(names) or None in names or not names:
            return f"{facts.kind}: `case` of the rows is not there, or not unique"
        value = score_of(facts, subject.plugin.metrics[facts.kind], rows)
        if not np.isfinite(value):
            return f"{facts.kind}: the score by {subject.plugin.metrics[facts.kind]} is {value}"
    return None


def same_bits(subject: MeasurementUnderTest) -> str | None:
    """Two runs give the same bits, whatever the state of the global generator."""
    for facts in subject.kinds():
        rows = subject.measure(facts)[0]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            again = subject.measure(facts)[0]
        if repr(rows) != repr(again):
            return f"{facts.kind}: a second run gives other rows; key random numbers by `numpy_generator`"
    return None


def looks_are_told(subject: MeasurementUnderTest) -> str | None:
    """It advances as often as `looks` says, so that the time left is right."""
    for facts in subject.kinds():
        said, told = subject.protocol().looks(CASES, CASES), subject.measure(facts)[1]
        if said != told:
            return f"{facts.kind}: `looks` says {said} and it advances {told} times"
    return None


def backbone_is_left_alone(subject: MeasurementUnderTest) -> str | None:
    """No weight and no buffer of the backbone changes."""
    before = copy.deepcopy(subject.backbone.state_dict())
    for facts in subject.kinds():
        subject.measure(facts)
        moved = [name for name, value in subject.backbone.state_dict().items() if not same(value, before[name])]
        if moved:
            return f"{facts.kind}: it changes {some(moved)}"
    return None


MEASUREMENT_CHECKS: tuple[Check[MeasurementUnderTest], ...] = checks_of(
    facts_are_complete, rows_are_scored, same_bits, looks_are_told, backbone_is_left_alone
)


def _made_up(kind: Kind, part: str) -> list[Case]:
    """Noise with a box of each structure at places that differ a little; or a class, or a number."""
    generator = np.random.default_rng(len(part))
    cases = []
    for number in range(CASES):
        image = generator.random((SIDE,) * 3, np.float32)
        voxels = np.zeros(image.shape, np.uint16 if kind == "region segmentation" else np.uint8)
        for structure in range(len(CLASSES)):
            at = 1 + 4 * structure + number % 2
            value = 1 << structure if kind == "region segmentation" else 1 + structure
            voxels[at : at + 3, 4:10, 4:10] = value
            image[at : at + 3, 4:10, 4:10] += structure
        of_volume = {"classification": number % 2, "multi-class": number % 3, "regression": float(number)}
        label = voxels if of_voxels(kind) else of_volume[kind]
        cases.append(Case(f"{part}-{number}", image, label, (1.0, 1.0, 1.0)))
    return cases
