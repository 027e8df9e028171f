"""What every protocol owes the harness: logits that fit, draws that come again, and frozen weights that stay."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from ssl_bench.api.cases import IGNORED, Case
from ssl_bench.api.downstream import Downstream
from ssl_bench.api.kinds import KINDS, Kind, of_voxels, outputs
from ssl_bench.api.measurement import Measurement
from ssl_bench.api.protocol import Batch, ProtocolSettings, Training
from ssl_bench.api.registry import PROTOCOLS, TASKS, resolve_protocol
from ssl_bench.api.rng import seeded_initialisation
from ssl_bench.api.settings import load_preset
from ssl_bench.conformance import Check, checks_of
from ssl_bench.conformance.measurement_checks import MEASUREMENT_CHECKS, MeasurementUnderTest
from ssl_bench.conformance.method_under_test import same, shared_backbone, some
from ssl_bench.data.windows import CaseBatches
from ssl_bench.planning.planner import Planner

SEGMENTATION, CLASSIFICATION = TASK_NAMES = ("shc", "ccc")
STEPS = 2


class ProtocolUnderTest:
    """A registered protocol at the sizes of the smoke preset, on embedded cases of two tasks."""

    def __init__(self, name: str) -> None:
        """Raises UserError if there is no such protocol or it does not import."""
        self.name = resolve_protocol(name)
        self.plugin = PROTOCOLS.load(self.name)
        self.facts = self.plugin.facts
        self.planner = Planner(load_preset("smoke"), [], "float32")
        self.cases = cache(self._load_cases)

    @property
    def settings(self) -> ProtocolSettings:
        """Those of the preset."""
        spec = self.planner.evaluation("scratch", SEGMENTATION, self.name, 0).evaluation
        return self.plugin.Settings.model_validate(spec.protocol_settings)

    def build(self, task: str) -> Downstream:
        """The downstream network of `task` around a fresh backbone."""
        facts = TASKS.load(task).facts
        with seeded_initialisation(0):
            return self.plugin(self.settings, 0).build(shared_backbone(), facts.kind, len(facts.classes))

    def prepare(self, model: Downstream, task: str, seed: int = 0) -> Training:
        """What `model` is trained by on the training cases of `task`."""
        batches = CaseBatches(self.cases(task), self.planner.preset.crop)
        return self.plugin(self.settings, seed).prepare(model, batches, model.features)

    def _load_cases(self, task: str) -> Sequence[Case]:
        return self.planner.data.task(task).load()["train"]


def facts_are_complete(subject: ProtocolUnderTest) -> str | None:
    """Title and source say what it is and who described it."""
    if not subject.facts.title or not subject.facts.source:
        return "facts.title and facts.source must say what the protocol is and who described it"
    return None


def logits_fit(subject: ProtocolUnderTest) -> str | None:
    """A segmentation gives probabilities of every class for every voxel, a classification one for each volume."""
    volumes = torch.rand(2, 1, 20, 16, 16, generator=torch.Generator().manual_seed(0))
    for task in TASK_NAMES:
        facts, model = TASKS.load(task).facts, subject.build(task)
        subject.prepare(model, task)
        with torch.no_grad():
            found = model.probabilities(volumes)
        wanted = (2, 1 + len(facts.classes), 20, 16, 16) if facts.kind == "segmentation" else (2,)
        if tuple(found.shape) != wanted:
            return f"{facts.kind}: the probabilities are {tuple(found.shape)}, not {wanted}"
        if not (found.isfinite().all() and found.min() >= 0 and found.max() <= 1):
            return f"{facts.kind}: the probabilities are not between 0 and 1"
    return None


def draws_reproduce(subject: ProtocolUnderTest) -> str | None:
    """A step of a seed draws the same batch whenever it is asked, another seed draws another."""
    for task in TASK_NAMES:
        model = subject.build(task)
        training, again = subject.prepare(model, task), subject.prepare(model, task)
        _, later = training.draw(1), training.draw(0)
        if not _equal(later, again.draw(0)):
            return f"{task}: step 0 draws another batch after step 1: key its numbers by seed and step"
        other = subject.prepare(model, task, seed=1)
        if all(_equal(training.draw(step), other.draw(step)) for step in range(STEPS)):
            return f"{task}: another seed draws the same batches"
    return None


def training_moves_what_it_may(subject: ProtocolUnderTest) -> str | None:
    """Training moves the head, and the backbone if and only if the facts do not call it frozen."""
    for task in TASK_NAMES:
        model = subject.build(task)
        training = subject.prepare(model, task)
        before = copy.deepcopy(model.state_dict())
        optimiser = torch.optim.SGD(training.module.parameters(), lr=0.1)
        for step in range(STEPS):
            optimiser.zero_grad()
            inputs, _ = training.draw(step)
            training.module(*inputs).float().square().mean().backward()
            optimiser.step()
        moved = [name for name, value in model.state_dict().items() if not same(value, before[name])]
        of_backbone = [name for name in moved if name.startswith("backbone.")]
        if subject.facts.frozen_backbone and of_backbone:
            return f"{task}: the facts call the backbone frozen, and training moves {some(of_backbone)}"
        if not subject.facts.frozen_backbone and not of_backbone:
            return f"{task}: nothing of the backbone learns; say so: frozen_backbone=True"
        if len(moved) == len(of_backbone):
            return f"{task}: the head does not learn"
    return None


def loss_is_a_number(subject: ProtocolUnderTest) -> str | None:
    """The loss is one finite number in float32 of what the module gives for a batch, at half precision too."""
    for task in TASK_NAMES:
        training = subject.prepare(subject.build(task), task)
        inputs, targets = training.draw(0)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            loss = training.loss(training.module(*inputs), targets)
        if loss.ndim or loss.dtype != torch.float32 or not loss.isfinite():
            return f"{task}: the loss is {loss.dtype} of shape {tuple(loss.shape)}, not one finite number in float32"
    return None


def knows_every_kind(subject: ProtocolUnderTest) -> str | None:
    """Tasks of every kind have probabilities in the shape that is theirs, and a loss of a batch of theirs."""
    volumes = torch.rand(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    for kind in KINDS:
        classes = {"classification": 1, "regression": 0}.get(kind, 3)
        protocol = subject.plugin(subject.settings, 0)
        with seeded_initialisation(0):
            model = protocol.build(shared_backbone(), kind, classes)
        training = protocol.prepare(model, CaseBatches(_made_up(kind), 16), model.features)
        inputs, targets = training.draw(0)
        with torch.no_grad():
            loss, found = training.loss(training.module(*inputs), targets), model.probabilities(volumes)
        if loss.ndim or not loss.isfinite():
            return f"{kind}: the loss is {loss.tolist()}, not one finite number"
        count = outputs(kind, classes)
        wanted = (2, count, 16, 16, 16) if of_voxels(kind) else (2, count) if kind == "multi-class" else (2,)
        if tuple(found.shape) != wanted:
            return f"{kind}: the probabilities are {tuple(found.shape)}, not {wanted}"
    return None


def _made_up(kind: Kind) -> Sequence[Case]:
    """Four cases of a task of that kind, with classes 0 to 2 of volumes, 0 to 3 of voxels, or three regions."""
    generator = np.random.default_rng(0)
    cases = []
    for number in range(4):
        image = generator.random((16, 16, 16), np.float32)
        voxels = generator.integers(0, 8 if kind == "region segmentation" else 4, image.shape).astype(np.uint16)
        if kind != "segmentation":
            voxels[:4] = IGNORED
        of_volume = {"classification": number % 2, "multi-class": number % 3, "regression": float(number)}
        cases.append(Case(str(number), image, voxels if of_voxels(kind) else of_volume[kind], (1.0, 1.0, 1.0)))
    return cases


def reads_what_it_says(subject: ProtocolUnderTest) -> str | None:
    """A segmentation reads the decoder unless the facts say that it reads the encoder; a classification never does."""
    for task in TASK_NAMES:
        model, kind = subject.build(task), TASKS.load(task).facts.kind
        features = model.features(torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0)))
        torch.stack([feature.float().sum() for feature in features]).sum().backward()  # type: ignore[no-untyped-call]
        decoder = [getattr(model.backbone, name) for name in model.backbone.decoder_modules]
        passed = any(weight.grad is not None for module in decoder for weight in module.parameters())
        wanted = kind == "segmentation" and subject.facts.reads == "backbone"
        if passed != wanted:
            return f"a {kind} {'does not pass' if wanted else 'passes'} the decoder; correct facts.reads or `features`"
    return None


def optimisers_are_there(subject: ProtocolUnderTest) -> str | None:
    """There is at least one optimiser to train with."""
    model = subject.build(SEGMENTATION)
    return None if subject.prepare(model, SEGMENTATION).optimisers else "prepare gives no optimisers"


PROTOCOL_CHECKS: tuple[Check[ProtocolUnderTest], ...] = checks_of(
    facts_are_complete,
    logits_fit,
    draws_reproduce,
    training_moves_what_it_may,
    loss_is_a_number,
    knows_every_kind,
    reads_what_it_says,
    optimisers_are_there,
)


def examination(name: str) -> tuple[tuple[Check[Any], ...], Any]:
    """The checks that the protocol is held to, and itself: it trains, or it measures.

    Raises UserError if there is no such protocol or it does not import.
    """
    if issubclass(PROTOCOLS.load(resolve_protocol(name)), Measurement):
        return MEASUREMENT_CHECKS, MeasurementUnderTest(name)
    return PROTOCOL_CHECKS, ProtocolUnderTest(name)


def _equal(one: Batch, other: Batch) -> bool:
    return all(map(torch.equal, (*one[0], one[1]), (*other[0], other[1])))
