"""MAE, SparK and SimMIM: what they hide stays hidden, and is what they are scored on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from ssl_bench.api.registry import METHODS
from ssl_bench.api.rng import Draws, seeded_initialisation
from ssl_bench.backbones.models_genesis import ModelsGenesis
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.errors import UserError
from ssl_bench.methods.mae import MAE
from ssl_bench.methods.simmim import SimMIM, tiled, unfolded
from ssl_bench.methods.spark import SparK
from ssl_bench.transforms.patches import hidden_patches

from .conftest import CROP, build

NEW = ("mae", "spark", "simmim", "volume_fusion", "voco", "swin_pretext")


def volumes(side: int = CROP, channels: int = 1) -> Tensor:
    return torch.rand(2, channels, side, side, side, generator=torch.Generator().manual_seed(1))


def draws() -> Draws:
    return Draws.keyed("hidden", samples=range(2))


def hidden_by(method: MAE | SparK | SimMIM, side: int = CROP) -> Tensor:
    return hidden_patches((side,) * 3, draws(), method.side, method.options.hidden)


def restored(method: MAE | SparK | SimMIM, given: Tensor, hidden: Tensor) -> Tensor:
    """What comes out, and every stage of the decoder's input."""
    with torch.no_grad():
        return method.predict(given, hidden) if isinstance(method, SimMIM) else method.restore(given, hidden)


def masked(name: str, crop: int = CROP, **options: object) -> MAE | SparK | SimMIM:
    method = build(name, crop, **options)
    assert isinstance(method, MAE | SparK | SimMIM)
    return method


@pytest.mark.parametrize("name", ["mae", "spark", "simmim"])
def test_hidden_voxels_leave_no_trace_in_what_is_restored(name: str) -> None:
    method, given = masked(name), volumes()
    hidden = hidden_by(method)
    first = restored(method, given, hidden)
    assert torch.equal(restored(method, given + 3 * hidden, hidden), first)
    assert torch.equal(restored(method, given.masked_fill(hidden, torch.nan), hidden), first)
    assert not torch.equal(restored(method, given + 0.1 * ~hidden, hidden), first)


def normalised(values: np.ndarray) -> np.ndarray:
    """A patch with mean 0 and deviation 1."""
    scaled: np.ndarray = (values - values.mean()) / np.sqrt(values.var() + 1e-6)
    return scaled


