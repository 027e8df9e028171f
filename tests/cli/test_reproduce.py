"""``ssl-bench reproduce`` prints a script that runs the same cell from its plan, and says what it cannot know."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.cli import app
from ssl_bench.cli.reproduce import quoted
from ssl_bench.data.sources import source_of
from ssl_bench.errors import UserError
from ssl_bench.executors.cells.outcomes import failure
from ssl_bench.executors.inline import run_cells
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import AnyRecord, EvaluationRecord
from ssl_bench.spec.specification import ExternalBackbone
from ssl_bench.store.store import Store
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime
from ssl_bench.weights.loading import build_external
from tests.data import folders as layouts

Plan = Callable[..., Cell]
RUN = ["run", "--method", "gvsl", "--task", "shc", "--protocol", "linear", "--preset", "smoke"]
PLUGIN = '''
from ssl_bench.api.method import Method, MethodFacts
class Own(Method):
    """A method in a file."""
    facts = MethodFacts(title="Own", paper="none", year=2026, version=1, paradigm="geometric", pretrains="encoder")
    def training_step(self, volumes, draws):
        return {"loss": self.backbone(volumes).local.mean()}
'''


class Planned(Exception):
    """In place of running."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    return Store(tmp_path / "results")


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, fresh_registry: None) -> Plan:
    """The one cell that a command would run."""
    planned: list[Cell] = []
    for place in ("run", "backbones"):
        monkeypatch.setattr(f"ssl_bench.cli.{place}.run_and_print", lambda cells, *rest: planned.extend(cells))

    def instead(cell: Cell, *rest: Any) -> None:
        planned.append(cell)
        raise Planned

    monkeypatch.setattr("ssl_bench.executors.cells.run_cell.run_cell", instead)

    def run(*arguments: str) -> Cell:
        planned.clear()
        done = CliRunner().invoke(app, [*arguments, "--quiet"])
        if isinstance(done.exception, UserError):
            raise done.exception
        assert done.exit_code == 0 or isinstance(done.exception, Planned), done.exception
        (cell,) = planned
        return cell

    return run


def reproduce(store: Store, key: str, *options: str) -> str:
    done = CliRunner().invoke(app, ["reproduce", key, "--results", str(store.folder), *options])
    if done.exception:
        raise done.exception
    return done.stdout


