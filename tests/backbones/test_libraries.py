"""Each backbone is its library's network: built here by the library itself, the same weights give the same features."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from monai.networks.nets import SwinUNETR as MonaiSwinUNETR
from timm.layers import apply_rot_embed_cat
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.registry import BACKBONES
from ssl_bench.api.rng import seeded_initialisation
from ssl_bench.backbones.primus import rotary_positions

ALIKE = {"atol": 1e-5, "rtol": 1e-5}


def built(name: str, width: int, channels: int = 1) -> Backbone:
    """With every weight drawn at random: zeros and ones at the start would hide layers."""
    with seeded_initialisation(0):
        network = BACKBONES.load(name).reading(channels, width)
        for weight in network.parameters():
            weight.data += 0.05 * torch.randn_like(weight)
    return network.requires_grad_(False)


def volumes(size: tuple[int, int, int], channels: int = 1) -> Tensor:
    return torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "features", "blocks", "size"),
    [
        ("resenc", (8, 16, 32, 64), (1, 3, 4, 6), (16, 24, 32)),
        ("resenc_l", (8, 16, 32, 64, 80, 80), (1, 3, 4, 6, 6, 6), (64, 64, 64)),
    ],
)
def test_resenc_is_nnunets(
    name: str, features: tuple[int, ...], blocks: tuple[int, ...], size: tuple[int, int, int]
) -> None:
    ours, count = built(name, 8, channels=2), len(features)
    theirs = ResidualEncoderUNet(
        input_channels=2,
        n_stages=count,
        features_per_stage=features,
        conv_op=nn.Conv3d,
        kernel_sizes=[[3, 3, 3]] * count,
        strides=[[1, 1, 1], *[[2, 2, 2]] * (count - 1)],
        n_blocks_per_stage=blocks,
        num_classes=3,
        n_conv_per_stage_decoder=[1] * (count - 1),
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    ).requires_grad_(False)
    state = {}
    for entry, value in ours.state_dict().items():
        part, _, rest = entry.partition(".")
        number = int(part.removeprefix("stage").removeprefix("up")) - 1
        if part == "stage1":
            step, _, rest = rest.partition(".")
            state[f"encoder.stem.{rest}" if step == "0" else f"encoder.stages.0.{rest}"] = value
        elif part.startswith("stage"):
            state[f"encoder.stages.{number}.{rest}"] = value
        else:
            place = count - 2 - number
            kind, _, rest = rest.partition(".")
            state[f"decoder.{'transpconvs' if kind == 'transpconv' else 'stages'}.{place}.{rest}"] = value
    # The library keeps layers under several names: what is filled under one is filled under all.
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    filled = {value.data_ptr() for entry, value in theirs.state_dict().items() if entry in state}
    unfilled = {entry for entry in missing if theirs.state_dict()[entry].data_ptr() not in filled}
    assert not unexpected
    assert {entry.rpartition(".")[0].rpartition(".")[0] for entry in unfilled} == {"decoder.seg_layers"}

    head = theirs.decoder.seg_layers[-1]
    given = volumes(size, channels=2)
    found = ours(given)
    torch.testing.assert_close(ours.stages(given), theirs.encoder(given), **ALIKE)
    torch.testing.assert_close(found.global_, theirs.encoder(given)[-1], **ALIKE)
    torch.testing.assert_close(head(found.local), theirs(given), **ALIKE)


@pytest.mark.parametrize("size", [(32, 32, 64), (32, 32, 32)])
def test_swinunetr_is_monais(size: tuple[int, int, int]) -> None:
    ours = built("swinunetr", 8)
    theirs = MonaiSwinUNETR(1, 3, feature_size=24).requires_grad_(False)
    state = {}
    for entry, value in ours.state_dict().items():
        part, _, rest = entry.partition(".")
        if part.startswith("layers"):
            entry = f"swinViT.{part}.0.{rest}"
        elif part == "patch_embed":
            entry = f"swinViT.{entry}"
        state[entry] = value
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not unexpected
    assert {entry.partition(".")[0] for entry in missing} == {"out"}
    given = volumes(size)[:1]
    found, hidden = ours(given), theirs.swinViT(given, True)
    torch.testing.assert_close(ours.stages(given)[1:], hidden, **ALIKE)
    torch.testing.assert_close(found.global_, hidden[-1], **ALIKE)
    if math.prod(size) > 32**3:  # MONAI's own refuses the single voxel that a window of 32 leaves.
        torch.testing.assert_close(theirs.out(found.local), theirs(given), **ALIKE)
    assert found.local.isfinite().all()


def turned(vectors: Tensor, grid: tuple[int, ...]) -> Tensor:
    """(B, heads, tokens, channels): neighbouring channels as complex numbers, turned by the token's place."""
    pairs = vectors.shape[-1] // 6
    places = torch.cartesian_prod(*(torch.arange(side).double() for side in grid))
    angles = torch.cat([places[:, [a]] / 10_000 ** (torch.arange(pairs) / pairs) for a in range(3)], dim=1)
    as_complex = torch.view_as_complex(vectors.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(as_complex * torch.polar(torch.ones_like(angles), angles)).flatten(-2).float()


def transformed(tokens: Tensor, w: dict[str, Tensor], heads: int, grid: tuple[int, ...]) -> Tensor:
    """One block, written out from the papers: attention with rotary positions, SwiGLU, norms inside, LayerScale."""

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    x = norm(tokens, "norm1")
    q, k, v = (linear(x, f"attn.{n}_proj").unflatten(-1, (heads, -1)).transpose(1, 2) for n in "qkv")
    q, k = turned(q, grid), turned(k, grid)
    weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
    mixed = (weights @ v).transpose(1, 2).flatten(2)
    tokens = tokens + w["gamma_1"] * linear(norm(mixed, "attn.norm"), "attn.proj")
    x = norm(tokens, "norm2")
    gated = F.silu(linear(x, "mlp.fc1_g")) * linear(x, "mlp.fc1_x")
    return tokens + w["gamma_2"] * linear(norm(gated, "mlp.norm"), "mlp.fc2")


@pytest.mark.parametrize(("name", "heads", "depth", "positions"), [("primus", 2, 12, 8), ("primus_m", 3, 16, 20)])
def test_primus_is_the_papers(name: str, heads: int, depth: int, positions: int) -> None:
    ours, given = built(name, 8), volumes((32, 16, 24))
    state = ours.state_dict()
    grid = (4, 2, 3)
    tokens = F.conv3d(given, state["tokens.proj.weight"], state["tokens.proj.bias"], stride=8)
    assert state["tokens.position"].shape[2:] == (positions,) * 3
    tokens = tokens + F.interpolate(state["tokens.position"], grid, mode="trilinear")
    rows = tokens.flatten(2).transpose(1, 2)
    after = []
    for index in range(depth):
        prefix = f"blocks{1 + 4 * index // depth}.blocks.{index % (depth // 4)}."
        weights = {entry.removeprefix(prefix): value for entry, value in state.items() if entry.startswith(prefix)}
        rows = transformed(rows, weights, heads, grid)
        after.append(rows)
    rows = F.layer_norm(rows, rows.shape[-1:], state["blocks4.norm.weight"], state["blocks4.norm.bias"])
    expected = rows.transpose(1, 2).unflatten(2, grid)
    found = ours(given)
    torch.testing.assert_close(found.global_, expected, **ALIKE)
    quarter = after[depth // 4 - 1].transpose(1, 2).unflatten(2, grid)
    torch.testing.assert_close(ours.stages(given)[0], quarter, **ALIKE)

    local = expected
    for index in (0, 3):
        local = F.conv_transpose3d(local, state[f"decoder.{index}.weight"], state[f"decoder.{index}.bias"], stride=2)
        mean, deviation = local.mean(1, keepdim=True), (local.var(1, correction=0, keepdim=True) + 1e-6).sqrt()
        scale, shift = (state[f"decoder.{index + 1}.{kind}"].view(1, -1, 1, 1, 1) for kind in ("weight", "bias"))
        local = F.gelu((local - mean) / deviation * scale + shift)
    local = F.conv_transpose3d(local, state["decoder.6.weight"], state["decoder.6.bias"], stride=2)
    torch.testing.assert_close(found.local, local, **ALIKE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("unet3d", 23.54),
        ("resenc", 25.89),
        ("resenc_l", 102.35),
        ("swinunetr", 62.19),
        ("primus", 22.60),
        ("primus_m", 153.96),
    ],
)
def test_full_sizes_have_the_papers_parameters(name: str, millions: float) -> None:
    with torch.device("meta"):
        network = BACKBONES.load(name).reading(1, 32)
    assert sum(weight.numel() for weight in network.parameters()) / 1e6 == pytest.approx(millions, rel=2e-3)


def test_a_token_knows_how_far_another_is_and_not_where() -> None:
    """Rotary positions turn queries and keys so that their product depends on the distance alone."""
    torch.manual_seed(0)
    q, k = torch.randn(48), torch.randn(48)
    table = rotary_positions((5, 5, 5), 48, torch.device("cpu"))
    place = lambda z, y, x: 25 * z + 5 * y + x  # noqa: E731

    def product(one: int, other: int) -> Tensor:
        at = lambda vector, row: apply_rot_embed_cat(vector[None, None, None], table[[row]])  # noqa: E731
        return (at(q, one) * at(k, other)).sum()

    here = product(place(0, 1, 2), place(2, 2, 1))
    torch.testing.assert_close(product(place(2, 3, 3), place(4, 4, 2)), here, atol=1e-4, rtol=1e-4)
    assert abs(float(product(place(0, 1, 2), place(1, 2, 2)) - here)) > 0.1


def test_libraries_say_nothing_when_they_are_loaded() -> None:
    load = (
        "from ssl_bench.api.registry import BACKBONES\n"
        "import ssl_bench.training.optimisation, lightly.models.modules.heads\n"
        "for name in BACKBONES.names(): BACKBONES.load(name)"
    )
    done = subprocess.run([sys.executable, "-c", load], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
