"""The paper's downstream heads."""

from __future__ import annotations

import pytest

from ssl_bench.backbone import UNet3D
from ssl_bench.heads import Downstream


@pytest.mark.parametrize(("classes", "parameters"), [(7, 6_920), (1, 1_730), (28, 25_085)])
def test_the_segmentation_head_is_one_3x3x3_convolution_of_the_published_size(classes: int, parameters: int) -> None:
    head = Downstream(UNet3D(32), "segmentation", classes).head
    assert sum(parameter.numel() for parameter in head.parameters()) == parameters