def found(store: Store, key: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(reproduce(store, key, "--json"))
    return answer


def carried_out(script: str) -> list[list[str]]:
    """The calls of ``ssl-bench`` when a shell runs `script` here; every program is a stand-in that notes its words."""
    stand_in = '#!/bin/sh\nfor word in "${0##*/}" "$@"; do printf \'%s\\037\' "$word"; done >> calls\necho >> calls\n'
    Path("programs").mkdir(exist_ok=True)
    for program in ("pip", "git", "ssl-bench"):
        (Path("programs") / program).write_text(stand_in)
        (Path("programs") / program).chmod(0o755)
    Path("calls").write_text("")
    path = f"{Path('programs').resolve()}:{os.defpath}"
    done = subprocess.run(["sh", "-eu"], input=script, env={"PATH": path}, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    calls = [line.split("\037")[:-1] for line in Path("calls").read_text().splitlines()]
    return [words[1:] for words in calls if words[0] == "ssl-bench"]


def reproduced(store: Store, cell: Cell, plan: Plan) -> Cell:
    """The cell that the script for `cell` runs."""
    calls = carried_out(reproduce(store, cell.key))
    (command,) = [words for words in calls if words[0] == "cell"]
    return plan(*command)


def weights(folder: Path) -> list[str]:
    save_file(UNet3D(8).state_dict(), folder / "theirs.safetensors")
    return ["evaluate", "--backbone", "theirs.safetensors", *RUN[3:]]


def plugin(folder: Path) -> list[str]:
    (folder / "own_method.py").write_text(PLUGIN)
    return [*RUN, "--method", "own_method", "--plugin", "own_method.py"]


def folders(folder: Path) -> list[str]:
    (folder / "nn").mkdir()
    layouts.write_nnunet(folder / "nn")
    return [*RUN, "--task", "nnunet:nn", "--skip-problems"]


@pytest.mark.parametrize(
    "arguments",
    [
        lambda folder: RUN,
        lambda folder: [*RUN, "--seed", "3", "--precision", "bf16", "--task", "ccc", "--protocol", "probe"],
        lambda folder: [*RUN, "--set", "pretraining.steps=7", "--set", "protocols.linear.steps=3"],
        lambda folder: [*RUN, "--set", "methods.gvsl.direction=a_to_b", "--set", "methods.gvsl.initial_std=0.5"],
        lambda folder: [*RUN, "--set", "pretraining.steps=9", "--set", "pretraining.steps=3"],
        lambda folder: [*RUN, "--label-fraction", "0.5"],
        lambda folder: ["pretrain", *RUN[1:3], "--preset", "smoke", "--out", "out.safetensors"],
        plugin,
        weights,
        folders,
    ],
    ids=["default", "seed", "set", "options", "set twice", "labels", "pretrain", "plugin", "weights", "folders"],
)
def test_the_script_runs_the_same_cell(
    arguments: Callable[[Path], list[str]], plan: Plan, store: Store, tmp_path: Path
) -> None:
    cell = plan(*arguments(tmp_path))
    store.plan(cell)
    assert reproduced(store, cell, plan) == cell
    assert found(store, cell.key)["caveats"][0] == "It has not run here: no environment is recorded."


def test_the_cell_ends_like_the_one_that_was_recorded(plan: Plan, store: Store, planner: Planner) -> None:
    cell = planner.evaluation("scratch", "shc", "linear", 0)
    first = run_cells([cell], store, Runtime("cpu", 1), Progress(shown=False))[0]
    (command, comparison) = carried_out(reproduce(store, cell.key))
    again = Store(Path("reproduced"))
    assert command == ["cell", cell.key, "--device", "cpu", "--threads", "1", "--results", "reproduced"]
    assert comparison == ["report", "--compare", str(store.folder), "reproduced"]
    second = run_cells([again.load_plan(cell.key)], again, Runtime("cpu", 1), Progress(shown=False))[0]
    assert first.status == second.status == "ok"
    left_out = {"cost", "provenance"}
    assert first.model_dump(exclude=left_out) == second.model_dump(exclude=left_out)


def ended(cell: Cell, **provenance: object) -> EvaluationRecord:
    """A success of `cell` in this environment but for what is given."""
    record = failure(cell, Runtime("cpu", 3), "")
    assert isinstance(record, EvaluationRecord)
    return record.model_copy(update={"status": "ok", "provenance": record.provenance | provenance})


def pretrained(cell: Cell, **provenance: object) -> AnyRecord:
    """A success of the pre-training of `cell`, likewise."""
    assert cell.pretraining is not None
    record = failure(cell.pretraining, Runtime("cpu", 3), "")
    return record.model_copy(update={"status": "ok", "provenance": record.provenance | provenance})


def test_device_threads_and_recomputing_are_those_of_the_record(plan: Plan, store: Store) -> None:
    cell = plan(*RUN)
    store.plan(cell)
    store.publish(cell, ended(cell, checkpointing=True, device="Some GPU"))
    assert carried_out(reproduce(store, cell.key))[0][2:] == [
        "--device", "cuda", "--threads", "3", "--checkpointing", "--results", "reproduced",
    ]  # fmt: skip


@pytest.mark.parametrize(("device", "places"), [("cpu", "cpu,cpu"), ("Some GPU", "0,1")])
def test_a_batch_that_was_shared_is_shared_again(device: str, places: str, plan: Plan, store: Store) -> None:
    cell = plan(*RUN)
    store.plan(cell)
    store.publish(cell, ended(cell, device=device, ranks=2))
    command = carried_out(reproduce(store, cell.key))[0]
    assert command[command.index("--strategy") :][:4] == ["--strategy", "ddp", "--devices", places]
    assert "--device" not in command


def test_versions_become_an_installation(plan: Plan, store: Store) -> None:
    cell = plan(*RUN)
    store.plan(cell)
    versions = {"python": "3.12.1", "ssl-bench": "0.1.0", "torch": "2.6.0", "numpy": "2.0"}
    store.publish(cell, ended(cell, versions=versions, commit=None))
    script = reproduce(store, cell.key)
    assert "# Python 3.12.1\npip install torch==2.6.0 numpy==2.0\npip install ssl-bench==0.1.0\nmkdir -p" in script
    assert script.endswith(f"ssl-bench report --compare {store.folder} reproduced\n")


@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        ({}, "Bits: the same on the CPU with the same versions, threads and type of processor"),
        ({"device": "Some GPU"}, "Bits: it ran on Some GPU, where sums have no fixed order"),
        ({"processor": "Another One"}, "instead of Another One"),
        ({"versions": {"torch": "2.6.0+cu126"}}, "instead of 2.6.0+cu126"),
        ({"versions": {"torch": "2.6.0+cu126"}}, "PyTorch's own builds"),
        ({"commit": "abc+changes"}, "changes that were not committed"),
    ],
)
def test_it_says_where_the_result_may_differ(provenance: dict[str, Any], said: str, plan: Plan, store: Store) -> None:
    cell = plan(*RUN)
    store.plan(cell)
    store.publish(cell, ended(cell, **provenance))
    assert said in " ".join(found(store, cell.key)["caveats"])


