"""What may go wrong while cases are prepared: bad files, full disks, interruptions, company."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_bench.api.cases import Problem, SourceCase
from ssl_bench.data.preprocessing import case_folder, prepared
from ssl_bench.data.preprocessing.parallel import over_cases
from ssl_bench.data.preprocessing.prepared import prepare
from ssl_bench.errors import UserError
from tests.data.files import heart, labelled, save
from tests.data.preprocessing.preparation import PREPROCESSING, RULE, cut_off, folders, prepare_all, silent


def test_a_bad_case_is_a_problem_and_the_others_go_on(tmp_path: Path) -> None:
    cases = [labelled(tmp_path, name, seed) for seed, name in enumerate("abcd")]
    cases[1].image.write_bytes(b"no scan")
    save(cases[2].label, heart(value=9))  # type: ignore[arg-type]
    seen: list[str] = []
    found, problems = prepare(cases, PREPROCESSING, RULE, 2, seen.append)
    assert [each.identifier for each in found] == ["a", "d"]
    assert [problem.path for problem in problems] == [cases[1].image, cases[2].label]
    assert problems[1].reason.startswith("label values 9 belong to no class")
    assert sorted(seen) == list("abcd")


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    case = replace(labelled(tmp_path), label=tmp_path / "gone.nii")
    _, problems = prepare([case], PREPROCESSING, RULE, 1, silent)
    assert [problem.path for problem in problems] == [tmp_path / "gone.nii"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MemoryError(), "too large for this machine's memory"), (ValueError("a\nb"), "ValueError: a b; replace the file")],
)
def test_whatever_a_library_raises_is_a_problem_of_its_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(prepared, "prepare_case", fail)
    case = labelled(tmp_path)
    _, (problem,) = prepare([case], PREPROCESSING, RULE, 1, silent)
    assert problem.path == case.image
    assert problem.reason.startswith(reason)


def test_a_slice_of_a_series_is_named_as_the_problem(tmp_path: Path) -> None:
    def fail(case: SourceCase) -> None:
        raise UserError(f"{case.image / '7.dcm'}: is damaged; copy it again")

    series = SourceCase("a", tmp_path, 1, "a")
    assert over_cases(fail, [series], 1, silent)[1] == [Problem(tmp_path / "7.dcm", "is damaged; copy it again")]


@contextmanager
def small_disk() -> Iterator[None]:
    """No file may grow beyond 3 kB, which the kernel reports to the writer as it does a full disk.

    Not a fixture: pytest's own output, which may be a file, grows before fixtures end.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_where_there_is_no_room_nothing_half_written_stays(tmp_path: Path, cache: Path) -> None:
    case = labelled(tmp_path)
    large = PREPROCESSING.model_copy(update={"region": "whole"})
    with small_disk():
        found, problems = prepare([case], large, RULE, 1, silent)
    assert not found
    reason = rf"cannot be kept in {cache} \(File too large\); free space or set SSL_BENCH_CACHE"
    assert [problem.path for problem in problems] == [case.image]
    with pytest.raises(UserError, match=reason):
        raise UserError(problems[0].reason)
    assert folders(cache) == []


def test_an_interruption_between_cases_leaves_whole_ones(tmp_path: Path, cache: Path) -> None:
    cases = [labelled(tmp_path, name, seed) for seed, name in enumerate("abc")]

    def interrupt(words: str) -> None:
        if words == "b":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(cases, PREPROCESSING, RULE, 1, interrupt)
    assert len(folders(cache)) == 2
    assert len(prepare_all(cases)) == len(folders(cache)) == 3


def test_an_interruption_amid_a_case_leaves_nothing_of_it(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(path: Path, content: Any) -> None:
        path.write_bytes(b"half")
        if path.name == "label.b2nd":
            raise KeyboardInterrupt

    monkeypatch.setattr(case_folder, "_write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare([labelled(tmp_path)], PREPROCESSING, RULE, 1, silent)
    assert folders(cache) == []


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from ssl_bench.data.preprocessing.prepared import prepare
from ssl_bench.api.preprocessing import Preprocessing
from tests.data.files import labelled

if __name__ == "__main__":
    # Whoever runs the tests in the background has it ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    cases = [labelled(Path(sys.argv[1]), f"c{seed}", seed) for seed in range(40)]
    preprocessing = Preprocessing(intensity="ct", region="whole")
    prepare(cases, preprocessing, None, 2, lambda words: os.killpg(0, signal.SIGINT))
"""


def test_an_interruption_from_the_keyboard_ends_all_processes_and_leaves_whole_cases(
    tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "script.py").write_text(INTERRUPTED)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    ended = subprocess.run(command, start_new_session=True, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr.count("Traceback") == 1
    assert 1 <= len(folders(cache)) < 40
    assert all(case_folder.find_case(folder, "c0") for folder in folders(cache))


def test_what_a_killed_process_left_is_never_read_and_removed_after_a_day(tmp_path: Path, cache: Path) -> None:
    case = labelled(tmp_path)
    (found,) = prepare_all([case])
    left = found.folder.rename(cache / f".{found.digest}.x1y2.partial")
    (again,) = prepare_all([case])
    assert again.folder == found.folder
    assert folders(cache) == [left, found.folder]
    os.utime(left, (time.time() - 2 * 24 * 3600,) * 2)
    prepare_all([case])
    assert folders(cache) == [found.folder]


def test_what_a_killed_change_of_store_left_in_a_whole_case_is_removed_after_a_day(tmp_path: Path, cache: Path) -> None:
    case = labelled(tmp_path)
    (found,) = prepare_all([case])
    before = set(found.folder.iterdir())
    fresh, old = (found.folder / f".image.b2nd.{name}.partial" for name in ("x1", "y2"))
    for left in (fresh, old):
        left.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    prepare_all([case])
    assert set(found.folder.iterdir()) == {*before, fresh}


@pytest.mark.parametrize("damaged", [False, True])
def test_several_that_prepare_the_same_case_at_once_do_no_harm(tmp_path: Path, cache: Path, damaged: bool) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    expected = np.array(first.load().image)
    if damaged:
        cut_off(first.folder)
    else:
        shutil.rmtree(cache)
    gate, found = threading.Barrier(8), []

    def race() -> None:
        gate.wait()
        found.extend(prepare_all([case]))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.folder for each in found] == [first.folder] * 8
    assert folders(cache) == [first.folder]
    assert np.array_equal(first.load().image, expected)
