"""The paper's heads on standardised features: several computed as one, on a scale of their own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ssl_bench.api.downstream import Kind
from ssl_bench.api.rng import seeded_initialisation
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.nn.heads import PaperDownstream
from ssl_bench.protocols.frozen.ensemble import Ensemble
from ssl_bench.protocols.frozen.local import ConvolutionHeads, StandardisedDownstream

VOLUMES = torch.rand(2, 1, 20, 16, 16, generator=torch.Generator().manual_seed(0))


def built(kind: Kind = "segmentation", heads: int = 3) -> StandardisedDownstream:
    with seeded_initialisation(0):
        return StandardisedDownstream(UNet3D(8), kind, 2, heads)


def fitted(model: StandardisedDownstream, scale: float = 1.0) -> tuple[Ensemble, torch.Tensor]:
    """The head of `model`, standardised by scaled features, and those features."""
    (features,) = (scale * feature.detach() + 7 * (scale - 1) for feature in model.features(VOLUMES))
    head = model.head
    assert isinstance(head, Ensemble)
    head.fit([[features[[index]]] for index in range(2)])
    return head, features


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_it_reads_what_the_papers_head_reads(kind: Kind) -> None:
    model = built(kind)
    (found,), (expected,) = model.features(VOLUMES), PaperDownstream(model.backbone, kind, 2).features(VOLUMES)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_the_scale_and_offset_of_the_backbones_features_do_not_matter(kind: Kind) -> None:
    (one, features), (two, scaled) = fitted(built(kind)), fitted(built(kind), scale=1000)
    torch.testing.assert_close(one(features), two(scaled), atol=2e-3, rtol=1e-3)


def test_its_heads_are_convolutions_of_their_own_whose_probabilities_are_averaged() -> None:
    model = built()
    head, features = fitted(model)
    heads, standardise = head.heads, head.standardise[0]
    assert isinstance(heads, ConvolutionHeads)
    weights, biases = heads.convolution.weight.split(3), heads.convolution.bias.split(3)  # type: ignore[union-attr]
    parts = zip(weights, biases, strict=True)
    expected = [F.conv3d(standardise(features), *part, padding=1).softmax(1) for part in parts]
    assert len(expected) == 3
    torch.testing.assert_close(model.read((features,)), torch.stack(expected).mean(0), atol=1e-5, rtol=1e-5)
    assert not torch.equal(expected[0], expected[1])


def test_logits_of_one_head_lie_together() -> None:
    heads = ConvolutionHeads(4, 3, heads=3)
    features = torch.rand(2, 4, 5, 4, 3)
    logits = heads(features)
    assert logits.shape == (6, 3, 5, 4, 3)
    torch.testing.assert_close(logits[2:4], heads.convolution(features)[:, 3:6])
