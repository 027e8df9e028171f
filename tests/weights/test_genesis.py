"""The Models Genesis network: its file fits, and it computes what its description says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from ssl_bench.backbones.models_genesis import ModelsGenesis, to_genesis_scale
from ssl_bench.nn.heads import PaperDownstream
from ssl_bench.spec.specification import ExternalBackbone
from ssl_bench.weights.loading import build_external, describe_external

from . import formulas
from .layouts import genesis_shapes

SHAPE = (16, 20, 18)


@pytest.fixture(scope="module")
def network(genesis_file: Path) -> ModelsGenesis:
    network, _, _ = build_external(describe_external(genesis_file), genesis_file)
    assert isinstance(network, ModelsGenesis)
    return network.eval()


def volumes(batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 1, *SHAPE, generator=torch.Generator().manual_seed(2))


def test_names_shapes_and_size_are_the_files() -> None:
    with torch.device("meta"):
        network = ModelsGenesis()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(shapes) == 106
    assert shapes == genesis_shapes()
    assert sum(parameter.numel() for parameter in network.parameters()) == 19_073_665


def test_the_file_fits_whole(genesis_file: Path, network: ModelsGenesis) -> None:
    external = describe_external(genesis_file)
    assert (external.network, external.width) == ("models_genesis", 64)
    _, match, licence = build_external(external, genesis_file)
    assert match == (106, 0, 0)
    assert "non-commercial" in licence
    state = torch.load(genesis_file, weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[f"module.{name}"]) for name, value in network.state_dict().items())


@torch.no_grad()
def test_every_stage_agrees_with_the_formulas_in_float64(genesis_file: Path, network: ModelsGenesis) -> None:
    state = torch.load(genesis_file, weights_only=True)["state_dict"]
    weights = {name.removeprefix("module."): value.double().numpy() for name, value in state.items()}
    image = volumes()
    units = np.clip(image[0].double().numpy() * 2048 - 1024, -1000, 1000)
    stages, local = formulas.genesis((units + 1000) / 2000, weights)
    ours = network.stages(image)
    assert [stage.shape[1] for stage in ours] == [64, 128, 256, 512] == list(network.stage_channels)
    for stage, expected in zip(ours, stages, strict=True):
        np.testing.assert_allclose(stage[0].double().numpy(), expected, rtol=0, atol=1e-4)
    features = network(image)
    np.testing.assert_allclose(features.global_[0].double().numpy(), stages[-1], rtol=0, atol=1e-4)
    np.testing.assert_allclose(features.local[0].double().numpy(), local, rtol=0, atol=1e-4)
    assert torch.equal(network.encode(image), features.global_)
    assert torch.equal(network.pool(image), features.global_.mean(dim=(2, 3, 4)))


def test_padding_is_cropped_from_local_features_alone(network: ModelsGenesis) -> None:
    with torch.no_grad():
        features = network(volumes(2))
    assert features.global_.shape == (2, network.global_channels, 2, 3, 3)
    assert features.local.shape == (2, network.local_channels, *SHAPE)


def test_hounsfield_units_reach_the_network_in_its_own_scale() -> None:
    units = torch.tensor([-1024.0, -1000.0, -500.0, 0.0, 1000.0, 1024.0])
    torch.testing.assert_close(
        to_genesis_scale((units + 1024) / 2048), torch.tensor([0.0, 0.0, 0.25, 0.5, 1.0, 1.0]), rtol=0, atol=1e-6
    )


@torch.no_grad()
@pytest.mark.parametrize(("modality", "equal"), [("CT", False), ("MR", True)])
def test_mr_volumes_pass_unchanged(network: ModelsGenesis, modality: Literal["CT", "MR"], equal: bool) -> None:
    other = ModelsGenesis()
    other.modality = modality
    other.load_state_dict(network.state_dict())
    unscaled = other.down_tr64(other.pad(volumes()))
    assert torch.allclose(other.stages(volumes())[0], unscaled) == equal


@torch.no_grad()
def test_normalisation_is_by_the_batch_and_never_by_running_statistics(network: ModelsGenesis) -> None:
    image = volumes(2)
    before = {name: value.clone() for name, value in network.named_buffers()}
    in_evaluation = network.encode(image)
    torch.testing.assert_close(network.train().encode(image), in_evaluation)
    network.eval()
    assert all(torch.equal(before[name], value) for name, value in network.named_buffers())
    assert not torch.allclose(network.encode(image[:1]), in_evaluation[:1], atol=1e-3)


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_it_learns_under_a_head(kind: Literal["segmentation", "classification"], network: ModelsGenesis) -> None:
    model = PaperDownstream(network, kind, classes=2)
    logits = model(volumes())
    assert logits.shape == ((1, 3, *SHAPE) if kind == "segmentation" else (1,))
    network.zero_grad()
    logits.float().square().mean().backward()
    used = [name for name, parameter in network.named_parameters() if parameter.grad is not None]
    parts = {name.partition(".")[0] for name in used}
    decoder = set(network.decoder_modules) if kind == "segmentation" else set()
    assert parts == set(network.encoder_modules) | decoder


def test_a_key_without_a_network_stays_what_it_was() -> None:
    """`network` came later than the first records."""
    assert ExternalBackbone(name="n", sha256="0", width=8).model_dump(exclude_defaults=True) == {
        "name": "n",
        "sha256": "0",
        "width": 8,
    }
