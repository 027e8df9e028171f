"""Numbers of the code that all cells share: one function a kernel, a network, a loss, a transform."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_bench.api.registry import BACKBONES
from ssl_bench.api.rng import Draws, seeded_initialisation
from ssl_bench.api.settings import OptimiserSettings
from ssl_bench.nn.cpu.convolution import Convolution
from ssl_bench.nn.cpu.group_norm import GroupNorm
from ssl_bench.nn.cpu.trilinear import sample_channels
from ssl_bench.nn.losses import ncc_loss, smoothness_loss, soft_dice_loss
from ssl_bench.nn.warp import affine_matrix, compose, warp
from ssl_bench.training.collapse import channel_rank
from ssl_bench.training.optimisation import build_optimiser, build_schedule
from ssl_bench.transforms.appearance import random_appearance
from ssl_bench.transforms.corruption import GVSL, MODELS_GENESIS, corrupt
from ssl_bench.transforms.spatial import random_spatial
from ssl_bench.transforms.views import two_views
from tests.pinned.made_up import Numbers, batch, labelled_volume, summary


def there_and_back(module: nn.Module, *inputs: Tensor) -> Numbers:
    """What `module` makes of `inputs`, and the gradients of inputs and weights."""
    given = [each.clone().requires_grad_() for each in inputs]
    out = module(*given)
    out.float().square().mean().backward()
    return summary(out, *(each.grad for each in given), *(weight.grad for weight in module.parameters()))


def group_norm(dtype: torch.dtype) -> Numbers:
    """16 channels in groups of 8, on volumes large enough for the way that goes channel by channel."""
    norm = GroupNorm(2, 16)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 16))
        norm.bias.copy_(torch.linspace(-1, 1, 16))
    volumes = batch(0, 1, channels=16).to(dtype)
    return there_and_back(norm, volumes.contiguous(memory_format=torch.channels_last_3d))


def convolution(slices: int) -> Numbers:
    """8 to 8 channels; two slices take a way of their own."""
    with seeded_initialisation(0):
        module = Convolution(8, 8)
    return there_and_back(module, batch(0, 1, channels=8)[:, :, :slices, :16, :16])


def trilinear() -> Numbers:
    """Four channels resampled as rows."""
    volume = batch(0, 1, channels=8)[..., :16, :16, :16].requires_grad_()
    position = (8 + 9 * batch(2, 3, channels=3)[..., :16, :16, :16]).requires_grad_()
    out = sample_channels(volume, position)
    out.square().mean().backward()  # type: ignore[no-untyped-call]
    assert volume.grad is not None
    assert position.grad is not None
    return summary(out, volume.grad, position.grad)


def warping() -> Numbers:
    """An affine map and a displacement as one resampling."""
    small = torch.linspace(-0.2, 0.2, 6).expand(2, 6)
    matrix = affine_matrix(small[:, :3], 1 + small[:, 3:], 5 * small[:, :3], small)
    displacement = compose(matrix, 3 * batch(2, 3, channels=3))
    return summary(matrix, displacement, warp(batch(0, 1), displacement))


def backbone(name: str) -> Numbers:
    """Features and gradients of a fresh network of width 8."""
    with seeded_initialisation(0):
        network = BACKBONES.load(name)(8)
    features = network(batch(0))
    (features.global_.square().mean() + features.local.square().mean()).backward()
    gradients = torch.cat([w.grad.flatten() for w in network.parameters() if w.grad is not None])
    ranks = [channel_rank(one.detach()[0].flatten(1).T) for one in (features.local, *network.stages(batch(0))[:2])]
    return [*summary(features.global_, features.local, gradients), *ranks]


def losses() -> Numbers:
    """Every loss and its gradient."""
    warped, displacement = batch(0, 1).requires_grad_(), batch(0, 1, channels=3).requires_grad_()
    logits = batch(0, channels=4).requires_grad_()
    labels = torch.from_numpy(labelled_volume(5, 3)[:32, :32, :32]).long().unsqueeze(0)
    found = [ncc_loss(warped, batch(2, 3)), smoothness_loss(displacement), soft_dice_loss(logits, labels)]
    torch.stack(found).sum().backward()  # type: ignore[no-untyped-call]
    assert warped.grad is not None and displacement.grad is not None and logits.grad is not None  # noqa: PT018
    return [*(float(loss.detach()) for loss in found), *summary(warped.grad, displacement.grad, logits.grad)]


def optimisers() -> Numbers:
    """Rates and weights of a few steps of every optimiser and schedule."""
    found: Numbers = []
    for name in ("adam", "adamw", "sgd"):
        for schedule in ("constant", "cosine"):
            settings = OptimiserSettings(
                name=name, learning_rate=0.1, schedule=schedule, warmup_steps=2, gradient_clip=0.0
            )
            weights = nn.Parameter(torch.linspace(-1, 1, 32))
            optimiser = build_optimiser([weights], settings)
            steps = build_schedule(optimiser, settings, 6)
            for step in range(6):
                optimiser.zero_grad()
                weights.pow(4).sum().backward()
                optimiser.step()
                steps.step_update(step + 1)
                found.append(1 + optimiser.param_groups[0]["lr"])
            found += summary(weights)
    return found


def transforms(name: str) -> Numbers:
    """What a transform makes of eight volumes."""
    volumes, draws = batch(*range(8)), Draws.keyed("pinned", samples=range(8))
    made = {
        "appearance": lambda: [random_appearance(volumes, draws)],
        "corruption of gvsl": lambda: [corrupt(volumes, draws, GVSL)],
        "corruption of models_genesis": lambda: [corrupt(volumes, draws, MODELS_GENESIS)],
        "spatial": lambda: random_spatial([volumes], draws),
        "views": lambda: two_views(volumes, draws, (16, 16, 16)),
    }
    return summary(*made[name]())
