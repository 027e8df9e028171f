"""``python -m benchmarks``: measure, keep the figures as JSON, write the tables of docs/performance.md.

Each part runs in a process of its own and replaces its own figures when it ends. A part whose figures the file already
holds, from the same code, is not measured again unless --only names it: the same command goes on after anything.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.tables import Part, markdown, write_into
from benchmarks.timing import Options
from ssl_bench.engine.runtime import provenance, resolve_runtime, usable_cores
from ssl_bench.errors import UserError
from ssl_bench.files import atomic_write

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "performance.md"
FIGURES = ROOT / "benchmarks" / "figures.json"
PARTS = {
    "step": "step",
    "losses": "losses",
    "transforms": "transforms",
    "data": "data",
    "protocols": "protocols",
    "inference": "inference",
    "commands": "commands",
    "memory": "memory",
    "growth": "growth",
    "cost": "cost",
    "planning": "scripts",
    "report": "scripts",
    "prepare": "scripts",
    "scheduling": "scripts",
    "matrix": "matrix",
}
"""Parts in their order, and the module whose `measure` gives each one's tables."""
LONG = ("scheduling", "matrix")
"""Measured only when they are named."""


def main() -> int:
    options = _parsed()
    names = options.only or [name for name in PARTS if name not in LONG]
    if not options.here:
        return _each_in_a_process(names, options)
    (name,) = names
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # The profiler is talkative.
    part = _measured(name, options)
    if options.json:
        with atomic_write(options.json) as temporary:
            temporary.write_text(json.dumps(_read(options.json) | {name: part}, indent=1) + "\n", "utf-8")
    print(f"## {name}\n\n{markdown(part, _read(options.before).get(name))}\n", flush=True)
    return 0


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: proves that it runs, measures nothing")
    parser.add_argument("--only", type=_names, help=f"of {','.join(PARTS)}; {','.join(LONG)} runs only when named")
    parser.add_argument("--json", type=Path, help="where the figures are kept; default benchmarks/figures.json")
    parser.add_argument("--before", type=_figures, help="another commit's figures, to stand in front of the new ones")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="default: all cores")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N, for what runs on a device")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads < 1:
        parser.error("argument --threads: must be at least 1")
    if options.json is None and not options.quick:
        options.json = FIGURES
    return options


def _figures(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text}: no such file; name the figures.json of another commit")
    return Path(text)


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in PARTS:
            raise argparse.ArgumentTypeError(f"unknown part {name!r}; known: {', '.join(PARTS)}")
    return names


def _each_in_a_process(names: list[str], options: argparse.Namespace) -> int:
    identity, failed = _identity(options), []
    for name in names:
        kept = _read(options.json).get(name)
        if not options.only and kept and kept["identity"] == identity:
            print(f"{name}: measured already", file=sys.stderr)
            continue
        call = [sys.executable, "-m", "benchmarks", "--here", "--only", name, "--device", options.device]
        call += ["--quick"] if options.quick else []
        call += ["--threads", str(options.threads)]
        for option in ("json", "before"):
            given = getattr(options, option)
            call += [f"--{option}", str(given)] if given else []
        if subprocess.run(call, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    if not options.quick:
        write_into(DOCUMENT, _read(options.json), _read(options.before))
    return int(bool(failed))


def _measured(name: str, options: argparse.Namespace) -> Part:
    import torch

    runtime, identity = resolve_runtime(options.device, options.threads), _identity(options)
    torch.set_num_threads(runtime.threads)
    load, start = os.getloadavg()[0], time.perf_counter()
    measure = importlib.import_module(f"benchmarks.{PARTS[name]}").measure
    tables = measure(name, Options(options.quick, runtime.device, runtime.threads))
    known = provenance(runtime, "float32")
    conditions = {kept: known[kept] for kept in ("processor", "device", "threads", "commit", "created")} | {
        "torch": torch.__version__,
        "cores": usable_cores(),
        "load_before": load,
        "load_after": os.getloadavg()[0],
        "seconds": time.perf_counter() - start,
    }
    return {"quick": options.quick, "identity": identity, "conditions": conditions, "tables": tables}


def _read(path: Path | None) -> dict[str, Part]:
    found: dict[str, Part] = json.loads(path.read_text("utf-8")) if path and path.exists() else {}
    return found


def _identity(options: argparse.Namespace) -> str:
    """A digest of the code that is measured, of the code that measures, and of how it was asked to."""
    digest = hashlib.sha256(repr((options.quick, options.device, options.threads)).encode())
    for folder in ("ssl_bench", "methods", "tasks", "benchmarks"):
        for path in sorted([*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.toml")]):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"python -m benchmarks: {error}")
