"""``python -m benchmarks``: measure, keep the figures as JSON, write docs/figures.md and the tables of
docs/performance.md.

Each part runs in a process of its own, and its figures are kept when it ends. A part whose figures the file already
holds, of the same code, machine and options, is not measured again without --again: the same command goes on after
anything. What another machine measured stays beside it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.documents import COMPARISONS, write_documents
from benchmarks.figures import FIGURES, Part, commit, earlier, identity, keep, machine_of, read
from benchmarks.matrix import MATRICES
from benchmarks.tables import markdown, table
from benchmarks.timing import Options
from ssl_bench.errors import UserError
from ssl_bench.training.runtime import Runtime, provenance, resolve_runtime, usable_cores

COMMANDS = ("commands", "planning", "report", "page", "prepare", *MATRICES)
"""Parts that measure commands on the processor, with threads of their own: no --device and no --threads is for them."""
PARTS = (
    *("step", "resources", "backbones", "losses", "transforms", "data", "protocols", "inference", "memory"),
    *("growth", "cost", "scheduling"),
    *COMMANDS,
    "peers",
)
"""Each a module with `measure`, and the runs of the module `matrix`."""
LONG = (*MATRICES, "peers")
"""Measured only when they are named: they take hours, or want an extra."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parsed(arguments)
    if options.here:
        _measure_here(options.only, options)
        return 0
    return _measure_all(chosen_parts(options), options)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: proves that it runs, measures nothing")
    parser.add_argument("--only", metavar="PART,...", help=f"of {','.join(PARTS)}; default: all but {','.join(LONG)}")
    parser.add_argument("--again", action="store_true", help="measure what has been measured already, too")
    parser.add_argument("--json", type=Path, help="where the figures are kept; default benchmarks/figures.json")
    parser.add_argument("--before", type=Path, help="another commit's figures of this machine, to stand in front")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--here", metavar="IDENTITY", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.json is None and not options.quick:
        options.json = FIGURES
    if options.before and not options.before.is_file():
        raise UserError(f"--before {options.before}: no such file; name the figures.json of another commit")
    return options


def chosen_parts(options: argparse.Namespace) -> list[str]:
    """Raises UserError for a part that there is not, and for one that a given --device or --threads is not for."""
    given = f"--threads {options.threads}" if options.threads is not None else ""
    given = f"--device {options.device}" if options.device != "cpu" else given
    if options.only is None:
        return [name for name in PARTS if name not in LONG and not (given and name in COMMANDS)]
    names: list[str] = options.only.split(",")
    for name in names:
        if name not in PARTS:
            raise UserError(f"--only {name}: unknown part; known: {', '.join(PARTS)}")
        if given and name in COMMANDS:
            raise UserError(f"{given}: the part {name} runs on the processor with threads of its own; leave one out")
    return names


def _measure_all(names: Sequence[str], options: argparse.Namespace) -> int:
    if options.device.partition(":")[0] not in ("cpu", "cuda"):
        raise UserError(f"--device {options.device}: cannot be timed; use cpu, cuda or cuda:N")
    runtime = resolve_runtime(options.device, options.threads)
    machine, wanted, failed = machine_of(runtime), identity(runtime, options.quick), []
    for name in names:
        kept = read(options.json).get(machine, {}).get(name)
        if kept and kept["identity"] == wanted and not options.again:
            print(f"{name}: measured already", file=sys.stderr)
        elif subprocess.run(_call(name, wanted, runtime, options), check=False).returncode:
            failed.append(name)
        if not options.quick:
            write_documents(read(options.json))
    for compare in COMPARISONS.values() if set(names) & set(MATRICES) else ():
        rows = compare(read(options.json).get(machine, {}))
        print(f"{table(rows)}\n" if rows else "", end="")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _call(name: str, wanted: str, runtime: Runtime, options: argparse.Namespace) -> list[str]:
    call = [sys.executable, "-m", "benchmarks", "--here", wanted, "--only", name]
    call += ["--device", runtime.device, "--threads", str(runtime.threads), *["--quick"] * options.quick]
    for option in ("json", "before"):
        given = getattr(options, option)
        call += [f"--{option}", str(given)] if given else []
    return call


def _measure_here(name: str, options: argparse.Namespace) -> None:
    on_device = name not in COMMANDS
    if on_device:  # A command inherits what a user's shell has, and would count torch in this process as its memory.
        for library in ("OMP", "OPENBLAS", "MKL"):
            os.environ[f"{library}_NUM_THREADS"] = str(options.threads)
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # The profiler is talkative.
        import torch

        torch.set_num_threads(options.threads)
    load, start = os.getloadavg()[0], time.perf_counter()
    module = importlib.import_module("benchmarks.matrix" if name in MATRICES else f"benchmarks.{name}")
    tables = module.measure(Options(name, options.quick, options.device, options.threads))
    seconds = time.perf_counter() - start
    runtime = Runtime(options.device, options.threads)
    machine, known = machine_of(runtime), provenance(runtime, "float32")
    conditions = {kept: known[kept] for kept in ("processor", "versions", "created")} | {
        "commit": known["commit"] and commit(),
        "cores": usable_cores(),
        "load_before": load,
        "load_after": os.getloadavg()[0],
        "seconds": seconds,
    }
    conditions |= {kept: known[kept] for kept in ("device", "threads") if on_device}
    part = Part(quick=options.quick, identity=options.here, conditions=conditions, tables=tables)
    if options.json:
        keep(options.json, machine, name, part)
    before = earlier(options.before, machine, {name: part})
    print(f"## {name}\n\n{markdown(part, before.get(name))}\n", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"python -m benchmarks: {error}", file=sys.stderr)
        sys.exit(2)