def test_a_pretraining_that_ran_elsewhere_is_named(plan: Plan, store: Store) -> None:
    cell = plan(*RUN)
    assert cell.pretraining is not None
    store.plan(cell)
    store.publish(cell, ended(cell))
    store.publish(cell.pretraining, pretrained(cell, threads=7))
    said = f"Its pre-training {cell.pretraining.key} ran elsewhere: threads 7 instead of 3."
    assert said in found(store, cell.key)["caveats"]


@pytest.mark.parametrize("has_run", [True, False])
@pytest.mark.parametrize(("device", "places"), [("cpu", "cpu,cpu"), ("Some GPU", "0,1")])
def test_a_pretraining_that_shared_its_batch_has_a_command_of_its_own_before(
    device: str, places: str, has_run: bool, plan: Plan, store: Store
) -> None:
    cell = plan(*RUN)
    assert cell.pretraining is not None
    store.plan(cell)
    if has_run:
        store.publish(cell, ended(cell, device=device))
    store.publish(cell.pretraining, pretrained(cell, device=device, ranks=2))
    first, second, _ = carried_out(reproduce(store, cell.key))
    assert "--strategy" not in second
    assert first[first.index("--strategy") :][:6] == ["--strategy", "ddp", "--devices", places, "--threads", "3"]
    # Where it is planned, its devices need not be there.
    assert plan(*first[:2], "--results", "reproduced") == cell.pretraining
    assert plan(*second[:2], "--results", "reproduced") == cell
    said = "Its pre-training has a command of its own, which comes first, with its devices and threads."
    assert said in found(store, cell.key)["caveats"]


def test_a_pretraining_that_ran_alike_has_no_command_of_its_own(plan: Plan, store: Store) -> None:
    cell = plan(*RUN)
    assert cell.pretraining is not None
    store.plan(cell)
    store.publish(cell, ended(cell))
    store.publish(cell.pretraining, pretrained(cell))
    assert [planned["kind"] for planned in found(store, cell.key)["cells"]] == ["evaluation"]


def test_a_cell_that_has_not_run_has_no_environment(plan: Plan, store: Store) -> None:
    cell = plan(*RUN)
    store.plan(cell)
    answer = found(store, cell.key)
    assert (answer["ran"], answer["options"]) == ({}, [[]])
    assert answer["caveats"] == ["It has not run here: no environment is recorded."]


