"""The average of a training's weights, which is good at any step and needs no decaying learning rate."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

SHARPNESS = 8
"""The average spans about the last ninth of the steps: the weights of n steps ago count by (1 - n / steps)^8."""


class Average:
    """Polynomial-decay averaging of a module's weights (Shamir and Zhang, ICML 2013, section 4).

    After step t the average moves to the weights by (1 + e) / (t + e), e being `SHARPNESS`: the window grows with the
    training, the start is forgotten at once, and there is no horizon to know, so that a training may end whenever
    validation says so.
    """

    def __init__(self, module: nn.Module) -> None:
        self.weights: dict[str, Tensor] = copy.deepcopy(module.state_dict())
        """Those of the module's parameters averaged, its buffers as they are."""
        self._steps = 0

    def add(self, module: nn.Module) -> None:
        """Count in the weights after one more step."""
        self._steps += 1
        share = (1 + SHARPNESS) / (self._steps + SHARPNESS)
        with torch.no_grad():
            for name, weight in module.named_parameters():
                self.weights[name].lerp_(weight, share)

    def put_into(self, module: nn.Module) -> None:
        """Give `module` the averaged weights."""
        module.load_state_dict(self.weights)

    def load(self, weights: dict[str, Tensor], steps: int) -> None:
        """Go on from the `weights` after so many `steps`."""
        self.weights = {name: weights[name].to(weight.device).clone() for name, weight in self.weights.items()}
        self._steps = steps
