"""A method touches no global state of the process that it shares with others."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ssl_bench.conformance.method_under_test import MethodUnderTest, adam, same


def global_state_is_left_alone(subject: MethodUnderTest) -> str | None:
    """Building and training touch no global state: random numbers, threads, defaults, environment."""
    subject.corpus  # noqa: B018 - grown before the comparison
    with unchanged_globals() as changed:
        method = subject.build()
        subject.train(method, adam(method), range(1))
    return f"it changes {', '.join(changed)}" if changed else None


@contextmanager
def unchanged_globals() -> Iterator[list[str]]:
    """Yields a list that names, after the block, every global state that the block changed."""
    changed: list[str] = []
    before = {name: read() for name, read in GLOBALS.items()}
    yield changed
    changed += [name for name, read in GLOBALS.items() if not same(before[name], read())]


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
