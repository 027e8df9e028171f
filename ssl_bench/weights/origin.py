"""How the weights in a file were pre-trained, by the metadata that ssl-bench writes into it.

Metadata are text that anyone may have written: what makes no sense is refused, and nothing in them is run. A method
that they name is looked up among those that are installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from ssl_bench.api.registry import BACKBONES, METHODS
from ssl_bench.errors import UserError
from ssl_bench.spec.specification import Origin

KEY_ENTRY = "ssl_bench_key"
"""Holds the pre-training's key; its presence tells files of ssl-bench from others."""
SPEC_ENTRY = "ssl_bench_science"
ORIGIN_ENTRY = "ssl_bench_origin"


def read_origin(path: Path, metadata: Mapping[str, str]) -> Origin:
    """The origin that the metadata of the file `path` of ssl-bench state.

    Older files state none: they name the method, and what it pre-trains is known while it is installed. Raises
    UserError for a statement that makes no sense.
    """
    if ORIGIN_ENTRY not in metadata:
        return _origin_by_method(metadata.get(SPEC_ENTRY, ""))
    try:
        return Origin.model_validate_json(metadata[ORIGIN_ENTRY], strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        reason = ": ".join((*map(str, first["loc"]), first["msg"]))[:120]
        raise UserError(f"{path}: its metadata {ORIGIN_ENTRY} make no sense ({reason!r}); pre-train it anew") from error


class Made(NamedTuple):
    """Which network a file of ssl-bench says that it holds."""

    network: str
    width: int = 0
    channels: int = 1
    """Those of the volumes that it reads."""


def read_network(path: Path, metadata: Mapping[str, str]) -> Made:
    """The backbone that the metadata of the file `path` of ssl-bench state; the shared one where they state none.

    Raises UserError for a backbone that is not registered here.
    """
    try:
        spec = json.loads(metadata[SPEC_ENTRY])
        channels = int((spec.get("corpus") or {}).get("channels", 1))
        made = Made(str(spec["network"]), int(spec["width"]), channels)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return Made("unet3d")
    if made.network not in BACKBONES.names():
        raise UserError(f"{path}: holds the backbone {made.network[:40]!r}, which is not here; name it with --plugin")
    return made


def _origin_by_method(spec: str) -> Origin:
    """What the method in a file's `spec` pre-trains; of the corpus such a file is not asked."""
    try:
        method = json.loads(spec)["method"]
        return Origin(pretrains=METHODS.load(method).facts.pretrains) if method in METHODS.names() else Origin()
    except (ValueError, TypeError, KeyError, RecursionError, UserError):
        return Origin()


def with_trained_on(source: Path, target: Path, trained_on: tuple[str, ...]) -> None:
    """Write the safetensors file `source` of ssl-bench to `target`: the same tensors; its origin says `trained_on`."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(source, "pt") as opened:
        metadata = dict(opened.metadata() or {})
    origin = read_origin(source, metadata).model_copy(update={"trained_on": trained_on})
    save_file(load_file(source), target, metadata | {ORIGIN_ENTRY: origin.model_dump_json()})
