"""``ssl-bench matrix``: its file, its executors' options, and what a dry run says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ssl_bench.api.settings import load_preset
from ssl_bench.cli import app
from ssl_bench.errors import UserError
from ssl_bench.executors.cells.outcomes import failure
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.store.store import Store
from ssl_bench.training.runtime import Runtime

FILE = """
methods = ["simsiam", "scratch"]
tasks = "shc"
protocols = "linear"
seeds = [1, 2]
preset = "smoke"
precision = "float32"
"""


def dry_run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["matrix", "--dry-run", *map(str, arguments)])


def titles(result: Any) -> list[str]:
    assert result.exit_code == 0, result.exception
    return [line.partition("to do  ")[2] for line in result.stdout.splitlines() if "to do" in line]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "matrix.toml"
    path.write_text(FILE)
    return path


def test_a_file_gives_the_options(file: Path) -> None:
    assert titles(dry_run(file)) == [
        *("simsiam pre-training, seed 1", "simsiam shc linear-v2, seed 1", "scratch shc linear-v2, seed 1"),
        *("simsiam pre-training, seed 2", "simsiam shc linear-v2, seed 2", "scratch shc linear-v2, seed 2"),
    ]


def test_options_on_the_command_line_win(file: Path) -> None:
    assert titles(dry_run("--seeds", "7", file, "--methods", "scratch")) == ["scratch shc linear-v2, seed 7"]


def test_a_file_overrides_settings_as_the_command_line_does(file: Path) -> None:
    said = dry_run(file, "--set", "protocols.linear.steps=6", "--set", "precision=float32").stdout
    file.write_text(f'{FILE}[set]\nprotocols.linear.steps = 6\nprecision = "float32"\n')
    assert dry_run(file).stdout == said


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("method = 'gvsl'", "matrix.toml: method: unknown; known: allow-overlap, anatomy,"),
        ("[methods]\ngvsl = 1", "matrix.toml: methods: expected a value, not a table"),
        ("methods = ", "matrix.toml: does not read as TOML: "),
        ("executor = 'inline'\nworkers = 2", "--workers 2: needs --executor local"),
    ],
)
def test_what_a_file_may_not_say(text: str, complaint: str, file: Path) -> None:
    file.write_text(text)
    error = dry_run(file).exception
    assert isinstance(error, UserError)
    assert complaint in str(error)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    error = dry_run(tmp_path / "nothing.toml").exception
    assert isinstance(error, UserError)
    assert "nothing.toml: no such file" in str(error)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--devices", "cuda:0"], "--devices cuda:0: needs --executor local"),
        (["--executor", "local", "--devices", "cuda:0", "--workers", "2"], "leave out --workers"),
        (["--executor", "local", "--devices", "cuda:0", "--device", "cpu"], "leave out --device"),
        (["--executor", "local", "--device", "cuda"], "under --executor local use --devices"),
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments: list[str], complaint: str) -> None:
    error = dry_run(*arguments).exception
    assert isinstance(error, UserError)
    assert complaint in str(error)


def keep(store: Store, cell: Cell, hours: float) -> None:
    record = failure(cell, Runtime(), "", {"device_seconds": hours * 3600})
    store.publish(cell, record.model_copy(update={"status": "ok"}))


def test_a_dry_run_estimates_from_cells_of_the_setting(file: Path, planner: Planner, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    assert "nothing to estimate from" in dry_run(file, "--results", store.folder).stdout
    other = Planner(load_preset("smoke", ["width=16"]), ["width=16"], "float32")
    keep(store, other.evaluation("scratch", "shc", "linear", 0), hours=100)
    assert "nothing to estimate from" in dry_run(file, "--results", store.folder).stdout

    keep(store, planner.evaluation("scratch", "shc", "linear", 0), hours=2)
    keep(store, planner.evaluation("gvsl", "shc", "linear", 0), hours=4)
    # Two cells of scratch as the one of scratch, two of simsiam as the mean over methods.
    said = dry_run(file, "--results", store.folder).stdout
    assert "about 10 device-hours, and 2 cells unlike any that ended" in said
    assert "device-hours" in said.splitlines()[-1], "only a scheduler adds its files"
    keep(store, planner.pretraining("gvsl", 0), hours=5)
    assert "about 20 device-hours, judged" in dry_run(file, "--results", store.folder).stdout


def test_the_planner_resolves_what_cells_share_once(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand cells in seconds: what lies in files, such as an anatomy of the user's, is read once a task."""
    from ssl_bench.data.generated import GeneratedCases

    asked: list[object] = []
    describe = GeneratedCases.describe
    monkeypatch.setattr(GeneratedCases, "describe", lambda source: asked.append(source.place) or describe(source))
    for seed in range(3):
        for task in ("shc", "ccc"):
            planner.evaluation("scratch", task, "linear", seed)
    assert asked == ["task 'shc'", "task 'ccc'"]


