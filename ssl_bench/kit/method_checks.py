"""What every method owes the harness."""

from __future__ import annotations

import copy
import io
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_bench.backbone import DECODER_MODULES, UNet3D
from ssl_bench.data import Corpus, corpus_science, load_corpus
from ssl_bench.draws import Draws, numpy_generator, seeded_initialisation
from ssl_bench.kit import Check
from ssl_bench.method import Method
from ssl_bench.method_facts import PARADIGMS
from ssl_bench.registry import METHODS
from ssl_bench.settings import load_preset

CROP = 32
WIDTH = 8
VOLUMES = 16
STEPS_ON_ONE_BATCH = 16


class MethodUnderTest:
    """A registered method, built small, on real volumes: windows of the embedded chest CT."""

    def __init__(self, name: str) -> None:
        """Raises UserError if there is no such method or it does not import."""
        self.name = name
        self.plugin = METHODS.load(name)
        self.facts = self.plugin.facts

    @cached_property
    def corpus(self) -> Corpus:
        """Sixteen volumes of the embedded corpus."""
        cohort = load_preset("smoke").cohort.model_copy(update={"corpus": VOLUMES})
        volumes, _ = load_corpus(corpus_science(cohort))
        return Corpus(volumes, CROP, "cpu")

    @property
    def batch(self) -> int:
        """Volumes a step."""
        return max(4, self.facts.smallest_batch)

    def build(self, seed: int = 0, crop: int = CROP) -> Method:
        """The method around a fresh backbone."""
        with seeded_initialisation(seed):
            return self.plugin(UNet3D(WIDTH), self.plugin.Config(), crop)

    def ready(self, seed: int = 0, batch: int | None = None) -> tuple[Method, Tensor]:
        """A method that has refreshed itself, and the first batch it chose, (B, 1, D, H, W)."""
        method = self.build(seed)
        self.refresh(method, 0)
        return method, self.choose(method, 0, batch)

    def refresh(self, method: Method, step: int) -> None:
        """What the harness does before the step of that number."""
        if method.refresh_every and step % method.refresh_every == 0:
            with torch.no_grad():
                method.refresh(self.corpus, step, numpy_generator("kit", "refresh", step))

    def choose(self, method: Method, step: int, batch: int | None = None) -> Tensor:
        """The batch of the step of that number."""
        generator = numpy_generator("kit", "windows", step)
        return self.corpus.read(method.choose_windows(len(self.corpus), batch or self.batch, generator))

    def loss(self, method: Method, volumes: Tensor, key: int = 0) -> Tensor:
        """The pretext loss under the draws of `key`."""
        return method.training_step(volumes, Draws.keyed("kit", key, samples=range(len(volumes))))["loss"]

    def train(self, method: Method, optimiser: torch.optim.Optimizer, steps: range) -> None:
        """Steps as the harness takes them."""
        for step in steps:
            self.refresh(method, step)
            update(method, optimiser, self.loss(method, self.choose(method, step), step), step, steps.stop)


def update(method: Method, optimiser: torch.optim.Optimizer, loss: Tensor, step: int, steps: int) -> None:
    """One update."""
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    method.after_step(step, steps)


def adam(method: Method) -> torch.optim.Optimizer:
    """The harness's optimiser in the small presets."""
    return torch.optim.Adam(method.optimised_parameters(), lr=1e-3)


def facts_are_complete(subject: MethodUnderTest) -> str | None:
    """Title, paper and year say what it is; paradigm and what it pre-trains are known words."""
    facts = subject.facts
    if not facts.title or not facts.paper:
        return "facts.title and facts.paper must say what the method is and who wrote it"
    if facts.paradigm not in PARADIGMS:
        return f"facts.paradigm is {facts.paradigm!r}; choose one of {', '.join(PARADIGMS)}"
    if facts.pretrains not in ("nothing", "encoder", "encoder and decoder"):
        return f"facts.pretrains is {facts.pretrains!r}; choose nothing, encoder, or encoder and decoder"
    return None


def loss_is_finite(subject: MethodUnderTest) -> str | None:
    """The loss is one finite float32 number."""
    method, volumes = subject.ready()
    loss = subject.loss(method, volumes)
    if loss.shape != () or loss.dtype != torch.float32:
        return f"the loss is {loss.dtype} of shape {tuple(loss.shape)}; return one float32 number"
    return None if loss.isfinite() else f"the loss is {float(loss.detach()):.4g} on a batch of real volumes"


