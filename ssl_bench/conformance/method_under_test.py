"""A method as the kit sees it: built small, refreshed, fed and trained as the harness does it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, Windows
from ssl_bench.api.registry import BACKBONES, METHODS
from ssl_bench.api.rng import Draws, numpy_generator, seeded_initialisation
from ssl_bench.api.settings import load_preset
from ssl_bench.conformance import BrokenPromiseError
from ssl_bench.data.sources import DataSources
from ssl_bench.data.windows import Corpus
from ssl_bench.planning.pairs import check_pair
from ssl_bench.spec.locations import Locations

CROP = 32
WIDTH = 8
VOLUMES = 16


class MethodUnderTest:
    """A registered method, built small, on real volumes: windows of the embedded chest CT."""

    def __init__(self, name: str, channels: int = 1, backbone: str | None = None, crop: int = CROP) -> None:
        """Raises UserError if there is no such method or it does not import, or if it cannot pre-train `backbone`.

        Of several `channels` the first holds the volumes themselves, and each further one those of the one before with
        other contrast.
        """
        self.name = name
        self.channels = channels
        self.crop = crop
        self.plugin = METHODS.load(name)
        self.facts = self.plugin.facts
        self.backbone = backbone or load_preset("smoke").backbone
        check_pair(name, self.backbone)

    @cached_property
    def corpus(self) -> Corpus:
        """Sixteen volumes of the embedded corpus."""
        cohort = load_preset("smoke").cohort.model_copy(update={"corpus": VOLUMES})
        volumes = DataSources(Locations(), cohort).corpus.load()["corpus"]
        return Corpus([self._with_channels(np.asarray(volume.image)) for volume in volumes], self.crop, "cpu")

    @property
    def batch(self) -> int:
        """Volumes a step."""
        return max(4, self.facts.smallest_batch)

    def build(self, seed: int = 0) -> Method:
        """The method around a fresh backbone."""
        with seeded_initialisation(seed):
            return self.plugin(self.fresh_backbone(), self.plugin.Config(), self.crop)

    def fresh_backbone(self) -> Backbone:
        """The backbone, small, before any training."""
        return shared_backbone(self.channels, self.backbone)

    def with_channels(self, channels: int) -> MethodUnderTest:
        """The same method and backbone, on volumes of so many channels."""
        return MethodUnderTest(self.name, channels, self.backbone, self.crop)

    def with_crop(self, crop: int) -> MethodUnderTest:
        """The same method and backbone, on windows of side `crop` of the same volumes."""
        other = MethodUnderTest(self.name, self.channels, self.backbone, crop)
        other.corpus = self.corpus.of_side(crop)
        return other

    def ready(self, seed: int = 0, batch: int | None = None) -> tuple[Method, Tensor]:
        """A method that has refreshed itself, and the first batch it chose, (B, C, D, H, W)."""
        method = self.build(seed)
        self.refresh(method, 0)
        return method, self.choose(method, 0, batch)

    def refresh(self, method: Method, step: int) -> None:
        """What the harness does before the step of that number."""
        if method.refresh_every and step % method.refresh_every == 0:
            with torch.no_grad():
                method.refresh(self.corpus.of_side(method.region), step, numpy_generator("kit", "refresh", step))

    def choose(self, method: Method, step: int, batch: int | None = None) -> Tensor:
        """The batch of the step of that number."""
        generator = numpy_generator("kit", "windows", step)
        windows = method.choose_windows(len(self.corpus), batch or self.batch, generator)
        return self.corpus.of_side(method.region).read(windows)

    def centred(self, method: Method, count: int) -> Tensor:
        """The middle windows of the first volumes, (count, C, D, H, W), as the harness looks at held-out ones."""
        return self.corpus.of_side(method.region).read(Windows(np.arange(count), np.full((count, 3), 0.5)))

    def loss(self, method: Method, volumes: Tensor, key: int = 0) -> Tensor:
        """The pretext loss under the draws of `key`."""
        return method.training_step(volumes, Draws.keyed("kit", key, samples=range(len(volumes))))["loss"]

    def finite_loss(self, method: Method, volumes: Tensor, key: int = 0) -> Tensor:
        """The same for checks that mean nothing where it is not finite. Raises BrokenPromiseError there."""
        loss = self.loss(method, volumes, key)
        if not loss.isfinite().all():
            raise BrokenPromiseError(f"the loss is {float(loss.detach()):.4g} on a batch of real volumes")
        return loss

    def train(self, method: Method, optimiser: torch.optim.Optimizer, steps: range) -> None:
        """Steps as the harness takes them."""
        for step in steps:
            self.refresh(method, step)
            update(method, optimiser, self.finite_loss(method, self.choose(method, step), step), step, steps.stop)

    def _with_channels(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.channels == 1:
            return image
        return np.stack([np.abs(index % 2 - image) ** (1 + index // 2) for index in range(self.channels)])


def shared_backbone(channels: int = 1, name: str | None = None) -> Backbone:
    """The backbone called `name`, else that of the presets, small, for volumes of so many `channels`."""
    return BACKBONES.load(name or load_preset("smoke").backbone).reading(channels, WIDTH)


def off_zero(backbone: Backbone) -> Backbone:
    """`backbone` with weights that start at zero, such as those of residual branches, a little away from it.

    At zero they let no gradient through to what lies before them, which then says nothing.
    """
    with torch.no_grad():
        for name, weight in backbone.named_parameters():
            if name.endswith("weight") and not weight.any():
                weight.fill_(0.1)
    return backbone


def update(method: Method, optimiser: torch.optim.Optimizer, loss: Tensor, step: int, steps: int) -> None:
    """One update."""
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    method.after_step(step, steps)


def adam(method: Method) -> torch.optim.Optimizer:
    """The harness's optimiser in the small presets."""
    return torch.optim.Adam(method.optimised_parameters(), lr=1e-3)


def same(one: Any, other: Any) -> bool:
    """Whether two values of a state are equal, to the bit."""
    return torch.equal(one, other) if isinstance(one, Tensor) and isinstance(other, Tensor) else bool(one == other)


def some(names: list[str]) -> str:
    """The first few of many names."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
