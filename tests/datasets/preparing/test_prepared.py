"""The cache of prepared cases: complete, found again, and made by several processes."""

import json
import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from threadpoolctl import threadpool_info

from ssl_bench.datasets.preparing import case_folder, prepared
from ssl_bench.datasets.preparing.labels import LabelRule
from ssl_bench.datasets.preparing.parallel import over_cases
from ssl_bench.datasets.preparing.prepared import Prepared, load, prepare
from ssl_bench.datasets.preparing.recipe import Recipe
from ssl_bench.datasets.source import Problem, SourceCase
from ssl_bench.errors import UserError
from tests.datasets.files import ct, heart, labelled, save
from tests.volumes.test_lungs import phantom

RULE = LabelRule(values=(500,))
RECIPE = Recipe(intensity="ct", region="label", spacing_mm=None, margin_mm=2.0)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where this test's prepared cases lie."""
    monkeypatch.setenv("SSL_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prepared"


def silent(words: str) -> None:
    pass


def prepare_all(cases: list[SourceCase], recipe: Recipe = RECIPE, rule: LabelRule | None = RULE) -> list[Prepared]:
    found, problems = prepare(cases, recipe, rule, 1, silent)
    assert not problems
    return found


def folders(cache: Path) -> list[Path]:
    """Everything there, unfinished folders included."""
    return sorted(cache.iterdir()) if cache.exists() else []


# What is kept.


def test_prepared_arrays_are_mapped_from_disk_and_read_only(tmp_path: Path) -> None:
    (found,) = prepare_all([labelled(tmp_path)])
    case = load(found)
    assert isinstance(case.image, np.memmap)
    assert isinstance(case.label, np.memmap)
    assert not case.image.flags.writeable
    assert case.identifier == "a"
    assert case.image.shape == case.label.shape == found.shape == (9, 9, 9)
    assert case.spacing_mm == (1.0, 1.0, 1.0)
    np.testing.assert_allclose(case.image, ((ct() + 1024) / 2048).clip(0, 1)[1:10, 2:11, 3:12], rtol=1e-6)
    assert np.array_equal(case.label, heart(value=1)[1:10, 2:11, 3:12])


def test_case_json_says_what_the_folder_holds(tmp_path: Path) -> None:
    (found,) = prepare_all([labelled(tmp_path)])
    said = json.loads((found.folder / "case.json").read_text())
    assert said["identifier"] == "a"
    assert said["shape"] == [9, 9, 9]
    assert said["spacing_mm"] == [1.0, 1.0, 1.0]
    assert said["notes"] == list(found.notes) == []
    assert len(said["signature"]["blocks"]) == 512
    assert found.signature.shape == (12, 14, 16)
    assert all(len(digest) == 64 for digest in said["sources"].values())


def test_the_class_of_a_whole_volume_is_kept(tmp_path: Path) -> None:
    cases = [SourceCase(f"c{label}", save(tmp_path / "a.nii", ct()), label, "a") for label in (0, 1)]
    found = prepare_all(cases, RECIPE.model_copy(update={"region": "whole"}), None)
    assert [load(each).label for each in found] == [0, 1]


def test_what_found_the_lungs_is_part_of_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voxels, _ = phantom((4.0, 3.0, 3.0))
    case = SourceCase("a", save(tmp_path / "a.nii", voxels, (4.0, 3.0, 3.0)), 1, "a")
    recipes = [Recipe(intensity="ct", region="lungs", spacing_mm=4.0, lungs=how) for how in ("auto", "threshold")]
    (first,), (second,) = (prepare_all([case], recipe, None) for recipe in recipes)
    assert first.notes == ("lungs by threshold",)
    assert first.digest == second.digest
    monkeypatch.setattr(prepared, "chosen", lambda how: "lungmask")
    _, (problem,) = prepare([case], recipes[0], None, 1, silent)
    assert "lungmask" in problem.reason


def test_a_small_crop_touches_few_pages_of_a_large_volume(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(-1000, 1000, (200, 200, 200)).astype(np.int16)
    case = SourceCase("a", save(tmp_path / "a.nii", voxels), 1, "a")
    (found,) = prepare_all([case], RECIPE.model_copy(update={"region": "whole"}), None)
    image = load(found).image
    assert isinstance(image, np.memmap)
    crop = image[100:132, 70:102, 90:122]
    # Rows of 32 neighbours, by the place in the file at which they begin.
    rows = image.offset + np.add.outer(np.arange(100, 132) * 200 * 200, np.arange(70, 102) * 200).ravel() * 4 + 90 * 4
    pages = set((rows // mmap.PAGESIZE).tolist() + ((rows + 32 * 4 - 1) // mmap.PAGESIZE).tolist())
    touched = len(pages) * mmap.PAGESIZE
    assert touched < image.nbytes / 10
    if sys.platform == "linux":
        assert resident(found.folder / "image.npy") == 0
        assert crop.sum() > 0
        # Kernel and file system map neighbours of a page along with it, some of them 256 KiB.
        assert touched <= resident(found.folder / "image.npy") < image.nbytes / 2


def resident(path: Path) -> int:
    """Bytes of a mapped file that this process has touched."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.endswith(str(path)):
            return next(int(entry.split()[1]) * 1024 for entry in lines if entry.startswith("Rss:"))
    raise AssertionError(f"{path} is not mapped")


# What is found again.


def test_a_second_time_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [labelled(tmp_path, name, seed) for seed, name in enumerate("ab")]
    first = prepare_all(cases)
    for case in cases:
        case.image.chmod(0)

    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(prepared, "prepare_case", refuse)
    monkeypatch.setattr("ssl_bench.datasets.preparing.digests._file_digest", refuse)
    monkeypatch.setattr("ssl_bench.datasets.preparing.parallel.ProcessPoolExecutor", refuse)
    seen: list[str] = []
    again, problems = prepare(cases, RECIPE, RULE, 2, seen.append)
    assert [each.folder for each in again] == [each.folder for each in first]
    assert not problems
    assert seen == ["a", "b"]


def test_files_with_another_name_place_or_date_are_the_same(tmp_path: Path, cache: Path) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    image, label = (Path(shutil.copy(path, tmp_path / f"b_{path.name}")) for path in (case.image, case.label))
    os.utime(case.image, (0, 0))
    again = prepare_all([case, SourceCase("b", image, label, "b")])
    assert {each.digest for each in again} == {first.digest}
    assert [load(each).identifier for each in again] == ["a", "b"]
    assert len(folders(cache)) == 1


def other_image(case: SourceCase) -> dict[str, Any]:
    save(case.image, ct(1))
    return {}


def other_label(case: SourceCase) -> dict[str, Any]:
    labels = heart()
    labels[3, 4, 5] = 0
    save(case.label, labels)
    return {}


@pytest.mark.parametrize(
    "change",
    [
        other_image,
        other_label,
        lambda case: {"recipe": RECIPE.model_copy(update={"margin_mm": 3.0})},
        lambda case: {"rule": LabelRule(values=(500,), background=(7,))},
        lambda case: {"rule": None, "recipe": RECIPE.model_copy(update={"region": "whole"})},
    ],
    ids=["image", "label", "recipe", "rule", "no rule"],
)
def test_what_the_arrays_depend_on_changes_the_digest(
    tmp_path: Path, change: Callable[[SourceCase], dict[str, Any]]
) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    (second,) = prepare_all([case], **change(case))
    assert second.digest != first.digest


def test_another_version_of_the_preparation_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    monkeypatch.setattr(prepared, "PREPARATION_VERSION", 2)
    assert prepare_all([case])[0].digest != first.digest


def test_voxels_beside_a_header_belong_to_the_digest(tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"region": "whole"})
    for suffix in (".mhd", ".nhdr"):
        digests = set()
        for seed in (0, 1):
            path = tmp_path / f"scan{suffix}"
            sitk.WriteImage(sitk.GetImageFromArray(ct(seed)), str(path))
            assert len(list(tmp_path.glob("scan.*"))) >= 2
            digests.add(prepare_all([SourceCase("a", path, 1, "a")], recipe, None)[0].digest)
        assert len(digests) == 2


def test_all_slices_of_a_folder_belong_to_the_digest(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"{number}.dcm").write_bytes(bytes([number]))
    first = prepared.source_digest(tmp_path)
    (tmp_path / ".DS_Store").touch()
    assert prepared.source_digest(tmp_path) == first
    (tmp_path / "3.dcm").rename(tmp_path / "10.dcm")  # still the last one
    assert prepared.source_digest(tmp_path) == first
    (tmp_path / "10.dcm").rename(tmp_path / "0.dcm")
    assert prepared.source_digest(tmp_path) != first


@pytest.mark.parametrize("text", ["", "[]", "{", '{"stamp": 1}', "\0"])
def test_a_damaged_index_costs_one_reading(tmp_path: Path, cache: Path, text: str) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    for entry in (cache.parent / "digests").iterdir():
        entry.write_text(text)
    assert prepare_all([case])[0].digest == first.digest


def cut_off(folder: Path) -> None:
    with (folder / "image.npy").open("r+b") as file:
        file.truncate(1000)


def lengthen(folder: Path) -> None:
    with (folder / "label.npy").open("ab") as file:
        file.write(b"more")


def overwrite(folder: Path) -> None:
    (folder / "case.json").write_text("{}")


def remove(folder: Path) -> None:
    (folder / "label.npy").unlink()


def exchange(folder: Path) -> None:
    np.save(folder / "image.npy", np.zeros((2, 3, 4), np.float32))


@pytest.mark.parametrize("damage", [cut_off, lengthen, overwrite, remove, exchange])
def test_a_damaged_case_is_prepared_again(tmp_path: Path, cache: Path, damage: Callable[[Path], None]) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    expected = np.array(load(first).image)
    before = {file.name: file.stat().st_size for file in first.folder.iterdir()}
    damage(first.folder)
    (again,) = prepare_all([case])
    assert np.array_equal(load(again).image, expected)
    assert {file.name: file.stat().st_size for file in again.folder.iterdir()} == before
    assert folders(cache) == [first.folder]


def test_damage_after_preparing_is_said(tmp_path: Path) -> None:
    (found,) = prepare_all([labelled(tmp_path)])
    cut_off(found.folder)
    with pytest.raises(UserError, match=f"^{found.folder}: damaged; run"):
        load(found)


# What may go wrong.


def test_a_bad_case_is_a_problem_and_the_others_go_on(tmp_path: Path) -> None:
    cases = [labelled(tmp_path, name, seed) for seed, name in enumerate("abcd")]
    cases[1].image.write_bytes(b"no scan")
    save(cases[2].label, heart(value=9))  # type: ignore[arg-type]
    seen: list[str] = []
    found, problems = prepare(cases, RECIPE, RULE, 2, seen.append)
    assert [each.case for each in found] == [cases[0], cases[3]]
    assert [problem.path for problem in problems] == [cases[1].image, cases[2].label]
    assert problems[1].reason.startswith("label values 9 belong to no class")
    assert sorted(seen) == list("abcd")


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    case = replace(labelled(tmp_path), label=tmp_path / "gone.nii")
    _, problems = prepare([case], RECIPE, RULE, 1, silent)
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
    _, (problem,) = prepare([case], RECIPE, RULE, 1, silent)
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
    large = RECIPE.model_copy(update={"region": "whole"})
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
        prepare(cases, RECIPE, RULE, 1, interrupt)
    assert len(folders(cache)) == 2
    assert len(prepare_all(cases)) == len(folders(cache)) == 3


def test_an_interruption_amid_a_case_leaves_nothing_of_it(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(path: Path, content: Any) -> None:
        path.write_bytes(b"half")
        if path.name == "label.npy":
            raise KeyboardInterrupt

    monkeypatch.setattr(case_folder, "_write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare([labelled(tmp_path)], RECIPE, RULE, 1, silent)
    assert folders(cache) == []


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from ssl_bench.datasets.preparing.prepared import prepare
from ssl_bench.datasets.preparing.recipe import Recipe
from tests.datasets.files import labelled

if __name__ == "__main__":
    cases = [labelled(Path(sys.argv[1]), f"c{seed}", seed) for seed in range(40)]
    recipe = Recipe(intensity="ct", region="whole")
    prepare(cases, recipe, None, 2, lambda words: os.killpg(0, signal.SIGINT))
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
    assert all(case_folder.read_folder(folder) for folder in folders(cache))


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


@pytest.mark.parametrize("damaged", [False, True])
def test_several_that_prepare_the_same_case_at_once_do_no_harm(tmp_path: Path, cache: Path, damaged: bool) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    expected = np.array(load(first).image)
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
    assert np.array_equal(load(first).image, expected)


# Several processes.


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