def loss_falls(subject: MethodUnderTest) -> str | None:
    """A few updates lower the loss on one batch."""
    method, volumes = subject.ready()
    optimiser = adam(method)
    losses = []
    for step in range(STEPS_ON_ONE_BATCH):
        loss = subject.loss(method, volumes)
        losses.append(float(loss.detach()))
        update(method, optimiser, loss, step, STEPS_ON_ONE_BATCH)
    last = float(np.mean(losses[-3:]))
    if last < losses[0]:
        return None
    return f"{STEPS_ON_ONE_BATCH} updates on one batch moved the loss from {losses[0]:.4g} to {last:.4g}"


def gradient_reaches_all(subject: MethodUnderTest) -> str | None:
    """A gradient reaches every trainable parameter."""
    method, volumes = subject.ready()
    subject.loss(method, volumes).backward()  # type: ignore[no-untyped-call]
    encoder_only = subject.facts.pretrains == "encoder"
    decoder = tuple(f"backbone.{module}." for module in DECODER_MODULES)
    missed, beyond = [], []
    for name, parameter in method.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        if encoder_only and name.startswith(decoder):
            beyond += [name] if reached else []
        elif parameter.requires_grad and not reached:
            missed.append(name)
    if beyond:
        return f"facts say that it pre-trains the encoder, but a gradient reaches {_some(beyond)}"
    if missed:
        return f"no gradient reaches {_some(missed)}: is a tensor detached, or rebuilt from numbers?"
    return None


def backbone_keeps_its_keys(subject: MethodUnderTest) -> str | None:
    """`method.backbone` is the backbone it was given, with the same keys and shapes after training."""
    method = subject.build()
    wanted = {name: value.shape for name, value in UNet3D(WIDTH).state_dict().items()}
    subject.train(method, adam(method), range(1))
    found = {name: value.shape for name, value in method.backbone.state_dict().items()}
    if found == wanted:
        return None
    unknown = sorted(found.keys() - wanted.keys())
    if unknown:
        return f"the backbone has keys that are not the shared backbone's: {_some(unknown)}; do not wrap or rename it"
    return f"the backbone lacks or reshapes {_some([name for name in wanted if found.get(name) != wanted[name]])}"


def seeds_reproduce(subject: MethodUnderTest) -> str | None:
    """The same draws give the same bits; other draws give another loss."""
    method, volumes = subject.ready()
    first, again, other = (float(subject.loss(copy.deepcopy(method), volumes, key).detach()) for key in (1, 1, 2))
    if first != again:
        return f"the same seed gives {first:.8g}, then {again:.8g}: something random does not come from `draws`"
    if first == other and not subject.facts.deterministic:
        return "another seed gives the same loss: it ignores `draws`; if nothing is random, say so: deterministic=True"
    return None


def state_round_trips(subject: MethodUnderTest) -> str | None:
    """A run that is saved, loaded into a fresh method and continued ends with the same bits."""
    method = subject.build()
    optimiser = adam(method)
    subject.train(method, optimiser, range(2))
    file = io.BytesIO()
    torch.save({"method": method.state_dict(), "optimiser": optimiser.state_dict()}, file)
    file.seek(0)
    resumed = subject.build(seed=1)
    state = torch.load(file, weights_only=True)
    resumed.load_state_dict(state["method"])
    resumed_optimiser = adam(resumed)
    resumed_optimiser.load_state_dict(state["optimiser"])
    subject.train(method, optimiser, range(2, 4))
    subject.train(resumed, resumed_optimiser, range(2, 4))
    straight, after = method.state_dict(), resumed.state_dict()
    changed = [name for name, value in straight.items() if not _same(value, after[name])]
    if changed:
        return f"after loading its state it goes on differently in {_some(changed)}: keep all state in buffers"
    return None


def batches_work(subject: MethodUnderTest) -> str | None:
    """Any batch from the smallest on gives a finite loss."""
    smallest = subject.facts.smallest_batch
    for batch in (smallest, smallest + 1, smallest + 3):
        method, volumes = subject.ready(batch=batch)
        loss = subject.loss(method, volumes)
        if not loss.isfinite():
            return f"the loss of {batch} volumes is {float(loss.detach()):.4g}; is facts.smallest_batch too small?"
    return None


