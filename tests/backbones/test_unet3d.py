"""The shared 3D U-Net against GVSL's published figures and a second evaluation."""

import pytest
import torch
import torch.nn.functional as F

from ssl_bench.backbones.unet3d import Down, UNet3D, upsample

BLOCKS = {
    "inc": 28_704, "down1": 166_272, "down2": 664_320, "down3": 2_655_744, "down4": 10_619_904,
    "up1": 7_079_424, "up2": 1_770_240, "up3": 442_752, "up4": 110_784,
}  # fmt: skip


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_of_every_block_at_width_32() -> None:
    backbone = UNet3D(32)
    assert {name: count(getattr(backbone, name)) for name in BLOCKS} == BLOCKS
    assert sum(count(getattr(backbone, name)) for name in UNet3D.encoder_modules) == 14_134_944
    assert sum(count(getattr(backbone, name)) for name in UNet3D.decoder_modules) == 9_403_200
    assert count(backbone) == 23_538_144
    assert set(UNet3D.encoder_modules) | set(UNet3D.decoder_modules) == set(BLOCKS)


def test_convolutions_start_kaiming_normal_of_gain_root_two_and_norms_as_the_identity() -> None:
    """Fan in, and the slope is not passed; biases keep PyTorch's uniform start. Four standard errors either way."""
    torch.manual_seed(0)
    for name, layer in UNet3D(16).named_modules():
        if isinstance(layer, torch.nn.Conv3d):
            weights, fan_in = layer.weight.detach().double().flatten(), layer.weight[0].numel()
            count, deviation, limit = len(weights), (2 / fan_in) ** 0.5, fan_in**-0.5
            assert abs(weights.mean() / deviation) < 4 / count**0.5, name
            assert abs(weights.std() / deviation - 1) < 4 / (2 * count) ** 0.5, name
            kurtosis = (weights / deviation).pow(4).mean()
            assert abs(kurtosis - 3) < 4 * (96 / count) ** 0.5, name
            bias = layer.bias
            assert bias is not None
            assert 0.5 * limit < bias.abs().max() <= limit, name
        elif isinstance(layer, torch.nn.GroupNorm):
            assert (layer.weight == 1).all(), name
            assert (layer.bias == 0).all(), name


def test_another_input_channel_costs_864_parameters() -> None:
    assert count(UNet3D(32, channels_in=2)) - count(UNet3D(32)) == 864


def test_state_holds_the_released_networks_72_tensors() -> None:
    names = set(UNet3D(8).state_dict())
    blocks = ["inc", *[f"down{i}.maxpool_conv.1" for i in range(1, 5)], *[f"up{i}.conv" for i in range(1, 5)]]
    layers = [f"{layer}.{kind}" for layer in (0, 1, 3, 4) for kind in ("weight", "bias")]
    assert names == {f"{block}.double_conv.{layer}" for block in blocks for layer in layers}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5), (torch.bfloat16, 0.06)]
)
def test_upsampling_is_pytorchs_trilinear_one_and_so_is_its_gradient(
    dtype: torch.dtype, tolerance: float, channels_last: bool
) -> None:
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    coarse = torch.randn(2, 8, 3, 1, 16, dtype=dtype, generator=torch.Generator().manual_seed(0))
    upstream = torch.randn(2, 8, 6, 2, 32, dtype=dtype, generator=torch.Generator().manual_seed(1))
    found = coarse.clone(memory_format=layout).requires_grad_()
    expected = coarse.double().clone().requires_grad_()
    fine = upsample(found)
    assert fine.dtype == dtype
    reference = F.interpolate(expected, scale_factor=2, mode="trilinear", align_corners=True)
    torch.testing.assert_close(fine.double(), reference, rtol=0, atol=tolerance)
    fine.backward(upstream)
    reference.backward(upstream.double())
    assert found.grad is not None
    torch.testing.assert_close(found.grad.double(), expected.grad, rtol=0, atol=4 * tolerance)


def test_upsampling_in_bf16_leaves_a_constant_as_it_is() -> None:
    assert (upsample(torch.full((1, 8, 5, 6, 7), 3.0, dtype=torch.bfloat16)) == 3).all()


