"""One function over many cases in several processes; what fails is a problem of its case."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from ssl_bench.api.cases import Problem, SourceCase
from ssl_bench.data.preprocessing.label_maps import LabelMapError
from ssl_bench.errors import UserError

T = TypeVar("T")


def over_cases(
    work: Callable[[SourceCase], T], cases: Sequence[SourceCase], workers: int, on_progress: Callable[[str], None]
) -> tuple[list[T], list[Problem]]:
    """What `work` returns for the cases, in their order, and the problems of those for which it raised.

    For several workers `work` must be picklable. `on_progress` gets the identifier of each case that ended. An
    interruption ends after the cases under way. Raises UserError if a worker dies, and what `on_progress` raises.
    """
    if workers == 1 or len(cases) < 2:
        outcomes = []
        for case in cases:
            outcomes.append(_attempt(work, case))
            on_progress(case.identifier)
    else:
        outcomes = _in_processes(work, cases, workers, on_progress)
    done = [outcome for outcome in outcomes if not isinstance(outcome, Problem)]
    return done, [outcome for outcome in outcomes if isinstance(outcome, Problem)]


def _in_processes(
    work: Callable[[SourceCase], T], cases: Sequence[SourceCase], workers: int, on_progress: Callable[[str], None]
) -> list[T | Problem]:
    # Spawned, since a fork of a process with threads may hang.
    with ProcessPoolExecutor(min(workers, len(cases)), get_context("spawn"), _start_worker) as pool:
        # Workers inherit the mask: an interruption while they start would reach them before they ignore it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            futures = {pool.submit(_attempt, work, case): case.identifier for case in cases}
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            for future in as_completed(futures):
                future.result()
                on_progress(futures[future])
        except BrokenProcessPool as error:
            raise UserError(
                f"--workers {workers}: a worker process was killed, probably for want of memory; use fewer (what was "
                "prepared is kept)"
            ) from error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _start_worker() -> None:
    """Cases run side by side, so that each has one thread; an interruption is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"  # read by those that are loaded later
    threadpool_limits(1)
    simpleitk: Any = import_module("SimpleITK")
    simpleitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _attempt(work: Callable[[SourceCase], T], case: SourceCase) -> T | Problem:
    try:
        return work(case)
    except LabelMapError as error:
        return Problem(case.image, str(error), is_label_map=True)
    except UserError as error:
        return _problem(case, str(error))
    except MemoryError:
        return Problem(case.image, "too large for this machine's memory; use fewer workers or leave the case out")
    except Exception as error:
        text = " ".join(str(error).split())
        return Problem(case.image, f"{type(error).__name__}: {text}; replace the file or leave the case out")


def _problem(case: SourceCase, message: str) -> Problem:
    for path in (case.image, *case.channels, case.label):
        if isinstance(path, Path) and message.startswith(f"{path}: "):
            return Problem(path, message.removeprefix(f"{path}: "))
    file, colon, reason = message.partition(": ")
    if colon and Path(file).is_relative_to(case.image):  # one slice of a series
        return Problem(Path(file), reason)
    return Problem(case.image, message)
