"""Random numbers for a batch: one independent stream per sample.

Every draw is keyed by (seed, purpose, step, sample), never by what was drawn before. A sample therefore gets the
same view whatever batch it stands in, and a run that resumes at a step needs no saved random state.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor


def stream_seed(*key: int | str) -> int:
    """A 63-bit seed for the stream named by `key`; different keys give independent streams."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_generator(*key: int | str) -> np.random.Generator:
    """A NumPy generator for the stream named by `key`."""
    return np.random.default_rng(stream_seed(*key))


@contextlib.contextmanager
def seeded_initialisation(seed: int) -> Iterator[None]:
    """Layers built inside get weights from `seed`; the global random state outside is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


class Draws:
    """Random tensors of shape (B, ...), sample b drawn from its own generator, on that generator's device."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = list(generators)

    @classmethod
    def keyed(cls, *key: int | str, samples: Sequence[int], device: torch.device | str = "cpu") -> Draws:
        """One stream for each of `samples` (global sample indices) under `key`."""
        return cls([torch.Generator(device).manual_seed(stream_seed(*key, sample)) for sample in samples])

    def __len__(self) -> int:
        return len(self.generators)

    def __getitem__(self, index: slice) -> Draws:
        return Draws(self.generators[index])

    def repeated(self, count: int) -> Draws:
        """Each stream `count` times in a row: parts of a sample, which draw from its stream one after the other."""
        return Draws([generator for generator in self.generators for _ in range(count)])

    @property
    def device(self) -> torch.device:
        """Where the drawn tensors live."""
        return self.generators[0].device

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform on [low, high), float32, (B, *shape)."""
        drawn = torch.empty(len(self), *shape, device=self.device)
        for sample, generator in zip(drawn, self.generators, strict=True):
            sample.uniform_(generator=generator)
        return drawn if (low, high) == (0.0, 1.0) else drawn.mul_(high - low).add_(low)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, float32, (B, *shape)."""
        return torch.stack([torch.randn(shape, generator=g, device=g.device) for g in self.generators])

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Integers in [low, high), int64, (B, *shape)."""
        return torch.stack([torch.randint(low, high, shape, generator=g, device=g.device) for g in self.generators])

    def chance(self, probability: float, *shape: int) -> Tensor:
        """True with `probability`, bool, (B, *shape)."""
        return self.uniform(*shape) < probability

    def permutation(self, length: int) -> Tensor:
        """A random order of 0..length-1 per sample, int64, (B, length)."""
        return torch.stack([torch.randperm(length, generator=g, device=g.device) for g in self.generators])
