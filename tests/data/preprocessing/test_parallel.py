"""Cases are prepared by several processes."""

import os
import signal
from pathlib import Path

import pytest
import SimpleITK as sitk
from threadpoolctl import threadpool_info

from ssl_bench.api.cases import Problem, SourceCase
from ssl_bench.data.preprocessing.parallel import over_cases
from ssl_bench.errors import UserError
from tests.data.preprocessing.preparation import silent


def describe(case: SourceCase) -> tuple[object, ...]:
    return (
        signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        max((library["num_threads"] for library in threadpool_info()), default=1),
        sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(),
        os.environ["OMP_NUM_THREADS"],
    )


def kill_itself(case: SourceCase) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_have_one_thread_and_leave_interruptions_to_their_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        monkeypatch.setenv(variable, "2")
    cases = [SourceCase(name, tmp_path, 0, name) for name in "ab"]
    assert over_cases(describe, cases, 2, silent) == ([(True, 1, 1, "1")] * 2, [])


def test_a_worker_that_dies_ends_it_with_a_way_out(tmp_path: Path) -> None:
    cases = [SourceCase(name, tmp_path, 0, name) for name in "ab"]
    with pytest.raises(UserError, match=r"--workers 2: a worker process was killed.*use fewer"):
        over_cases(kill_itself, cases, 2, silent)


def test_one_worker_is_this_process(tmp_path: Path) -> None:
    cases = [SourceCase(name, tmp_path, 0, name) for name in "ab"]
    found, problems = over_cases(lambda case: os.getpid(), cases, 1, silent)
    assert found == [os.getpid()] * 2
    assert problems == []
    assert over_cases(lambda case: 1 / 0, cases[:1], 1, silent)[1] == [
        Problem(tmp_path, "ZeroDivisionError: division by zero; replace the file or leave the case out")
    ]