def test_planning_imports_no_library_that_only_training_needs() -> None:
    code = (
        "import sys; sys.argv = 'ssl-bench matrix --dry-run --preset smoke --precision float32 --device cpu'.split()\n"
        "from ssl_bench.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'lightly', 'timm', 'torchvision', 'sklearn', 'skimage', 'monai', 'lightning_fabric', 'matplotlib'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout


def test_plans_for_another_scheduler_run_by_their_keys(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    cells = ["--methods", "scratch", "--tasks", "shc", "--protocols", "linear", "--preset", "smoke"]
    planned = command("matrix", *cells, "--executor", "plan", "--results", "store")
    (key,) = planned.stdout.split()
    assert (tmp_path / "store" / "cells" / f"{key}.json").exists()
    assert not (tmp_path / "store" / "records").exists()
    assert command("cell", key, "--results", "store", "--quiet").returncode == 0
    assert command("matrix", *cells, "--executor", "plan", "--results", "store").stdout == ""


def test_all_tasks_are_those_that_the_preset_has_the_steps_for_and_all_protocols_the_newest() -> None:
    result = dry_run("--methods", "scratch", "--protocols", "all", "--preset", "quick")
    of_voxels = ("finetune-v2", "linear-v2", "match-v1", "probe-v2", "register-v1", "retrieval-v1", "transfer-v1")
    protocols = {"ccc": ("finetune-v2", "knn-v1", "linear-v2", "probe-v2"), "sbm": of_voxels, "shc": of_voxels}
    planned = [title for title in titles(result) if not title.startswith("control:")]
    assert planned == [f"scratch {task} {name}, seed 0" for task, names in protocols.items() for name in names]
    assert result.stderr.splitlines()[:1] == [
        "--tasks all leaves out sac under preset quick: coronary arteries are too thin for a training of minutes; "
        "name it to run it"
    ]
    named = dry_run("--methods", "scratch", "--tasks", "sac", "--protocols", "linear", "--preset", "quick")
    assert titles(named) == ["scratch sac linear-v2, seed 0"]
    assert named.stderr == ""
    assert "scratch sac linear-v2, seed 0" in titles(dry_run("--methods", "scratch", "--preset", "smoke"))


def test_reset_plans_rows_of_their_own_and_leaves_out_what_it_would_not_change() -> None:
    options = ("--tasks", "shc,ccc", "--protocols", "finetune,probe", "--reset", "decoder", "--preset", "smoke")
    result = dry_run("--methods", "scratch,rotation,gvsl", *options)
    assert titles(result) == ["gvsl pre-training, seed 0", "gvsl (reset decoder) shc finetune-v2, seed 0"]
    assert result.stderr.splitlines() == [
        "--reset leaves out: scratch pre-trains nothing, so that its decoder is random anyway",
        "--reset leaves out: rotation pre-trains the encoder alone, so that its decoder is random anyway",
        "--reset leaves out: shc under probe-v2 reads the encoder alone",
        "--reset leaves out: ccc under finetune-v2 reads the encoder alone",
        "--reset leaves out: ccc under probe-v2 reads the encoder alone",
    ]


def test_a_file_may_say_reset(file: Path) -> None:
    file.write_text(f'{FILE}reset = "encoder"\n'.replace('"simsiam"', '"gvsl"'))
    assert "gvsl (reset encoder) shc linear-v2, seed 1" in titles(dry_run(file))


@pytest.mark.parametrize(
    ("method", "reset", "complaint"),
    [
        ("scratch", "encoder", "--reset: scratch pre-trains nothing, so that its encoder is random anyway;"),
        ("rotation", "encoder", "--reset: rotation pre-trains the encoder alone: without it, it is scratch;"),
    ],
)
def test_a_reset_that_changes_nothing_is_refused(method: str, reset: str, complaint: str) -> None:
    arguments = ["run", "--method", method, "--task", "shc", "--preset", "smoke", "--reset", reset]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, UserError)
    assert complaint in str(error)
    assert "leave --reset out" in str(error)


def test_a_wrong_name_of_a_control_is_one_line_with_the_right_ones() -> None:
    result = dry_run("--methods", "control:postion", "--tasks", "shc", "--protocols", "match", "--preset", "smoke")
    assert isinstance(result.exception, UserError)
    assert "control:position, control:patches" in f"{result.exception} {result.stderr}"
