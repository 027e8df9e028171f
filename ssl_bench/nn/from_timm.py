"""What is used of timm, imported here alone and first: without what it makes a newer torch say.

Some module of timm has a decorator that torch 2.14 calls deprecated, which nobody who runs a benchmark can do anything
about; lightly imports timm too.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", r"`torch\.jit\.interface` is deprecated", FutureWarning)
    from timm.models.eva import EvaBlock
    from timm.optim import create_optimizer_v2
    from timm.scheduler import CosineLRScheduler, StepLRScheduler

__all__ = ["CosineLRScheduler", "EvaBlock", "StepLRScheduler", "create_optimizer_v2"]