def test_a_record_without_a_plan_is_enough_for_embedded_data(plan: Plan, store: Store) -> None:
    cell = plan(*RUN, "--label-fraction", "0.5", "--set", "pretraining.steps=7")
    store.publish(cell, ended(cell))
    again = reproduced(store, cell, plan)
    assert (again.key, again.spec, again.setting) == (cell.key, cell.spec, cell.setting)
    assert "made from its record, without paths" in " ".join(found(store, cell.key)["caveats"])


@pytest.mark.parametrize("arguments", [folders, weights], ids=["folders", "weights"])
def test_a_record_without_a_plan_knows_no_paths_and_says_so(
    arguments: Callable[[Path], list[str]], plan: Plan, store: Store, tmp_path: Path
) -> None:
    cell = plan(*arguments(tmp_path))
    store.publish(cell, ended(cell))
    said = found(store, cell.key)["caveats"]
    assert "PATH in the plan stands for one that is not recorded." in said
    assert "Where files lie is not part of the key, their content is: paths in the plan may be changed." in said
    with pytest.raises(UserError, match="PATH"):
        load(plan(*carried_out(reproduce(store, cell.key))[0]))
    # Its user puts theirs in, and that is all it takes.
    path = Path("reproduced") / "cells" / f"{cell.key}.json"
    known = cell.backbone_file or cell.locations.data_roots[cell.evaluation.task]
    path.write_text(path.read_text().replace('"PATH"', json.dumps(str(known))))
    again = plan("cell", cell.key, "--results", "reproduced")
    assert again.key == cell.key
    assert (again.locations.data_roots, again.backbone_file) == (cell.locations.data_roots, cell.backbone_file)
    load(again)


def load(cell: Cell) -> None:
    """What `cell` reads from outside."""
    spec = cell.evaluation
    source_of(cell).load()
    if isinstance(spec.backbone, ExternalBackbone):
        assert cell.backbone_file is not None
        build_external(spec.backbone, cell.backbone_file)


def test_a_plan_that_does_not_read_stays_where_it_is(plan: Plan, store: Store) -> None:
    cell = plan(*RUN)
    store.plan(cell)
    store.publish(cell, ended(cell))
    (path,) = store.folder.glob("cells/*.json")
    path.write_text("{")
    assert reproduced(store, cell, plan).key == cell.key
    assert path.read_text() == "{"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbone": {"method_version": 99}}, "method 'gvsl' is another one here than in its plan"),
        ({"backbone": {"plugin_source": "0123456789abcdef"}}, "method 'gvsl' is another one here"),
        ({"numerics": 1}, "planned with version 1 of the shared numerical code"),
    ],
)
def test_a_plan_of_what_this_installation_has_otherwise_is_said_and_refused(
    changes: dict[str, Any], said: str, plan: Plan, store: Store
) -> None:
    other = changed(plan(*RUN), {"spec": changes})
    store.plan(other)
    assert f"This installation cannot run it: cell {other.key}: {said}" in " ".join(found(store, other.key)["caveats"])
    with pytest.raises(UserError, match=said):
        plan("cell", other.key, "--results", str(store.folder))


def test_embedded_volumes_that_are_not_those_of_the_plan_are_refused(plan: Plan) -> None:
    cell = plan(*RUN)
    other_cohort = changed(cell, {"spec": {"data": {"fingerprint": "0"}}})
    other_corpus = changed(cell, {"spec": {"backbone": {"corpus": {"fingerprint": "0"}}}}).pretraining
    for other in (other_cohort, other_corpus):
        with pytest.raises(UserError, match="no longer what this cell was planned from"):
            source_of(other).load()


