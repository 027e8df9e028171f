"""Whole matrices of the preset quick: by workers of one thread and of two, in float32, with other seeds."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.commands import COMMAND
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, at_least, spread

if TYPE_CHECKING:
    from benchmarks.figures import Part
    from ssl_bench.spec.record import AnyRecord


class Matrix(NamedTuple):
    """How the matrix is run."""

    workers: int
    threads: int
    """Of each worker."""
    options: tuple[str, ...] = ()


MATRICES = {
    "two_workers": Matrix(2, 1),
    "one_worker": Matrix(1, 1),
    "wide_worker": Matrix(1, 2),
    "float32": Matrix(2, 1, ("--precision", "float32")),
    "other_seeds": Matrix(2, 1, ("--seeds", "1,2")),
}
"""By the name of the part; the others' precision is `auto`, and their seed 0."""
SPEED = ("two_workers", "one_worker", "wide_worker")
SCORES = "Scores x 100"
REFERENCE_SCORES = "The same cells in results/reference/quick, x 100"
METHODS = "scratch,models_genesis,deepcluster,simclr,simsiam,gvsl"
"""The reference run's."""
SECONDS = "seconds"
REFERENCE = Path(__file__).parents[1] / "results" / "reference" / "quick"


class Finished(NamedTuple):
    """A matrix that ended."""

    wall: float
    """Seconds of the whole command."""
    processor: float
    """Seconds of all its processes."""
    records: list[AnyRecord]


def run_matrix(arguments: Sequence[str], workers: int, threads: int, device: str = "cpu") -> Finished:
    """``ssl-bench matrix`` with `arguments` into an empty store; `workers` processes of `threads` on one device."""
    from ssl_bench.store.store import Store

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
    from ssl_bench.api.settings import load_preset
    from ssl_bench.data.sources import DataSources
    from ssl_bench.spec.locations import Locations

    sources = DataSources(Locations(), load_preset(preset).cohort)
    for source in (sources.corpus, *map(sources.task, tasks)):
        source.load()


def measure(options: Options) -> list[Table]:
    from ssl_bench.api.registry import TASKS
    from ssl_bench.store.store import Store

    workers, threads, settings = MATRICES[options.part]
    preset, methods, tasks = ("smoke", "scratch", ["shc"]) if options.quick else ("quick", METHODS, TASKS.names())
    grow_volumes(preset, tasks)
    arguments = ["--preset", preset, "--methods", methods, "--tasks", ",".join(tasks), *settings]
    matrix = run_matrix(arguments, workers, threads)
    kinds: dict[str, list[float]] = {}
    for record in matrix.records:
        kinds.setdefault(getattr(record.spec, "protocol", "pre-training"), []).append(record.cost["wall_seconds"])
    inside = sum(map(sum, kinds.values()))
    rows: list[Row] = [
        {"what": SECONDS, "figure": matrix.wall},
        {"what": "processor seconds", "figure": matrix.processor},
        {"what": "cells and pre-trainings", "figure": len(matrix.records)},
        {"what": "% of the workers' time inside them", "figure": 100 * inside / (workers * matrix.wall)},
        {"what": "largest process (GiB)", "figure": max(r.cost["peak_process_mib"] for r in matrix.records) / 1024},
    ]
    rows += [{"what": f"seconds, mean {kind}", "figure": sum(v) / len(v)} for kind, v in sorted(kinds.items())]
    tables: list[Table] = [
        {"title": f"The preset {preset} by {_words(options.part)}", "rows": rows},
        {"title": SCORES, "rows": scores(matrix.records)},
    ]
    if options.part == "two_workers":
        keys = {record.key for record in matrix.records}
        same = [record for record in Store(REFERENCE).records() if record.key in keys]
        tables += [{"title": REFERENCE_SCORES, "rows": scores(same)}] if same else []
    return tables


def scores(records: Iterable[AnyRecord]) -> list[Row]:
    """A row for each method and seed, a column for each task and protocol."""
    from ssl_bench.spec.record import EvaluationRecord

    rows: dict[str, Row] = {}
    for record in sorted(records, key=lambda each: each.key):
        if isinstance(record, EvaluationRecord) and record.score is not None:
            spec = record.spec
            name = f"{spec.method}, seed {spec.seed}"
            rows.setdefault(name, {"row": name})[f"{spec.task} {spec.protocol}"] = 100 * record.score
    return [dict(sorted(rows[name].items(), key=lambda cell: (cell[0] != "row", cell[0]))) for name in sorted(rows)]


