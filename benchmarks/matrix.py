"""Whole matrices: the preset quick by two workers of one thread, by one of one thread and by one of two threads."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.commands import COMMAND
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, at_least, spread

if TYPE_CHECKING:
    from benchmarks.figures import Part
    from ssl_bench.cells.record import AnyRecord

MATRICES = {"two_workers": (2, 1), "one_worker": (1, 1), "wide_worker": (1, 2)}
"""Workers and the threads of each, by the name of the part."""
METHODS = "scratch,models_genesis,deepcluster,simclr,simsiam,gvsl"
"""The reference run's."""
SECONDS = "seconds"


class Finished(NamedTuple):
    """A matrix that ended."""

    wall: float
    """Seconds of the whole command."""
    processor: float
    """Seconds of all its processes."""
    records: list[AnyRecord]


def run_matrix(arguments: Sequence[str], workers: int, threads: int, device: str = "cpu") -> Finished:
    """``ssl-bench matrix`` with `arguments` into an empty store; `workers` processes of `threads` on one device."""
    from ssl_bench.cells.store import Store

    slots = ["--workers", str(workers)] if device == "cpu" else ["--devices", ",".join([device] * workers)]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    with tempfile.TemporaryDirectory() as results:
        call = [sys.executable, "-c", COMMAND, "matrix", *arguments, "--quiet", "--results", results]
        call += ["--executor", "local", *slots, "--threads", str(threads)]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(call, env=environment, stdout=subprocess.DEVNULL, check=True)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Finished(wall, processor, list(Store(Path(results)).records()))


def grow_volumes(preset: str, tasks: Sequence[str]) -> None:
    """Let the cache hold the corpus and the cases that a matrix of `preset` reads, so that no timed run grows any."""
    from ssl_bench.data import corpus_science, data_science, load_cases, load_corpus
    from ssl_bench.settings import load_preset

    cohort = load_preset(preset).cohort
    load_corpus(corpus_science(cohort))
    for task in tasks:
        load_cases(task, data_science(task, cohort, None))


def measure(options: Options) -> list[Table]:
    from ssl_bench.registry import TASKS

    workers, threads = MATRICES[options.part]
    preset, methods, tasks = ("smoke", "scratch", ["shc"]) if options.quick else ("quick", METHODS, TASKS.names())
    grow_volumes(preset, tasks)
    matrix = run_matrix(["--preset", preset, "--methods", methods, "--tasks", ",".join(tasks)], workers, threads)
    kinds: dict[str, list[float]] = {}
    for record in matrix.records:
        kinds.setdefault(getattr(record.science, "protocol", "pre-training"), []).append(record.cost["wall_seconds"])
    inside = sum(map(sum, kinds.values()))
    rows: list[Row] = [
        {"what": SECONDS, "figure": matrix.wall},
        {"what": "processor seconds", "figure": matrix.processor},
        {"what": "cells and pre-trainings", "figure": len(matrix.records)},
        {"what": "% of the workers' time inside them", "figure": 100 * inside / (workers * matrix.wall)},
        {"what": "largest process (GiB)", "figure": max(r.cost["peak_process_mib"] for r in matrix.records) / 1024},
    ]
    rows += [{"what": f"seconds, mean {kind}", "figure": sum(v) / len(v)} for kind, v in sorted(kinds.items())]
    return [{"title": f"The preset {preset} by {_words(options.part)}", "rows": rows}]


def comparison(parts: Mapping[str, Part]) -> list[Row]:
    """Two workers beside one and beside a wide one; nothing until all three were measured on one machine and code."""
    found = {name: parts[name] for name in MATRICES if name in parts}
    if len(found) < len(MATRICES) or len({part["identity"] for part in found.values()}) > 1:
        return []
    seconds = {
        name: next(row["figure"] for row in part["tables"][0]["rows"] if row["what"] == SECONDS)
        for name, part in found.items()
    }
    rows: list[Row] = []
    for other, wanted in (("one_worker", 1.6), ("wide_worker", 1.0)):
        faster = seconds[other] / seconds["two_workers"]
        title = f"{_words('two_workers')} / {_words(other)}"
        rows.append({"speed": title, "figure": faster, **at_least(wanted, spread([faster]))})
    return rows


def _words(part: str) -> str:
    workers, threads = MATRICES[part]
    return f"{workers} worker{'s' * (workers > 1)} of {threads} thread{'s' * (threads > 1)}"
