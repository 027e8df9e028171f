"""From a data set's folder to a score, on every layout, through the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from tests.cli.conftest import Done, Invoke
from tests.data import folders as layouts
from tests.data.files import ct, heart, save

pytestmark = pytest.mark.usefixtures("fresh_registry")


COARSE = [f"--set=data.{name}.spacing_mm=4" for name in ("shc", "sac", "sbm", "ccc", "corpus")]
COARSE.append("--set=data.sbm.size=[40, 40, 40]")


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
    # Nothing says who was scanned in the miniature of nnU-Net's format.
    assert record.split_by == ("case" if task == "nnunet" else "patient")
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


def test_label_maps_in_a_corpus_are_listed_with_why(invoke: Invoke, tmp_path: Path) -> None:
    save(tmp_path / "corpus" / "s1" / "ct.nii", ct())
    label = save(tmp_path / "corpus" / "s1" / "organs" / "liver.nii", heart())
    options = ["corpus", "--data-root", tmp_path / "corpus", "--workers", 1, "--quiet"]
    listed = json.loads(invoke("data", "check", *options, "--json").out)
    assert [case["identifier"] for case in listed["cases"]] == ["s1-ct"]
    reason = "95.3 % of its voxels are 0 and the others pieces of one value"
    assert listed["label_maps"] == [{"path": str(label), "reason": reason}]
    told = invoke("data", "check", *options)
    assert (told.code, f"{label}: {reason}" in told.out) == (0, True)
    assert "label maps, not scans: 1, left out; --take-labels takes them as scans" in told.out
    assert "1 of 1 cases are ready\nlabel maps, not scans: 1" in invoke("data", "prepare", *options).out
    taken = json.loads(invoke("data", "check", *options, "--json", "--take-labels").out)
    assert (len(taken["cases"]), taken["label_maps"]) == (2, [])


def test_a_pretraining_says_how_many_label_maps_it_leaves_out(invoke: Invoke, tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "corpus" / f"{number}.nii", ct(number))
        save(tmp_path / "corpus" / "masks" / f"{number}.nii", heart())
    options = ["--corpus", tmp_path / "corpus", "--preset", "smoke", "--set=data.corpus.spacing_mm=2", "--quiet"]
    options += ["--set=pretraining.steps=1", "--results", tmp_path / "results", "--out", tmp_path / "out.safetensors"]
    done = invoke("pretrain", "--method", "denoising", *options)
    assert done.code == 0, done.err
    assert "3 of its files are label maps, not scans, and are left out" in done.err
    (record,) = Store(tmp_path / "results").records()
    assert record.spec.data is not None
    assert record.spec.data.volumes + record.spec.data.held_out == 3  # type: ignore[union-attr]


def test_scans_that_a_corpus_or_a_data_set_holds_twice_are_counted(invoke: Invoke, tmp_path: Path) -> None:
    corpus, data = tmp_path / "corpus", tmp_path / "Dataset001_Twice"
    for number in range(3):
        save(corpus / f"{number}.nii", ct(number))
    for name, number in (("a", 0), ("b", 2)):
        save(corpus / "copies" / f"{name}.nii.gz", ct(number).astype(np.float32))  # other files of the same voxels
    told = "2 of 5 scans hold the same voxels as one before them (the first: copies-a, as 0); training sees them twice"
    options = ["--preset", "smoke", "--set=data.corpus.spacing_mm=2", "--quiet"]
    assert told in invoke("data", "prepare", "corpus", "--data-root", corpus, *options, "--workers", 1).err
    options += ["--set=pretraining.steps=1", "--results", tmp_path / "results", "--out", tmp_path / "out.safetensors"]
    done = invoke("pretrain", "--method", "denoising", "--corpus", corpus, *options)
    assert (done.code, told in done.err) == (0, True), done.err

    layouts.write_nnunet(data)
    once = ["matrix", "--methods", "scratch", "--tasks", f"nnunet:{data}", "--preset", "smoke", "--dry-run", "--quiet"]
    assert "the same voxels" not in invoke(*once).err
    first, last = (sorted((data / "imagesTr").iterdir())[number] for number in (0, -1))
    last.write_bytes(first.read_bytes())
    assert "1 of 6 scans hold the same voxels as one before them" in invoke(*once).err


def test_a_split_says_by_what_it_is_and_who_was_scanned(invoke: Invoke, tmp_path: Path) -> None:
    root, out = tmp_path / "Dataset009_Hearts", tmp_path / "split.json"
    root.mkdir()
    layouts.write_nnunet(root)
    by_case = invoke("data", "split", f"nnunet:{root}", "--out", out)
    assert "nothing says of every case who was scanned: split by case; --subjects" in by_case.err
    assert json.loads(out.read_text())["note"].endswith("by case, seed 0")
    by_patient = invoke("data", "split", f"nnunet:{root}", "--out", out, "--subjects", r"heart_00\d")
    assert "6 cases of 6 patients, split by patient" in by_patient.err
    assert json.loads(out.read_text())["note"].endswith("by patient, seed 0")
    for wrong, said in (
        (["data", "check", "corpus", "--data-root", root, "--subjects", "x"], "--subjects x: is about the cases of a"),
        (["data", "check", f"nnunet:{root}", "--take-labels"], "--take-labels: is about a corpus, and nnunet:"),
        (["data", "split", f"nnunet:{root}", "--out", out, "--subjects", ""], "--subjects is empty; give a pattern"),
        (["run", "--method", "scratch", "--task", "sbm", "--subjects", "x"], "--subjects x: is about one data set"),
    ):
        refused = invoke(*wrong)
        assert (refused.code, said in refused.err) == (2, True), refused.err


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


def lesions(root: Path) -> Path:
    """Eight heads of MR in nnU-Net's format, z-scored; every third subject is healthy."""
    far = np.sqrt(sum((axis - 7.5) ** 2 for axis in np.mgrid[:16, :16, :16]))
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[4:8, 4:12, 4:12], labels[8:12, 4:12, 4:12] = 1, 2
    for number in range(8):
        voxels = np.where(far < 7, np.random.default_rng(number).normal(0, 1, far.shape), 0).astype(np.float32)
        spacing = (3.0, 2.0, 2.0 + number / 4)
        save(root / "imagesTr" / f"c{number}_0000.nii", np.roll(voxels, number - 3, 1), spacing)
        save(root / "labelsTr" / f"c{number}.nii", labels * np.uint8(number % 3 > 0), spacing)
    names = {"background": 0, "core": 1, "edge": 2}
    described = {"channel_names": {"0": "T1"}, "labels": names, "file_ending": ".nii", "numTraining": 8}
    (root / "dataset.json").write_text(json.dumps(described))
    return root


