"""Weights for one channel in a network for several, through the whole network and through a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ssl_bench.api.registry import BACKBONES
from ssl_bench.api.rng import seeded_initialisation
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.errors import UserError
from ssl_bench.nn.heads import PaperDownstream
from ssl_bench.weights.loading import build_external, describe_external, load_weights
from ssl_bench.weights.released import read_weights
from ssl_bench.weights.stem import entering, wrong_stem

KERNEL = "inc.double_conv.0.weight"


def network(channels: int, seed: int = 0) -> UNet3D:
    with seeded_initialisation(seed):
        return UNet3D(8, channels)


def volumes(channels: int = 1) -> Tensor:
    return torch.rand(2, channels, 32, 24, 16, generator=torch.Generator().manual_seed(0))


def saved(path: Path, backbone: UNet3D) -> Path:
    save_file(backbone.state_dict(), path)
    return path


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_on_equal_channels_copied_weights_give_the_logits_of_one_channel(kind: str, tmp_path: Path) -> None:
    one, four = network(1), network(4, seed=1)
    assert load_weights(four, saved(tmp_path / "one.safetensors", one), stem="copy") == (72, 0, 0)
    heads = [PaperDownstream(backbone, kind, 3) for backbone in (one, four)]  # type: ignore[arg-type]
    heads[1].head.load_state_dict(heads[0].head.state_dict())
    with torch.no_grad():
        logits, copied = heads[0](volumes()), heads[1](volumes().expand(-1, 4, -1, -1, -1))
        assert (heads[1](volumes(4)) - logits).abs().max() > 1e-3
    torch.testing.assert_close(copied, logits, atol=1e-5, rtol=0)


def test_copied_kernels_are_the_one_divided_by_the_channels() -> None:
    one, four = network(1).state_dict(), network(4, seed=1).state_dict()
    entered = entering(one, four, "copy")
    torch.testing.assert_close(entered[KERNEL], one[KERNEL].repeat(1, 4, 1, 1, 1) / 4, atol=0, rtol=0)
    assert all(torch.equal(entered[name], value) for name, value in one.items() if name != KERNEL)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_the_mean_of_several_channels_gives_what_they_gave_on_equal_ones(channels: int) -> None:
    three, other = network(3), network(channels, seed=1)
    other.load_state_dict(entering(three.state_dict(), other.state_dict(), "mean"))
    kernel = three.state_dict()[KERNEL].mean(dim=1) * 3 / channels
    torch.testing.assert_close(other.state_dict()[KERNEL], kernel.unsqueeze(1).expand(-1, channels, -1, -1, -1))
    with torch.no_grad():
        found = other(volumes().expand(-1, channels, -1, -1, -1)).local
        torch.testing.assert_close(found, three(volumes().expand(-1, 3, -1, -1, -1)).local, atol=1e-4, rtol=0)


def test_a_new_stem_is_the_seeds_own_and_everything_else_pretrained(tmp_path: Path) -> None:
    one, four = network(1), network(4, seed=1)
    start = {name: value.clone() for name, value in four.state_dict().items()}
    assert load_weights(four, saved(tmp_path / "one.safetensors", one), stem="new") == (71, 1, 1)
    for name, value in four.state_dict().items():
        assert torch.equal(value, start[name] if name == KERNEL else one.state_dict()[name]), name


def test_the_network_of_models_genesis_takes_copies_too() -> None:
    genesis = BACKBONES.load("models_genesis")
    one, three = genesis(8), genesis.reading(3, 8)
    three.load_state_dict(entering(one.state_dict(), three.state_dict(), "copy"))
    with torch.no_grad():
        found = three(volumes().expand(-1, 3, -1, -1, -1)).local
        torch.testing.assert_close(found, one(volumes()).local, atol=1e-4, rtol=0)


def test_a_file_says_how_many_channels_it_reads_and_enters_a_network_of_others(tmp_path: Path) -> None:
    path = saved(tmp_path / "three.safetensors", network(3))
    assert read_weights(path).channels == 3
    external = describe_external(path)
    assert external.channels == 3
    assert build_external(external, path)[0].channels_in == 3
    one = build_external(external, path, 1, "mean")[0]
    torch.testing.assert_close(one.state_dict()[KERNEL], network(3).state_dict()[KERNEL].sum(dim=1, keepdim=True))
    drawn = [build_external(external, path, 1, "new", seed)[0].state_dict()[KERNEL] for seed in (4, 4, 5)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    with pytest.raises(UserError, match=r"three\.safetensors: reads 3 channels, not 1; plan its cells anew"):
        build_external(external, path, 1)


def test_a_spec_of_one_channel_says_nothing_of_channels(tmp_path: Path) -> None:
    external = describe_external(saved(tmp_path / "one.safetensors", network(1)))
    assert "channels" not in external.model_dump(exclude_defaults=True)


@pytest.mark.parametrize(
    ("stem", "channels", "said"),
    [
        ("", 1, "say how they enter with --stem copy or --stem new"),
        ("", 3, "say how they enter with --stem mean or --stem new"),
        ("copy", 3, "--stem copy copies one channel; use --stem mean or --stem new"),
        ("mean", 1, "--stem mean averages several channels; use --stem copy or --stem new"),
        ("copy", 1, ""),
        ("mean", 3, ""),
        ("new", 1, ""),
        ("new", 3, ""),
    ],
)
def test_what_a_stem_cannot_do_is_said_with_what_can(stem: str, channels: int, said: str) -> None:
    assert wrong_stem(stem, channels) == said  # type: ignore[arg-type]


def test_a_backbone_that_reads_one_channel_refuses_several() -> None:
    class OneChannel(UNet3D):
        def __init__(self, width: int) -> None:
            super().__init__(width)

    assert OneChannel.reading(1, 8).channels_in == 1
    with pytest.raises(UserError, match="reads one channel and the volumes have 2"):
        OneChannel.reading(2, 8)
