"""The encoder on visible voxels alone, against plain loops; what is hidden leaves no trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_bench.api.backbone import BackboneFacts
from ssl_bench.api.rng import seeded_initialisation
from ssl_bench.backbones.models_genesis import ModelsGenesis
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.errors import UserError
from ssl_bench.nn.blocks import DoubleConv
from ssl_bench.nn.sparse import SparseStage, require_sparse, sparse_stages, visible_group_norm


def backbone(channels_in: int = 1) -> UNet3D:
    with seeded_initialisation(0):
        return UNet3D(8, channels_in)


def volumes(side: int = 32, channels: int = 1) -> Tensor:
    return torch.rand(2, channels, side, side, side, generator=torch.Generator().manual_seed(1))


def visible(side: int = 32) -> Tensor:
    """One corner of eight in the first volume, all but one in the second."""
    seen = torch.zeros(2, 1, side, side, side, dtype=torch.bool)
    seen[0, :, : side // 2, : side // 2, : side // 2] = True
    seen[1] = ~seen[0]
    return seen


def convolved(values: np.ndarray, seen: np.ndarray, layer: nn.Conv3d) -> np.ndarray:
    """A convolution of (c, D, H, W) at the seen voxels, voxel by voxel and tap by tap."""
    weight, bias = (each.detach().numpy() for each in (layer.weight, layer.bias))
    found = np.zeros((len(weight), *seen.shape))
    for place in np.argwhere(seen):
        found[(slice(None), *place)] = bias
        for tap in np.ndindex(3, 3, 3):
            at = place + tap - 1
            if (at >= 0).all() and (at < seen.shape).all() and seen[tuple(at)]:
                found[(slice(None), *place)] += weight[(..., *tap)] @ values[(slice(None), *at)]
    return found


def normalised(values: np.ndarray, seen: np.ndarray, layer: nn.GroupNorm) -> np.ndarray:
    """Group normalisation of (c, D, H, W) by the statistics of the seen voxels."""
    found = np.zeros_like(values)
    size = layer.num_channels // layer.num_groups
    for channel in range(len(values)):
        group = [values[other][seen] for other in range(len(values)) if other // size == channel // size]
        scaled = (values[channel][seen] - np.mean(group)) / np.sqrt(np.var(group) + layer.eps)
        found[channel][seen] = scaled * layer.weight[channel].item() + layer.bias[channel].item()
    return found


def test_a_stage_is_what_loops_over_visible_voxels_give() -> None:
    with seeded_initialisation(3):
        block = DoubleConv(2, 16).double()
        for norm in (block.double_conv[1], block.double_conv[4]):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.uniform_(norm.bias, -1, 1)
    generator = np.random.default_rng(0)
    seen, given = generator.random((4, 5, 4)) < 0.5, generator.normal(size=(2, 4, 5, 4))
    expected = given * seen
    for convolution, norm in ((0, 1), (3, 4)):
        expected = convolved(expected, seen, block.double_conv[convolution])
        expected = normalised(expected, seen, block.double_conv[norm])
        expected = np.where(expected > 0, expected, 0.2 * expected)
    mask = torch.from_numpy(seen)[None, None]
    found = SparseStage(block)(torch.from_numpy(given * seen)[None], mask)
    np.testing.assert_allclose(found[0].detach().numpy(), expected, atol=1e-9)


def test_pooling_takes_the_largest_of_the_visible_voxels() -> None:
    given = -1 - torch.rand(1, 8, 4, 4, 4)
    seen = torch.zeros(1, 1, 4, 4, 4, dtype=torch.bool)
    seen[..., 1, 1, 1], seen[..., 2:, 2:, 2:] = True, True
    stage = SparseStage(nn.Sequential(nn.MaxPool3d(2)))
    found, after = stage(given.masked_fill(~seen, 0), seen), stage.visible_after(seen)
    assert after.sum() == 2
    assert torch.equal(found[0, :, 0, 0, 0], given[0, :, 1, 1, 1])
    assert torch.equal(found[0, :, 1, 1, 1], given[0, :, 2:, 2:, 2:].amax((1, 2, 3)))
    assert not found[~after.expand_as(found)].any()


@pytest.mark.parametrize("channels", [1, 3])
def test_with_nothing_hidden_it_is_the_backbones_own_encoder(channels: int) -> None:
    network, given = backbone(channels), volumes(32, channels)
    found = sparse_stages(network, given, torch.ones_like(given[:, :1], dtype=torch.bool))
    torch.testing.assert_close(found.stages, network.stages(given), atol=1e-4, rtol=1e-4)
    assert all(seen.all() for seen in found.visible)


@pytest.mark.parametrize("side", [32, 24])
def test_what_is_hidden_changes_no_bit_and_nothing_is_where_nothing_is_visible(side: int) -> None:
    """Zeros, noise or no numbers at all: the stages of the first are those of the others."""
    network, given, seen = backbone(), volumes(side), visible(side)
    first = sparse_stages(network, given, seen)
    for other in (given.masked_fill(~seen, 0), given.masked_fill(~seen, torch.nan), given + 5 * ~seen):
        assert all(map(torch.equal, sparse_stages(network, other, seen).stages, first.stages))
    for stage, where in zip(first.stages, first.visible, strict=True):
        assert where.any()
        assert not where.all()
        assert not stage[~where.expand_as(stage)].any()


def test_statistics_do_not_know_how_much_is_hidden() -> None:
    """The same visible voxels in a larger volume, of which the rest is hidden and holds anything."""
    with seeded_initialisation(0):
        norm = nn.GroupNorm(2, 16)
    small = torch.rand(1, 16, 4, 4, 4)
    large = torch.full((1, 16, 8, 8, 8), 1e6)
    large[..., :4, :4, :4] = small
    seen = torch.zeros(1, 1, 8, 8, 8, dtype=torch.bool)
    seen[..., :4, :4, :4] = True
    found = visible_group_norm(large, seen, norm)
    torch.testing.assert_close(found[..., :4, :4, :4], norm(small), atol=1e-5, rtol=1e-5)
    assert not found[~seen.expand_as(found)].any()


def test_activations_that_are_computed_again_give_the_same_gradients() -> None:
    gradients = []
    for checkpointing in (False, True):
        network = backbone()
        network.checkpointing = checkpointing
        sum(stage.square().mean() for stage in sparse_stages(network, volumes(16), visible(16)).stages).backward()
        gradients.append([p.grad for n, p in network.named_parameters() if not n.startswith("up")])
    assert all(map(torch.equal, *gradients))


class Residual(UNet3D):
    """More than its layers in turn."""

    facts = BackboneFacts(title="Residual", source="none")

    def stages(self, volumes: Tensor) -> list[Tensor]:
        """With a sum around the last stage."""
        *stages, last = super().stages(volumes)
        return [*stages, last + F.max_pool3d(stages[-1], 2).repeat(1, 2, 1, 1, 1)]


def test_backbones_that_it_cannot_run_are_refused_in_one_line() -> None:
    require_sparse(backbone(3), "spark")
    with pytest.raises(UserError, match=r"has a BatchStatisticsNorm in down_tr64: .* use --backbone unet3d$"):
        require_sparse(ModelsGenesis(16), "spark")
    with pytest.raises(UserError, match="Residual is more than its layers in turn"):
        require_sparse(Residual(8), "spark")


def test_the_way_back_of_normalisation_is_that_of_its_formula() -> None:
    """Against autograd through the statistics of the seen voxels written out, in float64, hidden ones included."""
    generator = torch.Generator().manual_seed(0)
    seen = torch.rand(2, 1, 3, 4, 5, generator=generator) < 0.5
    norm = nn.GroupNorm(2, 4).double()
    nn.init.uniform_(norm.weight, 0.5, 2, generator=generator)
    nn.init.uniform_(norm.bias, -1, 1, generator=generator)
    given = torch.randn(2, 4, 3, 4, 5, generator=generator, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(given.shape, generator=generator, dtype=torch.float64)

    def written_out() -> Tensor:
        rows = []
        for volume, where in zip(given, seen, strict=True):
            groups = []
            for group in volume.view(2, 2, 3, 4, 5):
                values = group[where.expand_as(group)]
                groups.append((group - values.mean()) / (values.var(correction=0) + norm.eps).sqrt())
            rows.append(torch.cat(groups) * norm.weight.view(-1, 1, 1, 1) + norm.bias.view(-1, 1, 1, 1))
        return torch.where(seen, torch.stack(rows), 0)

    to = (given, norm.weight, norm.bias)
    expected = torch.autograd.grad(written_out(), to, upstream)
    found = torch.autograd.grad(visible_group_norm(given, seen, norm), to, upstream)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)
