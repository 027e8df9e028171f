"""Swin UNETR (Tang et al., CVPR 2022) as MONAI has it: MONAI's own pre-training, and VoCo's (Wu et al., CVPR 2024).

* The whole network under MONAI's names, ``swinViT.``, ``encoder1.`` to ``decoder1.``: VoCo's releases.
* The Swin transformer alone, ``module.patch_embed.`` and so on, its perceptrons called ``fc1`` and ``fc2``: MONAI's
  release of 2022 (``model_swinvit.pt``).
* The Swin transformer alone as ``encoder.``, each of its stages a list of its own: MONAI's release of 2023.

Where the transformer comes alone, the convolutions behind it are the seed's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ssl_bench.spec.contract import InputContract
from ssl_bench.weights.candidates import Candidate, candidate, prefixes
from ssl_bench.weights.network_tensors import tensors_of_library
from ssl_bench.weights.release import Release
from ssl_bench.weights.tensors import Contents, State

SWIN = Release(
    "Swin UNETR",
    "swinunetr",
    "as its repository says (MONAI's releases: Apache-2.0)",
    # Orientationd("RAS"), 1.5 x 1.5 x 2 mm, -175 to 250 HU, windows of 96: the published recipes of both.
    InputContract(
        axes="RAS", spacing_mm=(1.5, 1.5, 2.0), intensity="window", window_hu=(-175.0, 250.0), patch=(96, 96, 96)
    ),
)
START = "patch_embed.proj.weight"
TRANSFORMER = "swinViT."


def read(path: Path, contents: Contents) -> list[Candidate]:
    """The networks of Swin UNETR, or Swin transformers alone, that begin in the file."""
    found = []
    for state in contents.states:
        for prefix in prefixes(state, START):
            first = state.tensors[prefix + START]
            if first.dim() != 5 or 0 in first.shape:
                continue
            renamed = State(state.place, dict(_by_monais_names(state.tensors, prefix)))
            before = prefix.removesuffix(TRANSFORMER)
            wanted = swinunetr_tensors(path, first.shape[0], first.shape[1], _has_convolutions(renamed))
            encoder = frozenset(name for name in wanted if name.startswith(TRANSFORMER))
            found.append(candidate(SWIN, first.shape[0], first.shape[1], renamed, before, wanted, encoder))
    return found


def swinunetr_tensors(path: Path, width: int, channels: int, convolutions: bool) -> dict[str, Tensor]:
    """The tensors of MONAI's Swin UNETR but for its last layer; with a convolution before every stage or without.

    This names the backbone: where `SWIN.network` is registered under these names, its own tensors may stand here.
    """
    from monai.networks.nets import SwinUNETR

    tensors = tensors_of_library(path, "Swin UNETR", SwinUNETR, channels, 1, feature_size=width, use_v2=convolutions)
    return {name: value for name, value in tensors.items() if not name.startswith("out.")}


def _by_monais_names(tensors: dict[str, Tensor], prefix: str) -> Iterator[tuple[str, Tensor]]:
    """All tensors; those of the transformer that begins after `prefix` as MONAI calls them."""
    before = prefix.removesuffix(TRANSFORMER)
    for name, value in tensors.items():
        if not name.startswith(prefix):
            yield name, value
            continue
        inner = name.removeprefix(prefix).replace(".mlp.fc", ".mlp.linear")
        # layers1.0.0.blocks: a list within the list of a stage.
        inner = re.sub(r"^(layers\d)\.0\.0\.", r"\1.0.", inner)
        yield f"{before}{TRANSFORMER}{inner}", value


def _has_convolutions(state: State) -> bool:
    """Whether it is MONAI's second version, with a convolution before every stage of the transformer."""
    return any(".layers1c." in name for name in state.tensors)
