"""Swin UNETR (Tang et al., CVPR 2022) as MONAI has it: MONAI's own pre-training, and VoCo's (Wu et al., CVPR 2024).

* The whole network under MONAI's names, ``swinViT.``, ``encoder1.`` to ``decoder1.``: VoCo's releases.
* The Swin transformer alone, ``module.patch_embed.`` and so on, its perceptrons called ``fc1`` and ``fc2``: MONAI's
  release of 2022 (``model_swinvit.pt``).
* The Swin transformer alone as ``encoder.``, each of its stages a list of its own: MONAI's release of 2023.

Where the transformer comes alone, the convolutions behind it are the seed's.
"""

from __future__ import annotations

import re
from pathlib import Path

from ssl_bench.spec.contract import InputContract
from ssl_bench.weights.candidates import Candidate, candidate, prefixes
from ssl_bench.weights.network_tensors import tensors_of_backbone
from ssl_bench.weights.origin import Made
from ssl_bench.weights.release import Release
from ssl_bench.weights.tensors import Contents, State

TRANSFORMER = Release(
    "Swin transformer of MONAI's Swin UNETR",
    "swinunetr",
    "as its repository says (MONAI's own: Apache-2.0)",
    # The options of MONAI's pre-training by default.
    InputContract(
        axes="RAS", spacing_mm=(1.5, 1.5, 2.0), intensity="window", window_hu=(-1000.0, 1000.0), patch=(96, 96, 96)
    ),
)
WHOLE = Release(
    "Swin UNETR, as VoCo's",
    "swinunetr",
    "as its repository says",
    # VoCo's pre-training, of crops of 64.
    InputContract(
        axes="RAS", spacing_mm=(1.5, 1.5, 1.5), intensity="window", window_hu=(-175.0, 250.0), patch=(64, 64, 64)
    ),
)
SECOND = "swinunetr_v2"
"""The backbone with a convolution before each stage of the transformer."""
START = "patch_embed.proj.weight"


def read(path: Path, contents: Contents) -> list[Candidate]:
    """The networks of Swin UNETR, or Swin transformers alone, that begin in the file."""
    found = []
    for state in contents.states:
        for prefix in prefixes(state, START):
            first = state.tensors[prefix + START]
            if first.dim() != 5 or 0 in first.shape:
                continue
            # The convolutions behind the transformer lie beside it, and not within.
            before = prefix.removesuffix("swinViT.")
            second = any(name.startswith(f"{prefix}layers1c.") for name in state.tensors)
            renamed = {_ours(name, prefix, before, second): value for name, value in state.tensors.items()}
            made = Made(SECOND if second else WHOLE.network, first.shape[0], first.shape[1])
            wanted = tensors_of_backbone(path, made)
            encoder = frozenset(name for name in wanted if name.startswith(("patch_embed.", "layers")))
            networks = State(state.place, renamed)
            one = candidate(WHOLE, made.width, made.channels, networks, before, wanted, encoder)
            release = TRANSFORMER if one.missing else WHOLE
            found.append(one._replace(release=release._replace(network=made.network)))
    return found


def _ours(name: str, prefix: str, before: str, second: bool) -> str:
    """What a tensor is called here, after what lies `before` the network; the transformer begins after `prefix`."""
    if not name.startswith(prefix):
        return name
    inner = name.removeprefix(prefix).replace(".mlp.fc", ".mlp.linear")
    # A stage is a list of one, in one release a list of such a list; in the second version its convolution comes first.
    inner = re.sub(r"^(layers\d)\.0\.(0\.)?", r"\1.1." if second else r"\1.", inner)
    return before + re.sub(r"^(layers\d)c\.0\.", r"\1.0.", inner)
