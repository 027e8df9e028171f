"""The paper's downstream heads."""

from __future__ import annotations

import pytest

from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.nn.heads import PaperDownstream


@pytest.mark.parametrize(("classes", "parameters"), [(7, 6_920), (1, 1_730), (28, 25_085)])
def test_the_segmentation_head_is_one_3x3x3_convolution_of_the_published_size(classes: int, parameters: int) -> None:
    head = PaperDownstream(UNet3D(32), "segmentation", classes).head
    assert sum(parameter.numel() for parameter in head.parameters()) == parameters