def test_healthy_subjects_on_their_own_grids_are_cases_and_doubts_are_said_once(invoke: Invoke, tmp_path: Path) -> None:
    root, corpus, store = lesions(tmp_path / "Lesions"), tmp_path / "corpus", tmp_path / "results"
    for number in range(3):
        save(corpus / f"s{number}.nii", ct(number) / np.float32(1000), (2.0, 1.0, 1.0 + number / 2))
    own = ["--set=data.nnunet-Lesions.spacing_mm=null", "--set=data.corpus.spacing_mm=null"]
    checked = invoke("data", "check", f"nnunet:{root}", *own, "--workers", 1, "--quiet")
    assert checked.code == 0, checked.err
    assert checked.out.count("holds no voxel of any class (1, 2)") == 3
    (line,) = checked.err.splitlines()
    assert line.startswith("warning: 8 of 8 cases: negative values, more than noise has, become 0 (c0: values from -")
    assert "--set data.nnunet-Lesions.intensity=percentile" in line

    few = [f"--set=protocols.linear.{name}=1" for name in ("steps", "validate_every")]
    run = ("run", "--method", "denoising", "--preset", "smoke", "--protocol", "linear", "--set=pretraining.steps=1")
    options = ["--task", f"nnunet:{root}", "--corpus", corpus, "--quiet", "--results", store]
    ran = invoke(*run, *few, *own, *options)
    assert ran.code == 0, ran.err
    warned = [line for line in ran.err.splitlines() if line.startswith("warning: --")]
    assert sum(f"--corpus {corpus}: 3 of 3 cases: no value lies below -50 HU" in line for line in warned) == 1
    assert sum(f"--data-root {root}: 8 of 8 cases: negative values" in line for line in warned) == 1
    assert len(warned) == 2
    record = the_record(store)
    assert record.spec.data.recipe["spacing_mm"] is None
    assert record.spec.backbone.corpus is not None
    assert record.spec.backbone.corpus.recipe["spacing_mm"] is None
    assert len(record.cases) == record.spec.data.counts.test
    for case in record.cases:
        if int(case["case"][1:]) % 3 == 0:
            assert case["dsc"] in (0, None)
            assert set(case["hd95_mm_per_class"].values()) == {None}
    assert invoke("report", "--results", store).code == 0


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
