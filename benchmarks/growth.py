"""How time grows: with the edge of the volumes, the width, the batch, the cells planned and the workers.

One size at a time. In the last column the growth of the work is divided out: 1 is proportional, less is better than
that. Small cells under worker processes are whole commands in the preset `smoke`; the workers share the threads, at
least one each, or the GPU. Planning runs on the processor in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.matrix import run_matrix
from benchmarks.planning import evaluations
from benchmarks.stepping import Stepper, native_precision, plan
from benchmarks.tables import Row, Table
from benchmarks.timing import Options, interleaved, ratio, spread
from ssl_bench.api.registry import METHODS, PROTOCOLS, TASKS
from ssl_bench.api.settings import load_preset
from ssl_bench.planning.planner import Planner


def measure(options: Options) -> list[Table]:
    edges, widths, batches = (
        ((16, 32), (8, 16), (2, 4)) if options.quick else ((32, 48, 64, 96, 128), (8, 16, 32), (2, 4, 8))
    )
    edge, width = (16, 8) if options.quick else (64, 16)
    sides: dict[str, dict[int, tuple[Callable[[], object], float]]] = {
        "edge": {n: (_step(n, width, 2, options), (n / edges[0]) ** 3) for n in edges},
        "width": {n: (_step(edge, n, 2, options), (n / widths[0]) ** 2) for n in widths},
        "batch": {n: (_step(edge, width, n, options), n / batches[0]) for n in batches},
        "seeds planned": {n: (_planning(n), n) for n in ((1, 2) if options.quick else (1, 8, 64))},
        "workers": {n: (_matrix(n, options), 1 / n) for n in ((1,) if options.quick else (1, 2))},
    }
    titles = {
        "edge": f"GVSL's step against the volumes' edge; width {width}, one pair; work grows with the cube",
        "width": f"GVSL's step against the width; one pair of {edge}³; work grows with the square",
        "batch": f"GVSL's step against the batch; volumes of {edge}³, width {width}",
        "seeds planned": f"Planning against the seeds; {evaluations(1)} evaluations a seed",
        "workers": "Small cells against worker processes, the threads divided among them",
    }
    return [{"title": titles[name], "rows": _rows(name, found, options)} for name, found in sides.items()]


def _rows(name: str, sides: Mapping[int, tuple[Callable[[], object], float]], options: Options) -> list[Row]:
    """Time beside the smallest's, and beside what growing with the work (1 for the smallest) would make of it."""
    times = interleaved({str(size): side for size, (side, _) in sides.items()}, options)
    smallest, rows = next(iter(times.values())), []
    for size, (_, work) in sides.items():
        taken = times[str(size)]
        rows.append(
            {
                name: size,
                "seconds": spread(taken),
                "/ the first": ratio(taken, smallest),
                "/ growth with the work": ratio(taken, smallest, factor=1 / work),
            }
        )
    return rows


def _step(edge: int, width: int, batch: int, options: Options) -> Stepper:
    sizes = [f"pretraining.crop={edge}", f"width={width}", f"pretraining.batch={batch}"]
    return Stepper(plan("gvsl", native_precision(options), sizes), options)


def _planning(seeds: int) -> Callable[[], None]:
    def plan_all() -> None:
        planner = Planner(load_preset("paper"), [], "float32")
        for seed in range(seeds):
            for method in METHODS.names():
                for task in TASKS.names():
                    for protocol in PROTOCOLS.names():
                        _ = planner.evaluation(method, task, protocol, seed).key

    return plan_all


def _matrix(workers: int, options: Options) -> Callable[[], object]:
    methods, tasks, seeds = ("scratch", "shc", "0") if options.quick else ("scratch,gvsl", "all", "0-3")
    arguments = ["--preset", "smoke", "--methods", methods, "--tasks", tasks, "--seeds", seeds]
    return lambda: run_matrix(arguments, workers, max(1, options.threads // workers), options.device)