def other_windows_work(subject: MethodUnderTest) -> str | None:
    """Windows of another side work; constants in voxels scale."""
    crop = CROP * 3 // 4
    method = subject.build(crop=crop)
    small = MethodUnderTest(subject.name)
    small.corpus = Corpus(subject.corpus.volumes, crop, "cpu")
    small.refresh(method, 0)
    loss = small.loss(method, small.choose(method, 0))
    return None if loss.isfinite() else f"the loss on windows of {crop}^3 is {float(loss.detach()):.4g}"


def mixed_precision_works(subject: MethodUnderTest) -> str | None:
    """Under bf16 autocast the loss stays float32 and close; or the facts declare that out."""
    if not subject.facts.mixed_precision:
        return None
    method, volumes = subject.ready()
    exact = float(subject.loss(copy.deepcopy(method), volumes).detach())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = subject.loss(method, volumes)
    if rounded.dtype != torch.float32:
        return f"under autocast the loss is {rounded.dtype}; compute it in float32"
    if not abs(float(rounded.detach()) - exact) <= 0.05 + 0.05 * abs(exact):
        return f"the loss is {exact:.4g} in float32 and {float(rounded.detach()):.4g} under bf16 autocast"
    return None


def global_state_is_left_alone(subject: MethodUnderTest) -> str | None:
    """Building and training touch no global state: random numbers, threads, defaults, environment."""
    subject.corpus  # noqa: B018 - grown before the comparison
    with unchanged_globals() as changed:
        method = subject.build()
        subject.train(method, adam(method), range(1))
    return f"it changes {', '.join(changed)}" if changed else None


def windows_are_in_range(subject: MethodUnderTest) -> str | None:
    """A batch has the asked size, names volumes of the corpus and places inside them."""
    method, _ = subject.ready()
    windows = method.choose_windows(VOLUMES, subject.batch, numpy_generator("kit", "windows", 3))
    if windows.volumes.shape != (subject.batch,) or windows.positions.shape != (subject.batch, 3):
        return f"choose_windows gives {windows.volumes.shape} volumes at {windows.positions.shape} places"
    if windows.volumes.min() < 0 or windows.volumes.max() >= VOLUMES:
        return "choose_windows names volumes that are not in the corpus"
    if windows.positions.min() < 0 or windows.positions.max() > 1:
        return "choose_windows gives places outside 0..1"
    if method.refresh_every is None and len(set(windows.volumes.tolist())) < subject.batch:
        return "choose_windows gives one volume twice in a batch"
    return None


@contextmanager
def unchanged_globals() -> Iterator[list[str]]:
    """Yields a list that names, after the block, every global state that the block changed."""
    changed: list[str] = []
    before = {name: read() for name, read in GLOBALS.items()}
    yield changed
    changed += [name for name, read in GLOBALS.items() if not _same(before[name], read())]


GLOBALS: dict[str, Callable[[], Any]] = {
    "torch's global generator": torch.get_rng_state,
    "NumPy's global generator": lambda: repr(np.random.get_state(legacy=False)),
    "Python's global generator": random.getstate,
    "torch's default type": torch.get_default_dtype,
    "the number of threads": torch.get_num_threads,
    "gradient mode": torch.is_grad_enabled,
    "deterministic mode": torch.are_deterministic_algorithms_enabled,
    "matmul precision": torch.get_float32_matmul_precision,
    "cuDNN's benchmark mode": lambda: torch.backends.cudnn.benchmark,
    "the environment": lambda: dict(os.environ),
}

METHOD_CHECKS: tuple[Check[MethodUnderTest], ...] = tuple(
    Check((check.__doc__ or "").rstrip("."), check)
    for check in (
        facts_are_complete,
        loss_is_finite,
        loss_falls,
        gradient_reaches_all,
        backbone_keeps_its_keys,
        seeds_reproduce,
        state_round_trips,
        batches_work,
        other_windows_work,
        mixed_precision_works,
        global_state_is_left_alone,
        windows_are_in_range,
    )
)
"""In the order in which they are run and printed."""


def _same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, Tensor) and isinstance(other, Tensor) else bool(one == other)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
