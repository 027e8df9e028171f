"""Files of weights as named tensors, without running anything that a file may hold."""

from __future__ import annotations

import hashlib
import io
import json
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ssl_bench.errors import UserError

WRAPPERS = ("state_dict", "model_state_dict", "network_weights", "model", "network", "net", "weights")
"""Entries of a checkpoint under which trainers keep the weights, in the order in which they are looked for."""
DEEPEST = 4
"""Wrappers within wrappers that are opened: a pickle may hold itself."""


class Contents(NamedTuple):
    """What a file of weights holds."""

    tensors: dict[str, Tensor]
    """Tensors by name, on the CPU, as they lie in the file."""
    metadata: dict[str, str]
    """The metadata of a safetensors file; empty for a torch file."""
    sha256: str


def read(path: Path) -> Contents:
    """The named tensors of a safetensors file, or of whatever `torch.load` reads as plain tensors.

    What a file is follows from its first bytes, not from its name. Raises UserError, naming the file, if it does not
    read, asks for code, or holds no named tensors.
    """
    data = _bytes(path)
    metadata: dict[str, str] = {}
    try:
        if data[8:9] == b"{":
            content = _load_safetensors(data)
            metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
        else:
            content = _load_torch(data)
    except Exception as error:  # A broken file makes the libraries raise nearly anything.
        if wanted := _code_wanted(data, error):
            raise UserError(
                f"{path}: asks for {wanted} and is not opened, since it may run code; save the plain tensors alone, "
                "torch.save(network.state_dict(), FILE)"
            ) from error
        said = str(error).rpartition("WeightsUnpickler error:")[2].strip() or type(error).__name__
        reason = said.splitlines()[0][:100]
        raise UserError(f"{path}: not a safetensors file or torch file that reads whole ({reason})") from error
    return Contents(_named_tensors(path, content), metadata, hashlib.sha256(data).hexdigest())


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; give a file of weights")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if not data:
        raise UserError(f"{path}: is empty; give a file of weights")
    return data


def _load_safetensors(data: bytes) -> dict[str, Tensor]:
    from safetensors.torch import load

    return load(data)


def _load_torch(data: bytes) -> Any:
    with warnings.catch_warnings():
        # About the kind of a file that is refused anyway.
        warnings.simplefilter("ignore")
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _code_wanted(data: bytes, error: Exception) -> str | None:
    """The function or class that made torch refuse a pickle, by name; None if it was something else."""
    if named := re.search(r"\bGLOBAL (\S+)", str(error)):
        return named[1]
    # Newer pickle protocols name it by an operation that torch's restricted reader does not know.
    if "Unsupported operand" not in str(error):
        return None
    words: list[str] = []
    try:
        for operation, argument, _ in pickletools.genops(_pickle_in(data)):
            if operation.name == "STACK_GLOBAL":
                return ".".join(words[-2:])
            if isinstance(argument, str):
                words.append(argument)
    except (ValueError, OSError, KeyError, StopIteration, zipfile.BadZipFile):
        pass
    return None


def _pickle_in(data: bytes) -> bytes:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))


def _named_tensors(path: Path, content: object) -> dict[str, Tensor]:
    content = _unwrapped(content, DEEPEST)
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds one {type(content).__name__}; give tensors by name, a state_dict")
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{path}: holds no tensors by name, only {listed(content)}; give a state_dict")
    return tensors


def _unwrapped(content: object, depth: int) -> object:
    if depth and isinstance(content, dict):
        for name in WRAPPERS:
            if isinstance(content.get(name), dict):
                return _unwrapped(content[name], depth - 1)
    return content


def listed(names: Iterable[object], limit: int = 12) -> str:
    """The first of some names that a file chose: sorted, each once, printable and short; ``nothing`` for none."""
    clean = sorted({"".join(c for c in str(name)[:40] if c.isprintable()) for name in names})
    more = f" and {len(clean) - limit} more" if len(clean) > limit else ""
    return ", ".join(clean[:limit]) + more or "nothing"
