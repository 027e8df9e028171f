"""The command line as a user meets it: answers, errors of one line, exit codes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from ssl_bench.cli.matrix import number_list
from ssl_bench.cli.planning import names
from ssl_bench.errors import UserError

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_help_imports_no_torch() -> None:
    import sys

    code = (
        "import sys; sys.argv = ['ssl-bench', '--help']\n"
        "from ssl_bench.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'scipy', 'pydantic', 'monai', 'sklearn'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    for name in ("run", "matrix", "cell", "pretrain", "evaluate", "report", "methods", "tasks", "protocols", "data"):
        assert f"\n  {name} " in done.stdout


def test_the_version_is_printed_without_a_command(command: Command) -> None:
    done = command("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ssl-bench {version('ssl-bench')}\n", "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "--method", "gvls", "--task", "sbm"], "unknown method 'gvls'; did you mean 'gvsl'?"),
        (["run", "--method", "gvsl", "--task", "brain"], "unknown task 'brain'; known: ccc, sac, sbm, shc"),
        (["run", "--method", "gvsl", "--task", "sbm", "--protocol", "liner"], "unknown protocol 'liner'"),
        (["run", "--method", "gvsl", "--task", "sbm", "--preset", "huge"], "unknown preset 'huge'; known:"),
        (["run", "--method", "gvsl", "--task", "sbm", "--device", "cuda:99"], "--device cuda:99: not available"),
        (["run", "--method", "gvsl", "--task", "sbm", "--device", "toaster"], "--device toaster: not a device"),
        (["run", "--method", "gvsl", "--task", "sbm", "--threads", "0"], "--threads 0: must be at least 1"),
        (["run", "--method", "gvsl", "--task", "sbm", "--set", "widht=8"], "preset quick: widht:"),
        (["run", "--method", "gvsl", "--task", "sbm", "--set", "width=12"], "preset quick: width:"),
        (
            ["run", "--method", "gvsl", "--task", "sbm", "--anatomy", "a.nii.gz"],
            "--anatomy a.nii.gz: expected IMAGE,LABELS",
        ),
        (["run", "--method", "gvsl", "--task", "sbm", "--anatomy", "a.nii,b.nii"], "no such file"),
        (["run", "--method", "gvsl", "--task", "sbm", "--results", "file"], "--results file: cannot be written"),
        (["run", "--method", "gvsl"], "Missing option '--task'"),
        (["run", "--metod", "gvsl"], "No such option: --metod"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["data"], "Missing command"),
        (["data", "show", "sbn", "--out", "x.png"], "unknown task 'sbn'; did you mean 'sbm'?"),
        (["data", "show", "sbm", "--out", "no/such/x.png"], "--out no/such/x.png: its folder does not exist"),
        (["data", "show", "sbm", "--split", "dev", "--out", "x.png"], "--split dev: use train, validation or test"),
        (["cell", "../../etc"], "16 hexadecimal digits"),
        (["cell", "0123456789abcdef"], "no plan in"),
        (["matrix", "--methods", "gvsl,simsam"], "unknown method 'simsam'; did you mean 'simsiam'?"),
        (["matrix", "--methods", ","], "--methods is empty"),
        (["matrix", "--seeds", "4-2"], "--seeds 4-2: expected numbers"),
        (["matrix", "--executor", "cloud"], "--executor cloud: unknown"),
        (["pretrain", "--method", "scratch", "--out", "x"], "--method scratch: pre-trains nothing"),
        (["pretrain", "--method", "gvsl", "--out", "."], "--out .: is a folder"),
        (["evaluate", "--backbone", "missing.safetensors", "--task", "sbm"], "missing.safetensors: no such file"),
        (["evaluate", "--backbone", ".", "--task", "sbm"], ".: is a folder"),
        (["evaluate", "--backbone", "file", "--task", "sbm"], "file: not a safetensors file"),
        (["report", "--results", "nowhere"], "--results nowhere: no such folder"),
        (["report", "--format", "xlsx"], "Invalid value for '--format'"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(
    arguments: list[str], complaint: str, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not weights")
    before = sorted(tmp_path.rglob("*"))
    done = command(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert complaint in lines[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_debug_shows_the_traceback(command: Command) -> None:
    done = command("run", "--method", "nope", "--task", "sbm", "--debug")
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "UserError" in done.stderr


def test_listings_name_every_plugin_and_speak_json(command: Command) -> None:
    rows = json.loads(command("methods", "--json").stdout)
    assert [row["name"] for row in rows] == [
        "barlow_twins", "byol", "deepcluster", "denoising", "dense_contrast", "dino", "gvsl", "gvsl_no_affine",
        "gvsl_no_fundament", "gvsl_no_zmatching", "inpainting", "mae", "moco", "models_genesis", "rotation", "scratch",
        "simclr", "simmim", "simsiam", "spark", "swin_pretext", "vicreg", "voco", "volume_fusion",
    ]  # fmt: skip
    assert all(row.keys() >= {"title", "paper", "year", "version", "paradigm", "pretrains"} for row in rows)
    assert "gvsl" in command("methods").stdout
    assert {row["name"] for row in json.loads(command("tasks", "--json").stdout)} == {"shc", "sac", "sbm", "ccc"}
    protocols = {row["name"] for row in json.loads(command("protocols", "--json").stdout)}
    train = {f"{name}-v{version}" for name in ("linear", "finetune", "probe") for version in (1, 2)}
    measure = {f"{name}-v1" for name in ("match", "transfer", "retrieval", "knn", "register")}
    assert protocols == train | measure
    backbones = {row["name"] for row in json.loads(command("backbones", "--json").stdout)}
    assert backbones == {
        "unet3d",
        "models_genesis",
        "primus",
        "primus_m",
        "resenc",
        "resenc_l",
        "swinunetr",
        "swinunetr_v2",
    }
    executors = {row["name"] for row in json.loads(command("executors", "--json").stdout)}
    assert executors == {"inline", "local", "slurm", "plan"}


def test_the_main_job_and_what_follows_from_it(command: Command, tmp_path: Path) -> None:
    """Run, run again, cell, report, corrupt plan: one store, through the command line alone."""
    run = ("run", "--method", "gvsl", "--task", "shc", "--preset", "smoke", "--quiet")
    done = command(*run, "--json")
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)
    assert [record["science"]["protocol"] for record in records] == ["linear-v2", "finetune-v2"]
    store = tmp_path / "results"
    assert len(list(store.glob("records/gvsl/shc/*/*.json"))) == 2
    assert len(list(store.glob("pretrained/*/backbone.safetensors"))) == 1
    assert len(list(store.glob("cells/*.json"))) == 3

    stamps = {path: path.stat().st_mtime_ns for path in store.rglob("*.json")}
    again = command(*run)
    assert again.returncode == 0
    assert "not comparable with any paper's" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.json")} == stamps

    key = records[0]["key"]
    assert key in command("cell", key, "--quiet").stdout

    dry = command("matrix", "--methods", "gvsl,scratch", "--tasks", "shc", "--preset", "smoke", "--dry-run")
    assert dry.stdout.count("done   ") == 3
    assert "5 cells, 3 done" in dry.stdout

    page = command("report").stdout
    assert "Semi-real data" in page
    assert "| geometric | gvsl |" in page
    rows = list(csv.DictReader(io.StringIO(command("report", "--format", "csv").stdout)))
    assert {row["key"] for row in rows} == {record["key"] for record in records}
    assert [float(row["score"]) for row in sorted(rows, key=lambda row: row["protocol"])] == [
        record["score"] for record in sorted(records, key=lambda record: record["science"]["protocol"])
    ]
    assert command("report", "--out", "page.md").returncode == 0
    assert (tmp_path / "page.md").read_text("utf-8") == page

    plan = store / "cells" / f"{key}.json"
    plan.write_text(plan.read_text()[:100])
    broken = command("cell", key)
    assert broken.returncode == 2
    assert f"{key}.json: corrupt plan; set aside" in broken.stderr


def test_weights_go_out_and_come_back_in(command: Command, tmp_path: Path) -> None:
    done = command("pretrain", "--method", "simsiam", "--preset", "smoke", "--out", "net.safetensors", "--quiet")
    assert done.returncode == 0, done.stderr
    done = command(
        "evaluate", "--backbone", "net.safetensors", "--task", "ccc", "--preset", "smoke", "--protocol", "linear"
    )
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "72 tensors matched, 0 missing, 0 left over; layout ssl-bench; pre-trained: encoder; licence" in said
    assert "external:net" in done.stdout
    (path,) = (tmp_path / "results" / "records").rglob("*.json")
    assert path.parts[-4] == "external-net"
    assert json.loads(path.read_text())["scene"] == "inter"


def test_a_failed_cell_is_exit_1(command: Command, tmp_path: Path) -> None:
    code = (
        "from ssl_bench.methods.scratch import Scratch\nfrom ssl_bench.executors.cells import run_cell\n"
        "def fail(*_): raise RuntimeError('out of luck')\nrun_cell._run = fail\n"
        "from ssl_bench.cli import main\nmain()"
    )
    import sys

    call = [sys.executable, "-c", code, "run", "--method", "scratch", "--task", "shc", "--preset", "smoke"]
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "RuntimeError: out of luck" in done.stdout
    assert len(list((tmp_path / "results").rglob("*.failed-*.json"))) == 2


def test_a_picture_is_a_png(command: Command, tmp_path: Path) -> None:
    done = command("data", "show", "shc", "--preset", "smoke", "--cases", "1", "--out", "shc.png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "shc.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "seeds"), [("0", [0]), ("0,2,1", [0, 2, 1]), ("0-3", [0, 1, 2, 3]), ("1-2,2,7", [1, 2, 7])]
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert number_list(text, "--seeds") == seeds


@pytest.mark.parametrize("text", ["", "a", "-1", "1-", "3-1", "0.5"])
def test_bad_seeds(text: str) -> None:
    with pytest.raises(UserError):
        number_list(text, "--seeds")


def test_names_are_unique_and_in_order() -> None:
    assert names("b, a,b", "--x") == ["b", "a"]
    assert names("all", "--x", lambda: ["p", "q"]) == ["p", "q"]
