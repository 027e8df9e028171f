"""Methods and tasks from outside: files, templates, and the same scores as from inside."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ssl_bench.api.registry import METHODS, TASKS, add_plugin_file
from ssl_bench.cli.plugins import Kind, new
from ssl_bench.conformance.method_checks import METHOD_CHECKS
from ssl_bench.errors import UserError
from ssl_bench.executors.inline import run_cells
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime

Command = Callable[..., subprocess.CompletedProcess[str]]
BUILT_IN = Path(__file__).parents[2] / "methods"


@pytest.mark.usefixtures("fresh_registry")
def test_a_method_scores_the_same_inside_and_outside(planner: Planner, tmp_path: Path, runtime: Runtime) -> None:
    outside = tmp_path / "my_denoising.py"
    shutil.copyfile(BUILT_IN / "denoising.py", outside)
    add_plugin_file(outside)
    cells = [planner.evaluation(method, "shc", "finetune", 0) for method in ("denoising", "my_denoising")]
    assert cells[1].plugins == (outside,)
    inside, plugged = run_cells(cells, Store(tmp_path / "store"), runtime, Progress(shown=False))
    assert isinstance(inside, EvaluationRecord)
    assert isinstance(plugged, EvaluationRecord)
    assert inside.cases == plugged.cases
    assert inside.key != plugged.key


@pytest.mark.usefixtures("fresh_registry")
def test_an_edited_plugin_is_another_cell(planner: Planner, tmp_path: Path) -> None:
    outside = tmp_path / "my_denoising.py"
    shutil.copyfile(BUILT_IN / "denoising.py", outside)
    add_plugin_file(outside)
    key = planner.pretraining("my_denoising", 0).key
    outside.write_text(outside.read_text() + "\n# changed\n")
    # One planner answers the same throughout a command; the next command looks again.
    assert Planner(planner.preset, [], "float32").pretraining("my_denoising", 0).key != key


@pytest.mark.usefixtures("fresh_registry")
@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("nothing.py", None, "no such Python file"),
        ("notes.txt", "x = 1", "no such Python file"),
        ("my-method.py", "x = 1", "'my-method' cannot name a plugin"),
        ("empty.py", "x = 1", "defines no Method, Task, Protocol, Backbone or Executor"),
        ("broken.py", "import no_such_module", "does not import: ModuleNotFoundError: No module named"),
        ("broken_too.py", "def f(:", "does not import: SyntaxError"),
        ("leaves.py", "import sys; sys.exit(3)", "does not import: SystemExit: 3; correct the file"),
        (
            "no_facts.py",
            "from ssl_bench.api.method import Method\n"
            "class A(Method):\n    def training_step(self, volumes, draws): ...",
            r"'no_facts' \(.*no_facts\.py\) declares no facts",
        ),
        ("gvsl.py", "from ssl_bench.methods.scratch import Scratch\nclass Mine(Scratch): ...", "called 'gvsl' already"),
        (
            "two.py",
            "from ssl_bench.methods.scratch import Scratch\nclass A(Scratch): ...\nclass B(Scratch): ...",
            r"defines 2 \(A, B\) subclasses of Method; define one",
        ),
    ],
)
def test_a_bad_plugin_file_is_named(file: str, text: str | None, complaint: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / file).write_text(text)
    methods, tasks = METHODS.names(), TASKS.names()
    with pytest.raises(UserError, match=complaint):
        add_plugin_file(tmp_path / file)
    assert (METHODS.names(), TASKS.names()) == (methods, tasks)


@pytest.mark.parametrize(
    ("kind", "name", "complaint"),
    [
        ("method", "restoration_head", "would make a class RestorationHead, a name that its file needs"),
        ("method", "f", "would make a class F, a name that its file needs"),
        ("task", "variation", "would make a class Variation, a name that its file needs"),
        ("task", "none", "would make a class None, a name that its file needs"),
        ("method", "torch", "'torch' is a Python module, which .*torch.py would hide"),
        ("task", "json", "'json' is a Python module, which .*json.py would hide"),
        ("task", "__main__", "cannot name a task; use lower-case letters"),
        ("protocol", "probing", "a protocol's name ends in its version; use probing_v1"),
        ("protocol", "linear_v1", "another protocol is called 'linear-v1' already"),
        ("executor", "local", "another executor is called 'local' already"),
    ],
)
def test_new_refuses_a_name_that_would_hide_what_it_needs(kind: str, name: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint):
        new(Kind(kind), name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("fresh_registry")
def test_what_a_plugin_file_prints_when_imported_does_not_reach_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (BUILT_IN / "denoising.py").read_text("utf-8")
    (tmp_path / "talkative.py").write_text(f"{text}\nprint('hello')\n", "utf-8")
    add_plugin_file(tmp_path / "talkative.py")
    assert capsys.readouterr() == ("", "hello\n")


def test_new_writes_a_method_that_passes_its_own_test_and_runs(command: Command, tmp_path: Path) -> None:
    assert command("new", "method", "wiped_planes").returncode == 0
    done = command("check", "method", "wiped_planes", "--plugin", "wiped_planes.py")
    assert done.returncode == 0, done.stdout
    assert f"{len(METHOD_CHECKS)} of {len(METHOD_CHECKS)} promises kept" in done.stdout
    run = ("--method", "wiped_planes", "--task", "shc", "--protocol", "linear", "--preset", "smoke", "--quiet")
    done = command("run", *run, "--plugin", "wiped_planes.py")
    assert done.returncode == 0, done.stderr
    # The plan names the file, so that a cell runs by its key alone.
    (record,) = (tmp_path / "results" / "records").rglob("*.json")
    record.unlink()
    done = command("cell", record.stem, "--quiet")
    assert done.returncode == 0, done.stderr
    assert "wiped_planes" in done.stdout
    again = command("new", "method", "wiped_planes")
    assert again.returncode == 2
    assert "wiped_planes.py: exists; choose another name" in again.stderr


def test_new_writes_a_task_that_runs(command: Command) -> None:
    assert command("new", "task", "aorta").returncode == 0
    done = command(
        "run", "--method", "scratch", "--task", "aorta", "--protocol", "linear", "--preset", "smoke", "--plugin",
        "aorta.py", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kind", "name", "passed"),
    [("task", "aorta", 7), ("backbone", "small_net", 12), ("protocol", "fresh_v1", 8), ("executor", "one_by_one", 1)],
)
def test_the_written_test_passes(kind: str, name: str, passed: int, command: Command, tmp_path: Path) -> None:
    done = command("new", kind, name)
    assert done.returncode == 0, done.stderr
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"test_{name}.py"]
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout
    assert f"{passed} passed" in done.stdout


def test_check_exits_1_for_a_broken_method(command: Command) -> None:
    broken = Path(__file__).parents[1] / "conformance" / "broken" / "returns_nan.py"
    done = command("check", "method", "returns_nan", "--plugin", str(broken))
    assert done.returncode == 1
    assert "FAIL" in done.stdout
    assert "the loss is nan on a batch of real volumes" in done.stdout
    assert done.stdout.count("FAIL") == 1
    assert f"1 of {len(METHOD_CHECKS)} promises kept; {len(METHOD_CHECKS) - 2} not examined" in done.stdout
    assert f"[1/{len(METHOD_CHECKS)}]" not in done.stderr, "a line that a terminal writes over, in a log"
