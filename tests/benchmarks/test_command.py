"""What ``python -m benchmarks`` measures, what it finds measured already, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import documents, figures
from benchmarks.__main__ import COMMANDS, LONG, PARTS, main
from benchmarks.figures import ROOT, Part, commit, identity, keep, machine_of
from benchmarks.tables import Table
from ssl_bench.errors import UserError
from ssl_bench.training.runtime import Runtime, usable_cores

MACHINE = {"processor": "a processor", "device": "cpu", "versions": {"torch": "2.9"}}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that a process was started for; none runs."""
    started: list[str] = []

    def start(call: list[str], check: bool) -> Namespace:
        started.append(call[call.index("--only") + 1])
        return Namespace(returncode=0)

    monkeypatch.setattr(command, "subprocess", SimpleNamespace(run=start))
    return started


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout of a few files."""
    for name in ("ssl_bench/report/page/page.css", "ssl_bench/presets/quick.toml", "methods/gvsl.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "losses,nothing"], "--only nothing: unknown part; known: step, "),
        (["--only", "report", "--device", "cuda"], "--device cuda: the part report "),
        (["--only", "two_workers", "--threads", "1"], "--threads 1: the part two_workers "),
        (["--only", "losses", "--threads", "0"], "--threads 0: "),
        (["--only", "losses", "--device", "mps"], "--device mps: cannot be timed"),
        (["--before", "nowhere.json"], "--before nowhere.json: no such file"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    arguments: list[str], said: str, measured: list[str]
) -> None:
    with pytest.raises(UserError, match=said):
        main([*arguments, "--quick"])
    assert not measured


def test_a_refusal_is_one_line_and_exit_2() -> None:
    call = [sys.executable, "-m", "benchmarks", "--only", "nothing"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_hours_are_spent_only_on_what_is_named(measured: list[str]) -> None:
    assert main(["--quick"]) == 0
    assert measured == [part for part in PARTS if part not in LONG]


def test_threads_that_are_given_leave_out_the_parts_that_have_their_own(measured: list[str]) -> None:
    main(["--quick", "--threads", "1"])
    assert measured == [part for part in PARTS if part not in (*COMMANDS, *LONG)]


@pytest.mark.parametrize(
    ("same", "options", "runs"),
    [
        (["machine", "code"], [], []),
        (["machine", "code"], ["--again"], ["losses"]),
        (["machine"], [], ["losses"]),
        (["code"], [], ["losses"]),
    ],
)
def test_a_part_is_measured_again_if_it_is_not_the_same_or_if_asked_to(
    same: list[str], options: list[str], runs: list[str], measured: list[str], tmp_path: Path
) -> None:
    here = Runtime("cpu", usable_cores())
    kept = {"identity": identity(here, quick=True) if "code" in same else "another", "quick": True, "tables": []}
    machine = machine_of(here) if "machine" in same else "another"
    (tmp_path / "figures.json").write_text(json.dumps({machine: {"losses": kept}}))
    main(["--quick", "--only", "losses", "--json", str(tmp_path / "figures.json"), *options])
    assert measured == runs


@pytest.mark.parametrize("name", ["ssl_bench/report/page/page.css", "ssl_bench/presets/quick.toml", "methods/gvsl.py"])
def test_another_asset_is_another_measurement(name: str, root: Path) -> None:
    before = identity(Runtime(), False, root)
    (root / name).write_text("after")
    assert identity(Runtime(), False, root) != before


def test_what_measuring_leaves_behind_changes_nothing(root: Path) -> None:
    before = identity(Runtime(), False, root)
    for name in ("methods/__pycache__/gvsl.pyc", "benchmarks/figures.json"):
        (root / name).parent.mkdir()
        (root / name).write_text("made")
    assert identity(Runtime(), False, root) == before


def test_only_what_may_change_a_figure_makes_its_commit_a_changed_one(root: Path) -> None:
    (root / "benchmarks").mkdir()
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for call in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(root), *call], check=True)
    (root / "benchmarks" / "figures.json").write_text("{}")
    (root / "performance.md").write_text("tables")
    clean = commit(root)
    (root / "methods" / "gvsl.py").write_text("edited")
    assert (len(clean), commit(root)) == (12, f"{clean}+changes")


@pytest.mark.parametrize(
    "changed", [{"processor": "another"}, {"device": "a GPU"}, {"versions": {"torch": "3.0"}}, {"cores": 64}]
)
def test_another_machine_is_another_measurement(
    changed: dict[str, Any], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on(machine: dict[str, Any]) -> str:
        monkeypatch.setattr(figures, "provenance", lambda *_: machine)
        monkeypatch.setattr(figures, "usable_cores", lambda: machine.get("cores", 2))
        return identity(Runtime(), False, root)

    assert on(MACHINE) != on(MACHINE | changed)


@pytest.mark.parametrize("text", ['{"losses": {"identity": "", "quick": false, "tables": []}}', "[]", "torn"])
def test_a_file_of_something_else_is_refused_and_stays(text: str, measured: list[str], tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    file.write_text(text)
    with pytest.raises(UserError, match=r"figures.json: are not figures of parts by machine"):
        main(["--quick", "--only", "losses", "--json", str(file)])
    assert (file.read_text("utf-8"), measured) == (text, [])


@pytest.fixture
def documents_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for docs/figures.md and docs/performance.md, the second with room for one table."""
    monkeypatch.setattr(documents, "EVERY_FIGURE", tmp_path / "figures.md")
    monkeypatch.setattr(documents, "PERFORMANCE", tmp_path / "performance.md")
    (tmp_path / "performance.md").write_text("<!-- Losses -->\n<!-- end of Losses -->\n")
    return tmp_path


