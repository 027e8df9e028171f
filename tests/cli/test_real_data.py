"""From a data set's folder to a score, on every layout, through the command line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ssl_bench.cli import main
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from tests.data import folders as layouts

pytestmark = pytest.mark.usefixtures("fresh_registry")


class Done(NamedTuple):
    code: int
    out: str
    err: str


Invoke = Callable[..., Done]
COARSE = [f"--set=data.{name}.spacing_mm=4" for name in ("shc", "sac", "sbm", "ccc", "corpus")]
COARSE.append("--set=data.sbm.size=[40, 40, 40]")


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """``ssl-bench`` in this process, with a cache of its own."""
    monkeypatch.setenv("SSL_BENCH_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["ssl-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Done(ended.value.code if isinstance(ended.value.code, int) else 0, captured.out, captured.err)

    return run


def smoke(invoke: Invoke, store: Path, *arguments: object) -> Done:
    """One cell of the smoke preset with one step, at a spacing that leaves few windows to predict."""
    few = [f"--set=protocols.linear.{name}=1" for name in ("steps", "validate_every")]
    return invoke(
        "run", "--protocol", "linear", "--preset", "smoke", *few, *COARSE, "--quiet", "--results", store, *arguments
    )


def the_record(store: Path) -> EvaluationRecord:
    (record,) = [record for record in Store(store).records() if isinstance(record, EvaluationRecord)]
    return record


DATA_SETS: list[tuple[str, Callable[[Path], Any]]] = [
    ("shc", layouts.write_mmwhs),
    ("sac", layouts.write_asoca),
    ("sbm", layouts.write_candi),
    ("ccc", layouts.write_stoic),
    ("nnunet", layouts.write_nnunet),
    ("folder", lambda root: layouts.write_labelled_folder(root, cases=10)),
]


@pytest.mark.parametrize(("task", "write"), DATA_SETS, ids=[name for name, _ in DATA_SETS])
def test_from_a_folder_to_a_score(task: str, write: Callable[[Path], Any], invoke: Invoke, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    write(root)
    own = task in ("nnunet", "folder")
    name = [f"{task}:{root}"] if own else [task, "--data-root", root]

    checked = invoke("data", "check", *name, *COARSE, "--workers", 1, "--quiet", "--json")
    assert checked.code == 0, checked.err
    listed = json.loads(checked.out)
    assert listed["problems"] == []
    prepared = invoke("data", "prepare", *name, *COARSE, "--workers", 1, "--quiet")
    assert prepared.code == 0, prepared.err
    assert f"{len(listed['cases'])} of {len(listed['cases'])} cases are ready" in prepared.out

    ran = smoke(invoke, tmp_path / "results", "--method", "scratch", "--task", *name)
    assert ran.code == 0, ran.err
    assert "semi-real" not in ran.out
    record = the_record(tmp_path / "results")
    assert record.data == "real"
    assert record.spec.data.source == "folder"
    known = {case["identifier"] for case in listed["cases"]}
    assert {case["case"] for case in record.cases} <= known
    assert len(record.cases) == record.spec.data.counts.test

    again = invoke("cell", record.key, "--results", tmp_path / "results", "--quiet")
    assert again.code == 0, again.err


def test_pretraining_on_a_folder_of_mixed_formats(invoke: Invoke, tmp_path: Path) -> None:
    corpus, data = tmp_path / "corpus", tmp_path / "data"
    for folder in (corpus, data):
        folder.mkdir()
    layouts.write_corpus(corpus)
    layouts.write_mmwhs(data)
    options = ["--set=pretraining.steps=1", "--task", "shc", "--data-root", data, "--corpus", corpus]
    done = smoke(invoke, tmp_path / "results", "--method", "denoising", *options, "--corpus-region", "heart")
    assert done.code == 0, done.err
    record = the_record(tmp_path / "results")
    assert record.scene == "inner"
    assert record.volumes_seen_in_pretraining == 2
    table = invoke("report", "--results", tmp_path / "results").out
    assert "scans of a folder" in table
    assert "semi-real" not in table


def test_a_corpus_scan_in_the_test_set_stops_the_run_unless_allowed(invoke: Invoke, tmp_path: Path) -> None:
    data, corpus = tmp_path / "data", tmp_path / "corpus"
    data.mkdir()
    layouts.write_mmwhs(data)
    corpus.mkdir()
    for image in data.rglob("ct_train_*_image*"):
        os.link(image, corpus / image.name.replace("_image", "_scan"))
    options = ["--method", "denoising", "--task", "shc", "--data-root", data, "--corpus", corpus]
    refused = smoke(invoke, tmp_path / "results", *options)
    assert refused.code == 2
    assert "the same scan as" in refused.err
    assert not list((tmp_path / "results").glob("**/*.json"))

    allowed = smoke(invoke, tmp_path / "results", *options, "--set=pretraining.steps=1", "--allow-overlap")
    assert allowed.code == 0, allowed.err
    counts = the_record(tmp_path / "results").spec.data.counts
    assert len(the_record(tmp_path / "results").overlap) == counts.validation + counts.test
    assert "are in the pre-training corpus too" in invoke("report", "--results", tmp_path / "results").out


def test_a_bad_case_stops_the_run_unless_it_is_left_out(invoke: Invoke, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    layouts.write_mmwhs(data)
    image = sorted(data.rglob("ct_train_*_image*"))[0]
    image.write_bytes(image.read_bytes()[:200])
    options = ["--method", "scratch", "--task", "shc", "--data-root", data]
    refused = smoke(invoke, tmp_path / "results", *options)
    assert refused.code == 2
    assert image.name in refused.err
    assert "--skip-problems" in refused.err
    prepared = invoke("data", "prepare", "shc", "--data-root", data, "--workers", 1, "--quiet")
    assert prepared.code == 2
    assert image.name in prepared.err

    left_out = smoke(invoke, tmp_path / "results", *options, "--skip-problems")
    assert left_out.code == 0, left_out.err
    (said,) = the_record(tmp_path / "results").left_out
    assert image.name in said


def test_a_file_that_changed_after_planning_is_not_used(invoke: Invoke, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    layouts.write_mmwhs(data)
    store = tmp_path / "results"
    assert smoke(invoke, store, "--method", "scratch", "--task", "shc", "--data-root", data).code == 0
    key = the_record(store).key
    next(store.glob(f"records/**/{key}.json")).unlink()
    first, second = sorted(data.rglob("ct_train_*_image*"))[:2]
    swapped = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(swapped)
    stale = invoke("cell", key, "--results", store, "--quiet")
    assert stale.code == 2
    assert "no longer holds what this cell was planned from" in stale.err


def test_a_split_file_and_its_fold_decide_the_test_cases(invoke: Invoke, tmp_path: Path) -> None:
    data, split = tmp_path / "data", tmp_path / "folds.json"
    data.mkdir()
    layouts.write_mmwhs(data)
    assert invoke("data", "split", "shc", "--data-root", data, "--folds", 3, "--out", split).code == 0
    folds = json.loads(split.read_text())["folds"]
    options = ["--method", "scratch", "--task", "shc", "--data-root", data, "--split", split]
    assert smoke(invoke, tmp_path / "results", *options, "--fold", 2).code == 0
    record = the_record(tmp_path / "results")
    assert sorted(case["case"] for case in record.cases) == sorted(folds[2]["test"])
    outside = smoke(invoke, tmp_path / "results", *options, "--fold", 3)
    assert outside.code == 2
    assert "--fold 3: the split has folds 0 to 2" in outside.err


def test_a_recipe_is_part_of_the_key(invoke: Invoke, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    layouts.write_mmwhs(data)
    options = ["--method", "scratch", "--task", "shc", "--data-root", data]
    for change in ("data.shc.intensity_offset=1024", "data.shc.intensity_offset=0", "data.shc.margin_mm=6"):
        assert smoke(invoke, tmp_path / "results", *options, f"--set={change}").code == 0
    assert len(list(Store(tmp_path / "results").records())) == 3
    for wrong, said in (("data.shc.region=heart", "data.shc: region"), ("data.shx.region=whole", "no such task")):
        refused = smoke(invoke, tmp_path / "results", *options, f"--set={wrong}")
        assert refused.code == 2
        assert said in refused.err


def test_several_tasks_need_a_folder_each(invoke: Invoke, tmp_path: Path) -> None:
    layouts.write_mmwhs(tmp_path)
    done = invoke("matrix", "--tasks", "shc,sac", "--data-root", tmp_path, "--dry-run")
    assert done.code == 2
    assert "has no folder 'shc'" in done.err


def test_a_picture_of_real_cases(invoke: Invoke, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    layouts.write_mmwhs(data)
    done = invoke("data", "show", "shc", "--data-root", data, "--out", tmp_path / "shc.png")
    assert done.code == 0, done.err
    assert (tmp_path / "shc.png").read_bytes().startswith(b"\x89PNG")
    assert "real volumes" in done.out
