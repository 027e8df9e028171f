"""The paper's downstream heads."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.nn.heads import PaperDownstream


@pytest.mark.parametrize(("classes", "parameters"), [(7, 6_920), (1, 1_730), (28, 25_085)])
def test_the_segmentation_head_is_one_3x3x3_convolution_of_the_published_size(classes: int, parameters: int) -> None:
    head = PaperDownstream(UNet3D(32), "segmentation", classes).head
    assert sum(parameter.numel() for parameter in head.parameters()) == parameters


def test_a_segmentation_is_that_convolution_of_the_local_features() -> None:
    model, volumes = PaperDownstream(UNet3D(8), "segmentation", 2), torch.rand(2, 1, 16, 20, 16)
    weights = model.head.state_dict()
    expected = F.conv3d(model.backbone(volumes).local, weights["weight"], weights["bias"], padding=1)
    torch.testing.assert_close(model(volumes), expected)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_classification_is_linear_in_the_mean_over_the_encoders_voxels(precision: torch.dtype) -> None:
    """Averages and the linear layer are of float32, whatever the encoder computes in."""
    model, volumes = PaperDownstream(UNet3D(8), "classification", 1), torch.rand(3, 1, 32, 16, 16)
    weights = model.head.state_dict()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        features, pooled, logits = model.backbone.encode(volumes), model.backbone.pool(volumes), model(volumes)
    assert (features.dtype, pooled.dtype, logits.dtype) == (precision, torch.float32, torch.float32)
    means = features.double().flatten(2).mean(2)
    torch.testing.assert_close(pooled.double(), means, atol=1e-6, rtol=1e-5)
    expected = means @ weights["0.weight"][0].double() + weights["0.bias"].double()
    torch.testing.assert_close(logits.double(), expected, atol=1e-6, rtol=1e-5)
