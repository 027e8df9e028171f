"""A failure says where it happened: in its record, in the cell's log, and with ``--debug`` on the screen."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssl_bench.cli import main
from ssl_bench.executors.cells.outcomes import failure
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.record import TRACEBACK_CHARACTERS, AnyRecord, PretrainingRecord
from ssl_bench.store.store import Store
from ssl_bench.training.runtime import Runtime

METHOD = """
from ssl_bench.api.method import Method, MethodFacts

class Failing(Method):
    facts = MethodFacts(title="Failing", paper="none", year=2026, version=1, paradigm="geometric", pretrains="encoder")

    def training_step(self, volumes, draws):
        return self.deeper()

    def deeper(self):
        raise RuntimeError("no luck")
"""


@pytest.fixture
def plugin(tmp_path: Path, fresh_registry: None) -> Path:
    file = tmp_path / "failing.py"
    file.write_text(METHOD)
    return file


@pytest.fixture(autouse=True)
def _quiet_again() -> Iterator[None]:
    """What ``--debug`` switches on holds for a process."""
    root, own = logging.getLogger(), logging.getLogger("ssl_bench")
    handlers, level = list(root.handlers), own.level
    yield
    root.handlers[:] = handlers
    own.setLevel(level)


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["ssl-bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1


def failures(store: Store) -> list[AnyRecord]:
    return sorted(store.failures(), key=lambda record: record.spec.kind, reverse=True)


@pytest.mark.parametrize("debug", [True, False])
def test_a_failed_cell_keeps_its_traceback_and_debug_prints_it(
    debug: bool,
    plugin: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = ["run", "--method", "failing", "--task", "shc", "--protocol", "linear", "--preset", "smoke", "--quiet"]
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    run(
        [*call, "--plugin", str(plugin), "--results", str(tmp_path / "results"), *(["--debug"] if debug else [])],
        monkeypatch,
    )
    pretraining, evaluation = failures(Store(tmp_path / "results"))
    assert pretraining.reason == "RuntimeError: no luck"
    outer, inner = f'File "{plugin}", line 8, in training_step', f'File "{plugin}", line 11, in deeper'
    assert pretraining.traceback.index(outer) < pretraining.traceback.index(inner)
    assert pretraining.traceback.rstrip().endswith("RuntimeError: no luck")
    assert evaluation.traceback.rstrip().endswith(evaluation.reason or "?")
    said = capsys.readouterr().err
    assert (inner in said) is debug
    assert ("failing pre-training, seed 0" in said) is debug


def test_a_traceback_is_bounded_and_keeps_its_end(planner: Planner) -> None:
    record = failure(planner.pretraining("gvsl", 0), Runtime(), "it broke", {}, "x" * 10**6 + "the end")
    assert len(record.traceback) == TRACEBACK_CHARACTERS
    assert record.traceback.endswith("the end")


def test_a_record_of_before_has_none(planner: Planner) -> None:
    record = failure(planner.pretraining("gvsl", 0), Runtime(), "it broke")
    content = record.model_dump(mode="json")
    del content["traceback"]
    assert PretrainingRecord.model_validate(content).traceback == ""
