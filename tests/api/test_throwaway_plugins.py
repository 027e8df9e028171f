"""A backbone, a protocol and an executor from outside: one file each, found by ``--plugin`` or an entry point."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ssl_bench.api.registry import BACKBONES, EXECUTORS, PROTOCOLS, add_plugin_file, resolve_protocol
from ssl_bench.api.settings import load_preset
from ssl_bench.cli import app
from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.store.store import Store
from ssl_bench.weights.loading import describe_external

BACKBONE = """
from torch import nn
from ssl_bench.api import Backbone, BackboneFacts

class Tiny(Backbone):
    facts = BackboneFacts(title="Two stages", source="a test")
    stride = 2
    encoder_modules = ("fine", "coarse")
    decoder_modules = ("join",)

    def __init__(self, width):
        super().__init__(width)
        self.fine = nn.Conv3d(1, width, 3, padding=1)
        self.coarse = nn.Conv3d(width, 2 * width, 2, stride=2)
        self.join = nn.ConvTranspose3d(2 * width, width, 2, stride=2)

    @property
    def stage_channels(self):
        return self.width, 2 * self.width

    def stages(self, volumes):
        fine = self.run(self.fine, self.pad(volumes)).tanh()
        return [fine, self.run(self.coarse, fine).tanh()]

    def decode(self, stages):
        return stages[0] + self.run(self.join, stages[1])
"""
PROTOCOL = """
import torch
from ssl_bench.api import Protocol, ProtocolFacts, Training
from ssl_bench.api.rng import numpy_generator
from ssl_bench.nn.heads import PaperDownstream
from ssl_bench.nn.losses import PAPER_LOSSES

class Anywhere(Protocol):
    facts = ProtocolFacts(title="Frozen, windows anywhere", source="a test", frozen_backbone=True)

    def build(self, backbone, kind, classes):
        return PaperDownstream(backbone, kind, classes)

    def prepare(self, model, batches, features):
        def draw(step):
            volumes, targets = batches.draw(1, numpy_generator(self.seed, "anywhere", step))
            with torch.no_grad():
                return features(volumes), targets

        return Training(model.head, draw, (self.settings.optimiser,), PAPER_LOSSES[model.kind])
"""
EXECUTOR = """
from pathlib import Path
from ssl_bench.api import Executor, ExecutorFacts, ExecutorSettings
from ssl_bench.executors.inline import run_cells
from ssl_bench.training.progress import Progress

class BackwardsSettings(ExecutorSettings):
    log: Path

class Backwards(Executor):
    Settings = BackwardsSettings
    facts = ExecutorFacts(title="the last cell first")

    def run(self, work):
        self.settings.log.write_text(" ".join(cell.key for cell in work.cells))
        records = run_cells(work.cells[::-1], work.store, work.runtime, Progress(work.shown), work.rerun)
        return records[::-1]

    @classmethod
    def queued(cls, results):
        return {path.stem: "job 7 waits" for path in (results / "cells").glob("*.json")}
