"""Weights from a file: all of them fit, or nothing is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.errors import UserError
from ssl_bench.weights.loading import describe_external, load_weights


def saved(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return path


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    one, two = UNet3D(8), UNet3D(8)
    path = saved(tmp_path / "net.safetensors", one.state_dict())
    assert load_weights(two, path) == (72, 0, 0)
    assert all(torch.equal(one.state_dict()[name], value) for name, value in two.state_dict().items())
    assert describe_external(path).width == 8


def test_tensors_left_over_are_counted(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.safetensors", UNet3D(8).state_dict() | {"head.weight": torch.zeros(3)})
    assert load_weights(UNet3D(8), path) == (72, 0, 1)


def test_a_network_that_would_stay_untouched_in_part_is_refused(tmp_path: Path) -> None:
    state = UNet3D(8).state_dict()
    state.pop("up4.conv.double_conv.0.weight")
    path = saved(tmp_path / "net.safetensors", state)
    backbone = UNet3D(8)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(UserError, match="71 tensors matched, 1 missing, 0 left over of a 3D U-Net of width 8"):
        load_weights(backbone, path)
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())


@pytest.mark.parametrize("shape", [(12, 1, 3, 3, 3), (8, 1, 3, 3)])
def test_another_network_is_named(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = saved(tmp_path / "net.safetensors", {"inc.double_conv.0.weight": torch.zeros(shape)})
    with pytest.raises(UserError, match=r"net\.safetensors: holds no 3D U-Net"):
        describe_external(path)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.safetensors", UNet3D(8).state_dict())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a safetensors file"):
        load_weights(UNet3D(8), path)
