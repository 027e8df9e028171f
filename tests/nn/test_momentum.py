"""How slowly a momentum network moves; that it does is asked of every method that has one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.nn.momentum import constant_momentum, encoder_of, follow, still_copy


def test_a_constant_momentum_forgets_the_start_in_few_steps_and_is_the_papers_in_many() -> None:
    assert constant_momentum(400, 0.999, 0.01) ** 400 == pytest.approx(0.01)
    assert constant_momentum(4602, 0.999, 0.01) < 0.999 == constant_momentum(4603, 0.999, 0.01)
    assert constant_momentum(400, 0.9, 0.01) == 0.9
    assert constant_momentum(400, 0.999, 1) == 0.999


def test_copies_follow_and_have_no_gradient() -> None:
    head, backbone = nn.Linear(2, 2), UNet3D(8)
    copied, encoder = still_copy(head), encoder_of(backbone)
    with torch.no_grad():
        for parameter in (*head.parameters(), *backbone.parameters()):
            parameter.add_(1)
    before = [parameter.clone() for parameter in (*copied.parameters(), *encoder.parameters())]
    follow(copied, head, 0.75)
    follow(encoder, backbone, 0.75)
    for parameter, old in zip((*copied.parameters(), *encoder.parameters()), before, strict=True):
        torch.testing.assert_close(parameter, old + 0.25, atol=1e-6, rtol=1e-6)
        assert not parameter.requires_grad
    assert not [name for name, _ in encoder.named_parameters() if name.startswith(backbone.decoder_modules)]
