"""The figures that are kept, and whose they are."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from benchmarks.tables import Table
from ssl_bench.engine.runtime import Runtime, provenance, usable_cores
from ssl_bench.errors import UserError
from ssl_bench.files import atomic_write

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "benchmarks" / "figures.json"
MEASURED = ("ssl_bench", "methods", "tasks", "benchmarks", "results/published", "results/reference")
"""Folders with what is measured, what measures, and what is read meanwhile."""


class Part(TypedDict):
    """What is kept of one part."""

    quick: bool
    identity: str
    conditions: dict[str, Any]
    tables: list[Table]


def read(path: Path | None) -> dict[str, Part]:
    """The parts in the file at `path`; none if there is no file. Raises UserError for a file of something else."""
    if path is None or not path.exists():
        return {}
    try:
        found: dict[str, Part] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: is not JSON; name another file, or remove it") from error
    return found


def earlier(before: Path | None, now: Mapping[str, Part]) -> dict[str, Part]:
    """The parts of `now` in the file at `before`: other measurements on the same machine."""
    machine = ("processor", "cores", "device", "threads")
    return {
        name: part
        for name, part in read(before).items()
        if name in now
        and part != now[name]
        and part["quick"] == now[name]["quick"]
        and all(part["conditions"].get(each) == now[name]["conditions"].get(each) for each in machine)
    }


def keep(path: Path, name: str, part: Part) -> None:
    """Put `part` in the place of an earlier one in the file at `path`."""
    parts = read(path) | {name: part}
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(parts, indent=1) + "\n", "utf-8")


def identity(runtime: Runtime, quick: bool, root: Path = ROOT) -> str:
    """A digest of every file that may change a figure, of the machine and its libraries, and of the options."""
    known = provenance(runtime, "float32")
    machine = [known[name] for name in ("processor", "device", "versions")]
    digest = hashlib.sha256(repr((quick, runtime.device, runtime.threads, usable_cores(), machine)).encode())
    for folder in MEASURED:
        for path in sorted((root / folder).rglob("*")):
            made = "__pycache__" in path.parts or path.name == FIGURES.name
            if path.is_file() and not made:
                digest.update(f"{path.relative_to(root)} {path.stat().st_size} ".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def commit(root: Path = ROOT) -> str:
    """Of the checkout; with ``+changes`` if a file that may change a figure is not as committed.

    The document and the figures themselves change between two parts and do not count.
    """
    git = ["git", "-C", str(root)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
    status = [*git, "status", "--porcelain", "--", *MEASURED, ":(exclude)benchmarks/figures.json"]
    changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    return head.stdout.strip() + ("+changes" if changed else "")
