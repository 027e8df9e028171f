"""The file of a pre-trained backbone: whether it is whole, and what it holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def tensors_digest(path: Path) -> str:
    """SHA-256 of the bytes of all tensors in a safetensors file, as hexadecimal digits.

    The metadata is left out: its order differs from one writing to the next. Raises OSError for a file that cannot be
    read, ValueError for one that is truncated or no safetensors file.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 + length:
            raise ValueError(f"{path}: truncated")
        header = json.loads(file.read(length))
        try:
            end = max(tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__")
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"{path}: no safetensors file") from error
        if size != 8 + length + end:
            raise ValueError(f"{path}: truncated")
        return hashlib.file_digest(file, "sha256").hexdigest()
