"""The full-size Models Genesis file, written once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.hub_server import hub as hub

from .layouts import genesis_shapes, values


@pytest.fixture(scope="session")
def genesis_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as its training script writes it."""
    file = tmp_path_factory.mktemp("genesis") / "Genesis_Chest_CT.pt"
    state = {f"module.{name}": value for name, value in values(genesis_shapes()).items()}
    optimiser = {"state": {}, "param_groups": [{"lr": 1.0, "momentum": 0.9}]}
    torch.save({"epoch": 3, "state_dict": state, "optimizer_state_dict": optimiser}, file)
    return file
