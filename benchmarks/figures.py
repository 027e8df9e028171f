"""The figures that are kept, and whose they are."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from benchmarks.tables import Table
from ssl_bench.errors import UserError
from ssl_bench.files import atomic_write
from ssl_bench.training.runtime import Runtime, provenance, usable_cores

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


Figures = dict[str, dict[str, Part]]
"""By machine, then by part."""


def read(path: Path | None) -> Figures:
    """What the file at `path` holds; nothing if there is no file. Raises UserError for a file of something else."""
    if path is None or not path.exists():
        return {}
    try:
        found: Figures = json.loads(path.read_text("utf-8"))
        _ = [part["identity"] for parts in found.values() for part in parts.values()]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: are not figures of parts by machine; name another file, or remove it") from error
    return found


def earlier(before: Path | None, machine: str, now: Mapping[str, Part]) -> dict[str, Part]:
    """The parts of `now`, which `machine` measured, in the file at `before`: other measurements on it."""
    return {
        name: part
        for name, part in read(before).get(machine, {}).items()
        if name in now
        and part != now[name]
        and part["quick"] == now[name]["quick"]
        and part["conditions"].get("threads") == now[name]["conditions"].get("threads")
    }


def keep(path: Path, machine: str, name: str, part: Part) -> None:
    """Put `part` in the place of an earlier one of the same machine in the file at `path`."""
    figures = read(path)
    figures.setdefault(machine, {})[name] = part
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


def machine_of(runtime: Runtime) -> str:
    """Processor and cores, and the GPU if `runtime` is on one: figures of two machines stand beside each other."""
    known = provenance(runtime, "float32")
    gpu = [] if runtime.device == "cpu" else [known["device"]]
    return ", ".join(map(str, (known["processor"], f"{usable_cores()} cores", *gpu)))


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
