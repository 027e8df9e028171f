"""The store: the first success wins, failures block nothing, corruption is set aside."""

from __future__ import annotations

import errno
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.report.results import read_results
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import SCHEMA, EvaluationRecord
from ssl_bench.store.store import Store, results_folder


def ended(cell: Cell, status: str = "ok", score: float = 0.5) -> EvaluationRecord:
    return EvaluationRecord.model_validate(
        {
            "key": cell.key, "status": status, "reason": "why", "setting": cell.setting, "provenance": {},
            "data": "semi-real (1 anatomy)", "spec": cell.spec, "score": score,
        }
    )  # fmt: skip


@pytest.fixture
def cell(planner: Planner) -> Cell:
    return planner.evaluation("scratch", "shc", "linear", 0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_first_success_wins(store: Store, cell: Cell) -> None:
    store.publish(cell, ended(cell, score=0.1))
    store.publish(cell, ended(cell, score=0.2))
    record = store.record(cell)
    assert isinstance(record, EvaluationRecord)
    assert record.score == 0.1
    assert (store.folder / "records" / "scratch" / "shc" / "linear-v2" / f"{cell.key}.json").exists()


def test_running_anew_replaces_a_success_only_by_a_success(store: Store, cell: Cell) -> None:
    store.publish(cell, ended(cell, score=0.1))
    store.publish(cell, ended(cell, "failed"), replace=True)
    assert store.record(cell).score == 0.1  # type: ignore[union-attr]
    store.publish(cell, ended(cell, score=0.3), replace=True)
    assert store.record(cell).score == 0.3  # type: ignore[union-attr]


def examples(store: Store, cell: Cell, text: str) -> Path:
    path = store.attempt_examples_path(cell.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_examples_beside_a_record_are_those_of_its_own_attempt(store: Store, cell: Cell) -> None:
    kept = store.examples_path(cell.key)
    assert store.publish(cell, ended(cell), examples=examples(store, cell, "first"))
    assert not store.publish(cell, ended(cell), examples=examples(store, cell, "too late"))
    store.publish(cell, ended(cell, "failed"), replace=True, examples=examples(store, cell, "failed"))
    assert kept.read_text() == "first"
    store.publish(cell, ended(cell), replace=True, examples=examples(store, cell, "anew"))
    assert kept.read_text() == "anew"
    store.publish(cell, ended(cell), replace=True, examples=store.attempt_examples_path(cell.key))
    assert not kept.exists(), "the attempt kept none"


class PulledPlug(BaseException):
    """What a killed process would not even see."""


@pytest.mark.parametrize("replace", [False, True])
def test_a_death_between_record_and_examples_leaves_no_other_attempts(
    replace: bool, store: Store, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    if replace:
        store.publish(cell, ended(cell, score=0.1))
    examples(store, cell, "of another attempt").rename(store.examples_path(cell.key))
    rename = Path.replace

    def pull(self: Path, target: Path) -> Path:
        if target == store.examples_path(cell.key):
            raise PulledPlug
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", pull)
    with pytest.raises(PulledPlug):
        store.publish(cell, ended(cell, score=0.2), replace, examples=examples(store, cell, "its own"))
    assert store.record(cell).score == 0.2  # type: ignore[union-attr]
    assert not store.examples_path(cell.key).exists()


def test_undefined_numbers_survive_the_store(store: Store, cell: Cell) -> None:
    undefined = {"validation_curve": [{"step": 1.0, "score": math.nan}], "health": {"feature_std": math.nan}}
    store.publish(cell, ended(cell).model_copy(update=undefined))
    (record,) = store.records()
    assert isinstance(record, EvaluationRecord)
    assert record.validation_curve[0]["step"] == 1
    assert math.isnan(record.validation_curve[0]["score"])
    assert math.isnan(record.health["feature_std"])


def test_a_failure_never_blocks_a_success(store: Store, cell: Cell) -> None:
    store.publish(cell, ended(cell, "failed"))
    store.publish(cell, ended(cell, "failed"))
    assert store.record(cell) is None
    assert store.has_failed(cell)
    assert [record.reason for record in store.failures()] == ["why", "why"]
    assert list(store.records()) == []
    store.publish(cell, ended(cell))
    assert not store.has_failed(cell)
    assert list(store.failures()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', "\x00\x01"])
def test_a_corrupt_record_is_set_aside_and_the_cell_is_free(
    text: str, store: Store, cell: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    store.publish(cell, ended(cell))
    (path,) = store.folder.glob("records/*/*/*/*.json")
    path.write_text(text)
    assert store.record(cell) is None
    assert "set aside" in capsys.readouterr().err
    assert path.with_name(f"{path.name}.corrupt").exists()
    store.publish(cell, ended(cell))
    assert store.record(cell) is not None


def test_a_record_of_a_later_schema_stays_and_stops_what_reads_it(store: Store, cell: Cell) -> None:
    store.publish(cell, ended(cell))
    (path,) = store.folder.glob("records/*/*/*/*.json")
    path.write_text(path.read_text().replace(f'"schema_version": {SCHEMA}', f'"schema_version": {SCHEMA + 1}'))
    readers = [lambda: store.record(cell), lambda: list(store.records()), lambda: read_results(store)]
    for read in readers:
        with pytest.raises(
            UserError, match=rf"{path}: a record of schema {SCHEMA + 1}, and this version knows {SCHEMA}"
        ):
            read()
    assert path.exists()


def test_a_temporary_file_is_never_taken_for_a_record(store: Store, cell: Cell) -> None:
    store.publish(cell, ended(cell))
    (path,) = store.folder.glob("records/*/*/*/*.json")
    path.rename(path.with_name(f".{path.name}.abc.partial"))
    assert list(store.records()) == []


def test_a_plan_reads_back_and_a_corrupt_one_is_named(store: Store, cell: Cell) -> None:
    store.plan(cell)
    assert store.load_plan(cell.key) == cell
    (path,) = store.folder.glob("cells/*.json")
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(UserError, match="holds the plan of cell"):
        store.load_plan(cell.key)
    path.write_text("{")
    with pytest.raises(UserError, match=f"cell {cell.key}: its plan did not read; plan it again"):
        store.load_plan(cell.key)
    assert not path.exists()
    assert path.with_name(f"{path.name}.corrupt").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_damaged_plan_is_written_again_by_whoever_plans(content: bytes, store: Store, cell: Cell) -> None:
    store.plan(cell)
    (path,) = store.folder.glob("cells/*.json")
    path.write_bytes(content)
    store.plan(cell)
    assert store.load_plan(cell.key) == cell


@pytest.mark.parametrize("key", ["../../etc/passwd", "", "0123456789abcdeF", "x" * 16])
def test_a_key_cannot_leave_the_store(key: str, store: Store) -> None:
    with pytest.raises(UserError, match="16 hexadecimal digits"):
        store.load_plan(key)


def test_a_method_name_cannot_leave_the_store(store: Store, cell: Cell) -> None:
    spec = cell.evaluation
    assert not hasattr(spec.backbone, "name")
    evil = spec.model_copy(update={"task": "../../../evil"})
    escaped = cell.model_copy(update={"spec": evil})
    store.publish(escaped, ended(cell))
    assert all(store.folder in path.parents for path in store.folder.parent.rglob("*.json"))


def test_results_that_cannot_be_written_are_refused_before_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--results .*cannot be written"):
        Store(tmp_path / "file").check_writable()


def test_results_option_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_BENCH_RESULTS", "elsewhere")
    assert results_folder(Path("here")) == Path("here")
    assert results_folder(None) == Path("elsewhere")
    monkeypatch.delenv("SSL_BENCH_RESULTS")
    assert results_folder(None) == Path("results")


def test_a_disk_without_room_for_a_record_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, asked = Store(tmp_path), []

    def usage(folder: Path) -> SimpleNamespace:
        asked.append(folder)
        return SimpleNamespace(free=free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    free = 2**40
    store.check_room()
    free = 1000
    with pytest.raises(OSError, match="No space left") as full:
        store.check_room()
    assert full.value.errno == errno.ENOSPC
    assert asked == [tmp_path, tmp_path]