def speeds(parts: Mapping[str, Part]) -> list[Row]:
    """Two workers beside one and beside a wide one; nothing until all three were measured on one machine and code."""
    found = _alike(parts, SPEED)
    seconds = {
        name: next(row["figure"] for row in part["tables"][0]["rows"] if row["what"] == SECONDS)
        for name, part in found.items()
    }
    rows: list[Row] = []
    for other, wanted in (("one_worker", 1.6), ("wide_worker", 1.0)) if found else ():
        faster = seconds[other] / seconds["two_workers"]
        title = f"{_words('two_workers')} / {_words(other)}"
        rows.append({"speed": title, "figure": faster, **at_least(wanted, spread([faster]))})
    return rows


def agreement(parts: Mapping[str, Part]) -> list[Row]:
    """How far other scores of one seed lie from the default's, beside what seeds do; nothing until all are measured.

    A difference of two independent scores has twice the variance of one, hence the root of two.
    """
    found = _alike(parts, ("two_workers", "float32", "other_seeds"))
    if not found:
        return []
    default = _table_of(found["two_workers"], SCORES)
    seeds = [default, _table_of(found["other_seeds"], SCORES)]
    others = {"float32": _table_of(found["float32"], SCORES)}
    if earlier := _table_of(found["two_workers"], REFERENCE_SCORES):
        others["the reference run"] = earlier
    rows: list[Row] = []
    for column in sorted({column for _, column in default}):
        of_seeds: dict[str, list[float]] = {}
        for (name, where), value in ((key, value) for table in seeds for key, value in table.items()):
            if where == column:
                of_seeds.setdefault(name.partition(",")[0], []).append(value)
        several = [values for values in of_seeds.values() if len(values) > 1]
        variance = float(np.mean([np.var(values, ddof=1) for values in several])) if several else float("nan")
        row: Row = {"column": column, "± over seeds": variance**0.5}
        for other, table in others.items():
            shared = [name for name, where in default if where == column and (name, where) in table]
            if shared and several:
                difference = np.mean([(default[name, column] - table[name, column]) ** 2 for name in shared]) / 2
                groups = [[table[name, column], *of_seeds[name.partition(",")[0]]] for name in shared]
                row |= {f"{other}: difference / √2": float(difference**0.5), f"{other}: p": strangeness(groups)}
        rows.append(row)
    return rows


def strangeness(groups: Sequence[Sequence[float]]) -> float:
    """How often a choice of one score from each of `groups` lies as far from the rest as their first ones do.

    Over all choices, by the sum of squared distances from the mean of the rest: exact if a group's scores differ as
    seeds do, whatever their distribution, and whether or not groups spread alike.
    """
    totals, found = np.zeros(1), 0.0
    for group in groups:
        scores = np.array(group)
        distances = (scores - (scores.sum() - scores) / (len(scores) - 1)) ** 2
        totals, found = np.add.outer(totals, distances).ravel(), found + distances[0]
    return float(np.mean(totals >= found * (1 - 1e-9)))


def _alike(parts: Mapping[str, Part], names: Sequence[str]) -> dict[str, Part]:
    """The parts of `names` if all are there, of one machine and one code; else nothing."""
    found = {name: parts[name] for name in names if name in parts}
    alike = len(found) == len(names) and len({part["identity"] for part in found.values()}) == 1
    return found if alike else {}


def _table_of(part: Part, title: str) -> dict[tuple[str, str], float]:
    """Score by row and column."""
    rows = [row for table in part["tables"] if table["title"] == title for row in table["rows"]]
    return {(row["row"], column): score for row in rows for column, score in row.items() if column != "row"}


def _words(part: str) -> str:
    workers, threads, settings = MATRICES[part]
    return " ".join([f"{workers} worker{'s' * (workers > 1)} of {threads} thread{'s' * (threads > 1)}", *settings])