"""
FILES = {"tiny.py": BACKBONE, "anywhere_v2.py": PROTOCOL, "backwards.py": EXECUTOR}
BACKWARDS = ("--executor", "backwards", "--executor-set", "log=x")
SMOKE = ("--preset", "smoke", "--precision", "float32", "--threads", "1", "--json", "--quiet")


@pytest.fixture
def plugins(tmp_path: Path, fresh_registry: None) -> list[str]:
    """The options that name the three files."""
    options = []
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        options += ["--plugin", str(tmp_path / name)]
    return options


def run(*arguments: object) -> list[dict[str, Any]]:
    ended = CliRunner().invoke(app, [*map(str, arguments), *SMOKE])
    assert ended.exit_code == 0, ended.exception
    found: list[dict[str, Any]] = json.loads(ended.stdout)
    return found


def test_a_backbone_pretrains_is_evaluated_and_has_keys_of_its_own(plugins: list[str], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    call = ("run", "--method", "denoising", "--task", "shc", "--protocol", "probe,finetune", "--results", store.folder)
    records = run(*call, "--set", "backbone=tiny", *plugins)
    assert [record["status"] for record in records] == ["ok", "ok"]
    for record, used in zip(records, (["fine", "coarse"], ["fine", "coarse", "join"]), strict=True):
        assert record["modules"]["pretrained"] == used
        assert record["science"]["backbone"]["network"] == "tiny"
        assert record["science"]["backbone"]["network_source"] == BACKBONES.source_digest("tiny")
    shared = Planner(load_preset("smoke"), [], "float32").evaluation("denoising", "shc", "probe", 0)
    assert records[0]["key"] != shared.key
    assert records[0]["setting"]["digest"] != shared.setting.digest
    (plan,) = (plan for plan in store.plans() if plan.kind == "pretraining")
    assert plan.plugins == (tmp_path / "tiny.py",)

    weights = store.backbone_path(plan.key)
    external = describe_external(weights)
    assert (external.network, external.width, external.origin.pretrains) == ("tiny", 8, "encoder and decoder")
    call = ("evaluate", "--backbone", weights, "--task", "shc", "--protocol", "probe", "--results", store.folder)
    (again,) = run(*call, *plugins)
    assert again["cases"] == records[0]["cases"]
    BACKBONES._given.clear()
    with pytest.raises(UserError, match="holds the backbone 'tiny', which is not here; name it with --plugin"):
        describe_external(weights)


def test_a_changed_file_of_a_backbone_or_a_protocol_is_another_cell(plugins: list[str], tmp_path: Path) -> None:
    for file in FILES:
        add_plugin_file(tmp_path / file)

    def key(protocol: str, *overrides: str) -> str:
        planner = Planner(load_preset("smoke", overrides), overrides, "float32")
        return planner.evaluation("scratch", "shc", protocol, 0).key

    before = [key("linear", "backbone=tiny"), key("anywhere"), key("linear")]
    for file in FILES:
        (tmp_path / file).write_text(FILES[file] + "\n# changed\n")
    after = [key("linear", "backbone=tiny"), key("anywhere"), key("linear")]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]


def test_a_protocol_scores_and_an_executor_runs_with_its_own_options(plugins: list[str], tmp_path: Path) -> None:
    log = tmp_path / "order.txt"
    call = ("matrix", "--methods", "scratch", "--tasks", "shc", "--protocols", "anywhere,linear", *plugins)
    own = ("--executor", "backwards", "--executor-set", f"log={log}", "--results", tmp_path / "store")
    records = run(*call, *own)
    assert [record["science"]["protocol"] for record in records] == ["anywhere-v2", "linear-v2"]
    assert all(record["score"] is not None for record in records)
    assert records[0]["science"]["protocol_settings"]["steps"] == 4, "as linear-v1, where the preset does not know it"
    assert "protocol_source" not in records[1]["science"] or records[1]["science"]["protocol_source"] is None
    page = CliRunner().invoke(app, ["report", "--results", str(tmp_path / "store")]).stdout
    assert f"anywhere-v2 ({records[0]['science']['protocol_source'][:6]})" in page
    assert log.read_text().split() == [record["key"] for record in records]

    (tmp_path / "store" / "records" / "scratch" / "shc" / "linear-v2" / f"{records[1]['key']}.json").unlink()
    said = CliRunner().invoke(app, ["status", "--results", str(tmp_path / "store")]).stdout
    assert "job 7 waits" in said
    assert "1 done, 0 running, 1 queued" in said


def test_worker_processes_know_them_too(plugins: list[str], tmp_path: Path) -> None:
    call = ("matrix", "--methods", "scratch", "--tasks", "shc", "--protocols", "anywhere", "--set", "backbone=tiny")
    (record,) = run(*call, *plugins, "--executor", "local", "--workers", 1, "--results", tmp_path / "store")
    assert record["status"] == "ok", record["reason"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--executor", "backwards"], "--executor-set: log: field required"),
        ([*BACKWARDS, "--executor-set", "lag=1"], "--executor-set: lag: .*; known: log"),
        (["--executor", "backwards", "--workers", "2"], "--workers 2: needs --executor local"),
        ([*BACKWARDS, "--devices", "cuda:0"], "needs --executor local, or"),
        (["--executor-set", "log=x"], "--executor-set: log: extra inputs"),
        (["--retries", "2"], "--retries 2: needs --executor local"),
        (["--set", "backbone=tinny"], "unknown backbone 'tinny'; did you mean 'tiny'"),
        (["--protocols", "anywhere-v1"], "unknown protocol 'anywhere-v1'; did you mean 'anywhere-v2'"),
    ],
)
def test_what_they_do_not_take_is_refused(plugins: list[str], options: list[str], complaint: str) -> None:
    call = ["matrix", "--dry-run", "--methods", "scratch", "--tasks", "shc", *plugins, *options, *SMOKE]
    error = CliRunner().invoke(app, call).exception
    assert isinstance(error, UserError)
    assert re.search(complaint, str(error)), str(error)


@pytest.mark.usefixtures("fresh_registry")
@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("anywhere.py", PROTOCOL, "protocol 'anywhere' .* has no version; end its name in a version: anywhere_v1.py"),
        ("linear_v1.py", PROTOCOL, "another protocol is called 'linear-v1' already; rename the file"),
        ("tiny.py", BACKBONE.replace("stride = 2\n", "\n", 1), "declares no stride; give Tiny one"),
        ("tiny.py", BACKBONE.replace("def decode", "def undo"), "defines no Method, Task, Protocol, Backbone or Exec"),
        ("back.py", EXECUTOR.replace("(ExecutorSettings)", ""), "declares a Settings that is no ExecutorSettings"),
    ],
)
def test_a_file_that_does_not_keep_its_contract_is_named(file: str, text: str, complaint: str, tmp_path: Path) -> None:
    before = [registry.names() for registry in (BACKBONES, PROTOCOLS, EXECUTORS)]
    (tmp_path / file).write_text(text)
    with pytest.raises(UserError, match=complaint):
        add_plugin_file(tmp_path / file)
    assert [registry.names() for registry in (BACKBONES, PROTOCOLS, EXECUTORS)] == before


def test_a_bare_name_keeps_meaning_what_is_built_in(tmp_path: Path, fresh_registry: None) -> None:
    (tmp_path / "linear_v7.py").write_text(PROTOCOL)
    add_plugin_file(tmp_path / "linear_v7.py")
    assert resolve_protocol("linear") == "linear-v2"
    assert resolve_protocol("linear-v7") == "linear-v7"


def test_entry_points_do_the_same(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    installed = tmp_path / "throwaway-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: throwaway\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[ssl_bench.backbones]\ntiny = tiny\n"
        "[ssl_bench.protocols]\nanywhere-v2 = anywhere_v2:Anywhere\n"
        "[ssl_bench.executors]\nbackwards = backwards:Backwards\n"
    )
    done = command(
        "matrix", "--methods", "scratch", "--tasks", "shc", "--protocols", "anywhere", "--set", "backbone=tiny",
        "--executor", "backwards", "--executor-set", "log=order.txt", *SMOKE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)
    assert record["science"]["protocol"] == "anywhere-v2"
    assert record["science"]["protocol_source"]
    assert record["science"]["backbone"]["network_source"]
    assert (tmp_path / "order.txt").read_text() == record["key"]


def test_executors_are_listed_without_torch() -> None:
    code = "import sys; from ssl_bench.api.registry import EXECUTORS as E; [E.load(n).facts for n in E.names()]"
    call = [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
