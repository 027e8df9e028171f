"""The linear probe: standardised features of every scale, one linear map, an average of heads."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ssl_bench.api.rng import seeded_initialisation
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.nn.losses import soft_dice_loss
from ssl_bench.protocols.frozen.ensemble import Standardise
from ssl_bench.protocols.frozen.probe import PooledLinear, PooledLinears, Probe, ScaleSums, centre


def probe(kind: str = "segmentation", heads: int = 3) -> Probe:
    with seeded_initialisation(0):
        return Probe(UNet3D(8), kind, 2, heads)  # type: ignore[arg-type]


def test_standardised_training_features_have_mean_zero_and_deviation_one() -> None:
    features = torch.randn(5, 3, 4, 6, 2) * torch.tensor([1.0, 1e-3, 50.0]).view(3, 1, 1, 1) + 7
    standardise = Standardise(3)
    standardise.fit(features)
    out = standardise(features).double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(out.mean(1), torch.zeros(3).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(out.std(1, correction=0), torch.ones(3).double(), atol=1e-3, rtol=0)


def test_a_channel_that_does_not_vary_stays_finite() -> None:
    standardise = Standardise(2)
    standardise.fit(torch.stack([torch.full((4, 3), 5.0), torch.randn(4, 3)], dim=1))
    assert standardise(torch.full((1, 2, 3), 5.0)).isfinite().all()
    assert standardise(torch.full((1, 2, 3), 5.0))[0, 0].abs().max() < 1e-5


def test_the_scale_and_offset_of_features_do_not_matter() -> None:
    one, two = probe().head, probe().head
    stages = [torch.randn(2, 8 * 2**level, *[16 // 2**level] * 3) for level in range(5)]
    scaled = [stage * 1000 + 3 for stage in stages]
    one.fit([[stage[[index]] for stage in stages] for index in range(2)])  # type: ignore[operator]
    two.fit([[stage[[index]] for stage in scaled] for index in range(2)])  # type: ignore[operator]
    torch.testing.assert_close(one(*stages), two(*scaled), atol=1e-3, rtol=1e-3)


def test_upsampling_logits_equals_upsampling_features_first() -> None:
    channels = (3, 4, 5)
    heads = ScaleSums(channels, 2, heads=2, strides=(1, 2, 4))
    stages = [torch.randn(2, count, *[8 // 2**level] * 3) for level, count in enumerate(channels)]
    features, weights = stages[2], [head.layers[2].weight for head in heads]
    for level in (1, 0):
        up = F.interpolate(features, scale_factor=2, mode="trilinear", align_corners=False)
        features = torch.cat([stages[level], up], dim=1)
        weights = [torch.cat([h.layers[level].weight, w], dim=1) for h, w in zip(heads, weights, strict=True)]
    expected = [F.conv3d(features, w, h.layers[0].bias) for h, w in zip(heads, weights, strict=True)]
    torch.testing.assert_close(heads(*stages), torch.cat(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(16, 16, 16), (20, 16, 18), (33, 17, 16)])
def test_logits_have_the_volumes_size_and_a_shift_of_the_stages_would_show(size: tuple[int, int, int]) -> None:
    model = probe(heads=2)
    volumes = torch.rand(2, 1, *size)
    assert model(volumes).shape == (2 * 2, 3, *size)
    assert model.probabilities(volumes).shape == (2, 3, *size)
    finest = model.features(volumes)[0]
    torch.testing.assert_close(finest, centre(model.backbone.stages(volumes)[0], size))


def test_probabilities_are_the_mean_over_the_heads() -> None:
    model = probe()
    volumes = torch.rand(2, 1, 16, 16, 16)
    by_head = model(volumes).softmax(1).view(3, 2, 3, 16, 16, 16)
    torch.testing.assert_close(model.probabilities(volumes), by_head.mean(0))
    assert not torch.allclose(by_head[0], by_head[1])
    torch.testing.assert_close(model.probabilities(volumes).sum(1), torch.ones(2, 16, 16, 16))


def test_a_classification_reads_every_pooled_stage() -> None:
    model = probe("classification")
    volumes = torch.rand(4, 1, 16, 16, 16)
    features = model.features(volumes)
    assert [feature.shape for feature in features] == [(4, 8 * 2**level) for level in range(5)]
    assert model(volumes).shape == (12,)
    assert model.probabilities(volumes).shape == (4,)
    head = model.head.heads[0]
    assert isinstance(head, PooledLinear)
    assert head.layer.in_features == sum((8, 16, 32, 64, 128))


def test_heads_of_a_classification_are_linear_in_all_pooled_stages_and_stacked_head_by_head() -> None:
    heads = PooledLinears((8, 16), 1, heads=3)
    fine, coarse = torch.randn(4, 8), torch.randn(4, 16)
    weights = heads.state_dict()
    expected = [
        fine @ weights[f"{head}.layer.weight"][0, :8]
        + coarse @ weights[f"{head}.layer.weight"][0, 8:]
        + weights[f"{head}.layer.bias"]
        for head in range(3)
    ]
    torch.testing.assert_close(heads(fine, coarse), torch.cat(expected))


def test_the_decoder_is_never_used() -> None:
    model = probe()
    volumes = torch.rand(1, 1, 16, 16, 16)
    before = model.probabilities(volumes)
    for module in (model.backbone.up1, model.backbone.up4):  # type: ignore[attr-defined]
        for parameter in module.parameters():
            parameter.data.fill_(float("nan"))
    assert torch.equal(model.probabilities(volumes), before)


def test_heads_learn_as_if_each_were_alone() -> None:
    """The mean of the heads' losses moves every head under Adam as its own loss would."""
    torch.manual_seed(0)
    together = probe(heads=2).double()  # Adam's first step is as long for a gradient of nearly nothing.
    single = ScaleSums((8, 16, 32, 64, 128), 3, heads=1, strides=(1, 2, 4, 8, 16)).double()
    single[0].load_state_dict(together.head.heads[1].state_dict())
    stages = [stage.detach() for stage in together.features(torch.rand(1, 1, 16, 16, 16, dtype=torch.float64))]
    labels = torch.randint(0, 3, (1, 16, 16, 16))
    optimiser = torch.optim.Adam(together.head.parameters(), 1e-2)
    soft_dice_loss(together.head(*stages), labels.repeat(2, 1, 1, 1)).backward()
    optimiser.step()
    optimiser = torch.optim.Adam(single.parameters(), 1e-2)
    soft_dice_loss(single(*[s(x) for s, x in zip(together.head.standardise, stages, strict=True)]), labels).backward()
    optimiser.step()
    for one, two in zip(together.head.heads[1].parameters(), single.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=2e-4, rtol=1e-2)