@pytest.mark.parametrize("shape", [(32, 32, 32), (17, 33, 48), (16, 20, 31)])
def test_global_features_keep_the_padding_and_local_ones_lose_it(shape: tuple[int, int, int]) -> None:
    features = UNet3D(8)(torch.rand(2, 1, *shape))
    assert features.global_.shape == (2, 128, *(-(-size // 16) for size in shape))
    assert features.local.shape == (2, 8, *shape)


def test_padding_is_split_before_and_after() -> None:
    backbone = UNet3D(8).eval()
    volume = torch.rand(1, 1, 16, 21, 16)
    padded = F.pad(volume, (0, 0, 5, 6, 0, 0))
    with torch.no_grad():
        torch.testing.assert_close(backbone(volume).local, backbone(padded).local[:, :, :, 5:26])


def test_encoder_alone_gives_the_same_global_features() -> None:
    backbone, volume = UNet3D(8), torch.rand(1, 1, 24, 16, 16)
    torch.testing.assert_close(backbone.encode(volume), backbone(volume).global_)


def test_forward_equals_a_functional_evaluation_in_float64() -> None:
    """Written from the paper's description: groups of 8 channels, slope 0.2, [skip, upsampled], corners aligned."""
    backbone = UNet3D(8).double()
    weights = backbone.state_dict()
    volume = torch.rand(1, 1, 16, 32, 16, dtype=torch.float64)

    def block(x: torch.Tensor, prefix: str) -> torch.Tensor:
        for convolution, norm in ((0, 1), (3, 4)):
            at = f"{prefix}.double_conv"
            x = F.conv3d(x, weights[f"{at}.{convolution}.weight"], weights[f"{at}.{convolution}.bias"], padding=1)
            groups = x.unflatten(1, (-1, 8))
            mean = groups.mean(dim=(2, 3, 4, 5), keepdim=True)
            variance = groups.var(dim=(2, 3, 4, 5), unbiased=False, keepdim=True)
            x = ((groups - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
            x = x * weights[f"{at}.{norm}.weight"].view(1, -1, 1, 1, 1) + weights[f"{at}.{norm}.bias"].view(
                1, -1, 1, 1, 1
            )
            x = torch.where(x > 0, x, 0.2 * x)
        return x

    def double(x: torch.Tensor) -> torch.Tensor:
        for axis in (2, 3, 4):
            n = x.shape[axis]
            at = torch.linspace(0, n - 1, 2 * n, dtype=x.dtype)
            low = at.floor().long().clamp(max=max(n - 2, 0))
            share = (at - low).view([-1 if axis == other else 1 for other in range(5)])
            x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, (low + 1).clamp(max=n - 1)) * share
        return x

    stages = [block(volume, "inc")]
    for level in range(1, 5):
        pooled = stages[-1].unfold(2, 2, 2).unfold(3, 2, 2).unfold(4, 2, 2).amax(dim=(5, 6, 7))
        stages.append(block(pooled, f"down{level}.maxpool_conv.1"))
    local = stages[-1]
    for level in range(1, 5):
        local = block(torch.cat([stages[4 - level], double(local)], dim=1), f"up{level}.conv")
    features = backbone(volume)
    torch.testing.assert_close(features.global_, stages[-1])
    torch.testing.assert_close(features.local, local)


def test_width_must_fill_the_groups() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        UNet3D(12)


def test_checkpointing_keeps_loss_and_gradients() -> None:
    plain, saving = UNet3D(8), UNet3D(8)
    saving.load_state_dict(plain.state_dict())
    saving.checkpointing = True
    volumes = torch.rand(1, 1, 16, 20, 16)
    losses = []
    for network in (plain, saving):
        features = network(volumes)
        losses.append(features.local.square().mean() + features.global_.square().mean())
        losses[-1].backward()
    torch.testing.assert_close(losses[1], losses[0], atol=1e-5, rtol=0)
    for one, two in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, atol=1e-5, rtol=1e-5)


def test_checkpointing_keeps_fewer_activations() -> None:
    kept = []
    for checkpointing in (False, True):
        network = UNet3D(8)
        network.checkpointing = checkpointing
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: s.append(t.numel()) or t, lambda t: t):
            network(torch.rand(1, 1, 32, 32, 32))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 3


def test_pooling_keeps_the_precision_and_gives_the_bits_of_float32() -> None:
    """A maximum and the place that it came from are exact in bf16."""
    volumes = torch.randn(2, 8, 6, 4, 8, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = Down(8, 16).maxpool_conv[0](volumes)
        expected = F.max_pool3d(volumes, 2)
    assert (found.dtype, expected.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(found.float(), expected)
    upstream = torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    of_found, of_expected = (torch.autograd.grad(out, volumes, upstream.to(out.dtype)) for out in (found, expected))
    assert torch.equal(of_found[0], of_expected[0])
