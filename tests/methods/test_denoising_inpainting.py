"""Denoising and in-painting hide what they say, and restore the whole clean volume."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.methods.denoising import Denoising
from ssl_bench.methods.inpainting import InPainting
from ssl_bench.transforms.painting import GVSL_IN_PAINTING, in_painting, in_painting_mask

from .conftest import build


def volumes() -> Tensor:
    return torch.rand(3, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1))


def draws() -> Draws:
    return Draws.keyed("hidden", samples=range(3))


def denoising(**options: object) -> Denoising:
    method = build("denoising", **options)
    assert isinstance(method, Denoising)
    return method


def inpainting(**options: object) -> InPainting:
    method = build("inpainting", **options)
    assert isinstance(method, InPainting)
    return method


@pytest.mark.parametrize(("options", "sigma"), [({}, 0.1), ({"sigma": 0.3}, 0.3)])
def test_noise_is_gaussian_of_the_given_deviation_and_not_clamped(options: dict[str, float], sigma: float) -> None:
    clean = volumes().round()
    noise = denoising(**options).noisy(clean, draws()) - clean
    for sample in noise:
        assert abs(sample.mean()) < 0.02 * sigma
        assert abs(sample.std() / sigma - 1) < 0.02
        assert abs(((sample.abs() < sigma).float().mean()) - 0.6827) < 0.01
        # Voxels of 0 and of 1 alike move to both sides.
        assert abs(sample[clean[0] == 0].mean()) < 0.05 * sigma
    assert not torch.equal(noise[0], noise[1])


@pytest.mark.parametrize("name", ["denoising", "inpainting"])
def test_the_loss_is_the_mean_squared_error_to_the_whole_clean_volume(name: str) -> None:
    method, clean = denoising() if name == "denoising" else inpainting(), volumes()
    seen = method.noisy(clean, draws()) if isinstance(method, Denoising) else method.erased(clean, draws())
    restored = method.restoration(method.backbone(seen).local)
    torch.testing.assert_close(method.training_step(clean, draws())["loss"], (restored - clean).square().mean())
    assert not torch.equal(seen, clean)


def test_noise_fills_the_boxes_of_gvsls_in_painting() -> None:
    assert torch.equal(inpainting().erased(volumes(), draws()), in_painting(volumes(), draws(), GVSL_IN_PAINTING))


def test_zeros_fill_the_same_boxes_as_noise() -> None:
    clean = volumes() + 0.01
    mask = in_painting_mask(clean.shape[2:], draws(), GVSL_IN_PAINTING)
    erased = inpainting(fill="zero").erased(clean, draws())
    assert mask.any()
    assert torch.equal(erased == 0, mask)
    assert torch.equal(erased[~mask], clean[~mask])
