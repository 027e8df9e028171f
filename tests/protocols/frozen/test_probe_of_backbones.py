"""What the probe reads of networks whose stages do not begin at full resolution, or do not halve."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ssl_bench.api.registry import BACKBONES
from ssl_bench.api.rng import seeded_initialisation
from ssl_bench.protocols.frozen.features import Storage
from ssl_bench.protocols.frozen.probe import Probe, centre


def probe(backbone: str, kind: str = "segmentation") -> Probe:
    with seeded_initialisation(0):
        return Probe(BACKBONES.load(backbone).reading(1, 8), kind, 2, heads=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(16, 16, 24), (20, 17, 24)])
def test_of_tokens_the_logits_are_upsampled_to_the_volume(size: tuple[int, int, int]) -> None:
    model, volumes = probe("primus"), torch.rand(2, 1, *size)
    features = model.features(volumes)
    assert [feature.shape[1] for feature in features] == [0, 96, 96, 96, 96]
    assert features[0].shape == (2, 0, *size)
    expected = []
    for head in model.head.heads:  # type: ignore[union-attr]
        _, *layers = head.layers
        logits = sum(F.conv3d(stage, layer.weight) for stage, layer in zip(features[1:], layers, strict=True))
        upsampled = F.interpolate(logits, scale_factor=8, mode="trilinear")  # type: ignore[arg-type]
        expected.append(centre(upsampled, size) + head.layers[0].bias.view(1, -1, 1, 1, 1))
    torch.testing.assert_close(model(volumes), torch.cat(expected), atol=1e-4, rtol=1e-4)


def test_the_head_on_tokens_is_fitted_to_windows_of_which_the_finest_stage_has_no_channels() -> None:
    model = probe("primus")
    with torch.no_grad():
        windows = [model.features(torch.rand(1, 1, 16, 16, 16)) for _ in range(2)]
    model.head.fit(windows)  # type: ignore[union-attr,operator]
    _, coarse = model.head.standardise[:2]  # type: ignore[union-attr,index]
    tokens = torch.stack([window[1][0].flatten(1) for window in windows]).double()
    torch.testing.assert_close(coarse.mean, tokens.mean((0, 2)).float())
    torch.testing.assert_close(coarse.deviation, tokens.transpose(0, 1).flatten(1).std(1, correction=0).float())


@pytest.mark.parametrize("limit", [0, 2**20])
def test_what_has_no_channels_is_kept(limit: int) -> None:
    nothing = torch.empty(1, 0, 4, 3, 2)
    assert Storage(limit).keep(nothing).shape == nothing.shape


def test_of_swinunetr_the_volume_itself_is_the_finest_stage() -> None:
    model, volumes = probe("swinunetr"), torch.rand(1, 1, 32, 20, 32)
    features = model.features(volumes)
    assert [feature.shape[1] for feature in features] == [1, 24, 48, 96, 192, 384]
    torch.testing.assert_close(features[0], volumes)
    assert model(volumes).shape == (2, 3, 32, 20, 32)


def test_of_volumes_every_stage_of_tokens_is_pooled() -> None:
    model, volumes = probe("primus", "classification"), torch.rand(2, 1, 16, 16, 16)
    assert [feature.shape for feature in model.features(volumes)] == [(2, 96)] * 4
    assert model.probabilities(volumes).shape == (2,)
