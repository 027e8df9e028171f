"""Models Genesis' chest-CT network (Zhou et al., Medical Image Analysis 2021), as its training script writes it."""

from __future__ import annotations

from pathlib import Path

from ssl_bench.spec.contract import InputContract
from ssl_bench.weights.candidates import Candidate, candidate, prefixes
from ssl_bench.weights.network_tensors import tensors_of_backbone
from ssl_bench.weights.origin import Made
from ssl_bench.weights.release import Release
from ssl_bench.weights.tensors import Contents

GENESIS = Release(
    "Models Genesis",
    "models_genesis",
    "Arizona State University, non-commercial",
    # Cubes of 64 x 64 x 32, axial slices last. How the others lie is not described, and its values are brought to
    # their scale by the network itself.
    InputContract(patch=(64, 64, 32)),
    trained_on=("LUNA16",),
)
WIDTH = 64
"""Channels at full resolution of the released network."""
START = "down_tr64.ops.0.conv1.weight"


def read(path: Path, contents: Contents) -> list[Candidate]:
    """The networks of Models Genesis that begin in the file."""
    begun = [(state, prefix) for state in contents.states for prefix in prefixes(state, START)]
    wanted = tensors_of_backbone(path, Made(GENESIS.network, WIDTH)) if begun else {}
    return [candidate(GENESIS, WIDTH, 1, state, prefix, wanted) for state, prefix in begun]