@pytest.mark.parametrize(
    ("name", "normalise"), [("mae", False), ("mae", True), ("spark", False), ("spark", True), ("simmim", False)]
)
def test_the_loss_is_the_papers_over_hidden_patches_alone(name: str, normalise: bool) -> None:
    """Patch by patch in float64, without a look at how the method averages."""
    method = masked(name, **({} if name == "simmim" else {"normalised": normalise}))
    given = volumes()
    hidden = hidden_by(method)
    out = restored(method, given, hidden).double().numpy()
    terms: list[list[float]] = [[], []]
    for volume in range(2):
        for corner in np.ndindex(*[CROP // method.side] * 3):
            cell = (volume, 0, *(slice(c * method.side, (c + 1) * method.side) for c in corner))
            if hidden.numpy()[cell].all():
                target = given.double().numpy()[cell]
                error = out[cell] - (normalised(target) if normalise else target)
                terms[volume] += list((np.abs(error) if name == "simmim" else error**2).ravel())
    assert len(terms[0]) == len(terms[1]) == round(method.options.hidden * (CROP // method.side) ** 3) * method.side**3
    loss = float(method.training_step(given, draws())["loss"].detach())
    assert loss == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize(("name", "share"), [("mae", 0.75), ("spark", 0.6), ("simmim", 0.6)])
def test_the_papers_share_is_hidden(name: str, share: float) -> None:
    method = masked(name, crop=128 if name == "mae" else 64)
    size = [128 // 8] * 3 if name == "mae" else [64] * 3
    side = method.side // 8 if name == "mae" else method.side
    found = hidden_patches(size, draws(), side, method.options.hidden).float().mean()
    assert (method.side, method.options.hidden) == (16, share)
    assert found == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(("crop", "side"), [(128, 16), (64, 8), (48, 6), (32, 4)])
def test_patches_of_mae_scale_with_the_crop(crop: int, side: int) -> None:
    assert masked("mae", crop).side == side


def test_mae_refuses_patches_of_which_there_would_be_but_one() -> None:
    assert masked("mae", patch=64).training_step(volumes(), draws())["loss"].isfinite()
    with pytest.raises(ValidationError, match="patch\n  Input should be less than or equal to 64"):
        masked("mae", patch=65)


def test_hidden_voxels_are_zero_to_mae() -> None:
    method, given, seen = masked("mae"), volumes() + 2, []
    method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.training_step(given, draws())
    assert torch.equal(seen[0], torch.where(hidden_by(method), 0.0, given))


def test_spark_fills_every_stage_with_its_mask_embedding() -> None:
    method, given, decoded = build("spark"), volumes(), []
    assert isinstance(method, SparK)
    decode = method.backbone.decode
    method.backbone.decode = lambda stages: decoded.append(stages) or decode(stages)  # type: ignore[method-assign]
    hidden = hidden_by(method)
    method.restore(given, hidden)
    assert len(decoded[0]) == len(method.embeddings) == 5
    where = hidden
    for stage, embedding in zip(decoded[0], method.embeddings, strict=True):
        inside = where.expand_as(stage)
        assert torch.equal(stage[inside], embedding.expand_as(stage)[inside])
        assert not torch.equal(stage[~inside], embedding.expand_as(stage)[~inside])
        where = where[:, :, ::2, ::2, ::2]
    method.training_step(given, draws())["loss"].backward()
    assert all(embedding.grad is not None and embedding.grad.abs().sum() > 0 for embedding in method.embeddings)


def test_spark_refuses_a_backbone_whose_encoder_it_cannot_mask() -> None:
    plugin = METHODS.load("spark")
    with pytest.raises(UserError, match="the method spark cannot hide voxels from it"):
        plugin(ModelsGenesis(16), plugin.Config(), CROP)


def test_a_token_that_learns_stands_for_hidden_patches_to_simmim() -> None:
    method, given, seen = build("simmim"), volumes(), []
    assert isinstance(method, SimMIM)
    method.backbone.inc.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    loss = method.training_step(given, draws())["loss"]
    hidden = hidden_by(method)
    assert torch.equal(seen[0][~hidden], given[~hidden])
    assert torch.equal(seen[0][:1, :, :16, :16, :16], method.token) == bool(hidden[0, 0, 0, 0, 0])
    assert torch.equal(seen[0][hidden], tiled(method.token, given.shape[2:]).expand_as(given)[hidden])
    (gradient,) = torch.autograd.grad(loss, method.token)
    assert gradient.abs().sum() > 0


def test_channels_of_the_coarsest_features_become_the_block_of_voxels_that_each_stands_for() -> None:
    coarse = torch.arange(2 * 8 * 3 * 2 * 1.0).view(1, 16, 3, 2, 1)
    found = unfolded(coarse, 2)
    assert found.shape == (1, 2, 6, 4, 2)
    for c, z, y, x in np.ndindex(2, 6, 4, 2):
        channel = 8 * c + 4 * (z % 2) + 2 * (y % 2) + x % 2
        assert found[0, c, z, y, x] == coarse[0, channel, z // 2, y // 2, x // 2]


@pytest.mark.parametrize("name", NEW)
def test_volumes_of_two_channels_are_learnt_from(name: str) -> None:
    plugin = METHODS.load(name)
    with seeded_initialisation(0):
        method = plugin(UNet3D(8, 2), plugin.Config(), CROP)
    given = volumes(method.region, channels=2)
    loss = method.training_step(given, draws())["loss"]
    other = given.clone()
    other[:, 1] = 1 - other[:, 1]
    assert loss.isfinite()
    assert method.training_step(other, draws())["loss"] != loss


@pytest.mark.parametrize("name", ["spark", "simmim"])
def test_windows_that_are_no_whole_strides_are_scored_where_they_are(name: str) -> None:
    """24 voxels are padded to 32: what is padded is not scored, and an error where something is hidden is."""
    method, given = masked(name, 24, **({"normalised": False} if name == "spark" else {})), volumes(24)
    answer = method.backbone.pad(given)
    hidden = method.backbone.pad(hidden_by(method, 24))
    for right, expected in ((answer + 3 * ~hidden, 0.0), (answer + 3 * hidden, 3.0 if name == "simmim" else 9.0)):
        setattr(method, "predict" if name == "simmim" else "restore", lambda *_, made=right: made)
        assert float(method.training_step(given, draws())["loss"]) == pytest.approx(expected, rel=1e-5)
