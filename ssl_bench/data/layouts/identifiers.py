"""What cases are called: names that are safe in files, tables and records."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def safe_identifiers(names: Sequence[str]) -> list[str]:
    """One identifier for each of the distinct `names`, in their order: letters, digits, ``.``, ``_`` and ``-`` only.

    Names that would share an identifier, even one that differs only in case, get a digest of the name behind it.
    """
    return _unique(names, names)


def scan_identifiers(paths: Sequence[Path], folder: Path) -> list[str]:
    """One identifier for each of the distinct scans below `folder`: ``a-b`` for ``a/b.nii.gz``."""
    relative = [path.relative_to(folder).as_posix() for path in paths]
    names = [text if path.is_dir() else without_suffix(text) for path, text in zip(paths, relative, strict=True)]
    return _unique([folder.resolve().name if name == "." else name for name in names], relative)


def without_suffix(name: str) -> str:
    """A file's name, or path, without its suffix."""
    return re.sub(r"\.[A-Za-z]+(\.gz)?$", "", name)


def safe_name(text: str) -> str:
    """`text` with everything but letters, digits, ``.``, ``_`` and ``-`` replaced by ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)


def _unique(names: Sequence[str], distinct: Sequence[str]) -> list[str]:
    safe = [safe_name(name) for name in names]
    taken = Counter(name.lower() for name in safe)
    return [
        short if taken[short.lower()] == 1 else f"{short}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        for short, text in zip(safe, distinct, strict=True)
    ]