def changed(model: Any, changes: dict[str, Any]) -> Any:
    """`model` with `changes` in the models that it holds."""
    update = {
        name: changed(getattr(model, name), value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return model.model_copy(update=update)


def test_a_plugin_that_is_gone_is_said(plan: Plan, store: Store, tmp_path: Path) -> None:
    cell = plan(*plugin(tmp_path))
    store.plan(cell.model_copy(update={"plugins": (tmp_path / "gone.py",)}))
    assert "This installation cannot run it: --plugin" in " ".join(found(store, cell.key)["caveats"])


def test_the_first_digits_of_a_key_are_enough_where_no_other_begins_so(plan: Plan, store: Store) -> None:
    cells = [plan(*RUN, "--seed", str(seed)) for seed in range(17)]
    for cell in cells:
        store.plan(cell)
    first = cells[0].key
    unique = next(
        first[:digits] for digits in range(1, 17) if sum(c.key.startswith(first[:digits]) for c in cells) == 1
    )
    assert found(store, unique)["key"] == first
    twice = next(digit for digit in "0123456789abcdef" if sum(cell.key.startswith(digit) for cell in cells) > 1)
    with pytest.raises(UserError, match=f"cell {twice}: .* keys begin so, such as {twice}.*; give more digits"):
        reproduce(store, twice)


@pytest.mark.parametrize("key", ["0123456789abcdef", "0", "../x", "", "*", "ABC", "0" * 17])
def test_an_unknown_key_is_one_line(key: str, store: Store) -> None:
    with pytest.raises(UserError) as error:
        reproduce(store, key)
    assert "\n" not in str(error.value)
    assert "see ssl-bench status" in str(error.value)


@pytest.mark.parametrize("text", ["a b", "$(touch x)", "it's", "\\n'", "`x`;&|", "é'"])
def test_text_from_a_record_stays_one_word_of_any_shell(text: str) -> None:
    for shell in ("sh", "bash"):
        done = subprocess.run([shell, "-c", f"printf %s {quoted(text)}"], capture_output=True, check=True)
        assert done.stdout.decode() == text


@pytest.mark.parametrize("text", ["a\nb\x1b[31m", "a\x01' ; echo INJECTED ; #"])
def test_characters_that_a_terminal_obeys_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="holds characters that no command should"):
        quoted(text)


def test_versions_and_commits_of_a_record_are_no_options(plan: Plan, store: Store) -> None:
    cell = plan(*RUN)
    store.plan(cell)
    versions = {"--requirement": "evil", "torch": "2.6 @ evil", "numpy": "2.0.1"}
    store.publish(cell, ended(cell, versions=versions, commit="--upload-pack=evil"))
    script = reproduce(store, cell.key)
    assert "pip install numpy==2.0.1\n" in script
    assert not [line for line in script.splitlines() if "evil" in line and not line.startswith("#")]


def test_text_from_a_record_cannot_leave_its_comment(plan: Plan, store: Store) -> None:
    cell = plan(*RUN)
    store.plan(cell)
    store.publish(cell, ended(cell, processor="x\nrm -rf /\x1b[2J", platform="a\rb"))
    script = reproduce(store, cell.key)
    assert all(line.isprintable() and not line.startswith("rm") for line in script.splitlines())


@pytest.mark.parametrize(
    "text", ["$(touch x)", "`touch x`", "a\nEND\ntouch x\n", "'\nEND\n", "\x1b[2J\r", "\u202e\x9b2J", "\\'; touch x; '"]
)
def test_text_in_a_plan_stays_text(text: str, plan: Plan, store: Store, tmp_path: Path) -> None:
    cell = plan(*RUN)
    hostile = cell.model_copy(
        update={
            "setting": cell.setting.model_copy(update={"overrides": [text]}),
            "left_out": (text,),
            "locations": cell.locations.model_copy(update={"corpus": tmp_path / text, "corpus_region": text}),
        }
    )
    store.plan(hostile)
    script = reproduce(store, cell.key)
    assert all(line.isprintable() for line in script.splitlines())
    carried_out(script)
    assert not Path("x").exists()
    assert Store(Path("reproduced")).load_plan(cell.key) == hostile


def test_a_snapshot_which_no_table_holds_is_compared_with_nothing(plan: Plan, store: Store) -> None:
    whole = plan(*RUN).model_copy(update={"snapshots": (1,)})
    cell = whole.model_copy(update={"spec": whole.evaluation.model_copy(update={"snapshot": 1})})
    store.plan(whole)
    store.plan(cell)
    assert "report --compare" in reproduce(store, whole.key)
    assert "report --compare" not in reproduce(store, cell.key)
