"""Denoising and in-painting hide what they say, and are scored on what they should be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.methods.denoising import Denoising
from ssl_bench.methods.inpainting import InPainting
from ssl_bench.transforms.painting import block_mask

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


def test_denoising_is_scored_by_the_mean_squared_error_to_the_whole_clean_volume() -> None:
    method, clean = denoising(), volumes()
    restored = method.restoration(method.backbone(method.noisy(clean, draws())).local)
    torch.testing.assert_close(method.training_step(clean, draws())["loss"], (restored - clean).square().mean())


class Answer(torch.nn.Module):
    """Says the same whatever it is asked."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, _: Tensor) -> Tensor:
        return self.answer


def answered(method: InPainting, answer: Tensor) -> float:
    """The loss of `method` if it restores `answer`."""
    method.restoration = Answer(answer)  # type: ignore[assignment]
    return float(method.training_step(volumes(), draws())["loss"])


@pytest.mark.parametrize("side", [32, 48])
def test_a_quarter_at_least_is_erased_every_time(side: int) -> None:
    method = build("inpainting", crop=side)
    assert isinstance(method, InPainting)
    assert method.side == side // 4
    given = torch.full((40, 1, side, side, side), 0.5)
    seen: list[Tensor] = []
    method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]) or (inputs[0][:1],))
    with torch.no_grad():
        method.training_step(given, Draws.keyed("hidden", samples=range(40)))
    erased = (seen[0] != given).float().mean((1, 2, 3, 4))
    assert erased.min() >= 0.25
    assert erased.max() <= 0.25 + 4**-3


def test_in_painting_is_scored_on_what_was_erased_alone() -> None:
    method, clean = inpainting(), volumes()
    mask = block_mask(clean.shape[2:], draws(), 8, 0.25)
    assert answered(method, clean) == 0
    assert answered(method, torch.where(mask, clean, clean + 7)) == 0
    assert answered(method, torch.where(mask, clean + 3, clean)) == pytest.approx(9, rel=1e-5)
    # Samples of which more was erased weigh no more: the loss of a batch is the mean of its samples'.
    per_sample = torch.tensor([0.0, 3.0, 6.0]).view(-1, 1, 1, 1, 1)
    assert answered(method, clean + mask * per_sample.sqrt()) == pytest.approx(3, rel=1e-5)


@pytest.mark.parametrize("fill", ["noise", "zero"])
def test_what_is_erased_is_filled_and_the_rest_is_left(fill: str) -> None:
    clean = volumes() + 2
    mask = block_mask(clean.shape[2:], draws(), 8, 0.25)
    method, seen = inpainting(fill=fill), []
    method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.training_step(clean, draws())
    assert torch.equal(seen[0][~mask], clean[~mask])
    inside = seen[0][mask]
    expected = (0.0, 0.0) if fill == "zero" else (0.5, 12**-0.5)
    assert (inside.mean().item(), inside.std().item()) == pytest.approx(expected, abs=0.01)
    assert inside.max() < 1