def measured_on(machine: str) -> Part:
    """Figures of the losses that say whose they are."""
    tables: list[Table] = [{"title": "Losses", "rows": [{"loss": f"of {machine}"}]}]
    conditions = {
        "processor": machine,
        "cores": 2,
        "versions": {"torch": "2"},
        "commit": "abc",
        "created": "2026-01-01",
    }
    conditions |= {"load_before": 0.0, "load_after": 1.0, "seconds": 2.0}
    return Part(quick=False, identity="", conditions=conditions, tables=tables)


def test_both_documents_hold_each_machine_s_tables(measured: list[str], documents_in: Path) -> None:
    for machine in ("one", "two"):
        keep(documents_in / "figures.json", machine, "losses", measured_on(machine))
    main(["--only", "step", "--json", str(documents_in / "figures.json")])
    for name in ("figures.md", "performance.md"):
        text = (documents_in / name).read_text("utf-8")
        assert 0 < text.index("| of one |") < text.index("| of two |"), name


def test_what_was_measured_quickly_enters_no_document(measured: list[str], documents_in: Path) -> None:
    keep(documents_in / "figures.json", "one", "losses", measured_on("one") | {"quick": True})
    main(["--only", "step", "--json", str(documents_in / "figures.json")])
    assert "| of one |" not in (documents_in / "figures.md").read_text("utf-8") + (
        documents_in / "performance.md"
    ).read_text("utf-8")


def test_a_gpu_and_its_processor_are_two_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "provenance", lambda runtime, _: MACHINE | {"device": runtime.device})
    monkeypatch.setattr(figures, "usable_cores", lambda: 2)
    assert machine_of(Runtime("cpu")) == "a processor, 2 cores"
    assert machine_of(Runtime("cuda:0")) == "a processor, 2 cores, cuda:0"


def test_a_comparison_is_not_shown_when_its_matrices_are_no_longer_alike(
    measured: list[str], documents_in: Path
) -> None:
    keep(documents_in / "figures.json", "a machine", "one_worker", measured_on("one"))
    main(["--only", "one_worker", "--json", str(documents_in / "figures.json")])
    assert "No machine has measured all of these runs at one commit." in (documents_in / "figures.md").read_text(
        "utf-8"
    )
