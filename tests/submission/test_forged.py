"""Bundles that say what is not so are refused with the reason; their digests and keys are made anew where one could."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_bench.api.registry import METHODS
from ssl_bench.api.settings import load_preset
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.record import SEMI_REAL, EvaluationRecord
from ssl_bench.submission.verifying import verify
from tests.submission.made_up import PROVENANCE, Documents, documents, path_of, rekeyed, write


def refusals(to: Path, found: Documents, **how: Any) -> list[str]:
    return verify(write(to / "forged.zip", found, **how)).refusals


def test_what_is_made_up_and_agrees_with_itself_cannot_be_told_apart(tmp_path: Path) -> None:
    """Every score of this bundle was drawn at random: docs/submitting.md says that no check of records sees that."""
    found = verify(write(tmp_path / "sound.zip", documents()))
    assert found.refusals == []
    assert len(found.records) == 24
    assert [doubt.split(":")[0].split(",")[0] for doubt in found.unvouched] == ["the trainings", "choices", "time"]


def test_an_edited_score(tmp_path: Path) -> None:
    found = documents()
    path = path_of(found, "gvsl", "sbm")
    of_cases, found[path]["score"] = found[path]["score"], 0.93
    assert refusals(tmp_path, found) == [f"{path}: score is 0.93, and its cases give {of_cases:.6g}"]


def test_an_edited_case_whose_mean_follows(tmp_path: Path) -> None:
    found = documents()
    record = found[path_of(found, "gvsl", "sbm")]
    record["cases"][0]["dsc"] = 0.99
    record["score"] = float(np.mean([row["dsc"] for row in record["cases"]]))
    (reason,) = refusals(tmp_path, found)
    assert "dsc of case test-000 is 0.99, and its cases give" in reason


def test_a_dropped_case(tmp_path: Path) -> None:
    found = documents()
    record = found[path_of(found, "gvsl", "sbm")]
    del record["cases"][1]
    record["score"] = record["cases"][0]["dsc"]
    reasons = refusals(tmp_path, found)
    assert any("says something of 1 test cases, and its specification has 2" in reason for reason in reasons)
    assert any("tests other cases than" in reason for reason in reasons)


def test_the_key_of_another_setting(tmp_path: Path) -> None:
    found = documents()
    path = path_of(found, "scratch", "sbm")
    found[path]["science"]["protocol_settings"]["steps"] *= 10
    (reason,) = refusals(tmp_path, found)
    assert reason.startswith(f"{path}: has the key {found[path]['key']}, and its specification hashes to")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda spec: spec["protocol_settings"].update(steps=999), "protocol_settings.steps is 999 instead of"),
        (lambda spec: spec.update(overlap=0.75), "overlap is 0.75 instead of 0.0"),
        (lambda spec: spec["data"]["counts"].update(train=200), "data.counts.train is 200 instead of 2"),
    ],
)
def test_a_specification_that_its_preset_does_not_make(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    found = documents()
    rekeyed(found, path_of(found, "scratch", "sbm"), lambda document: change(document["science"]))
    reasons = refusals(tmp_path, found)
    assert any(f"is not what the preset smoke makes with its overrides: {reason}" in each for each in reasons)


def test_a_preset_that_may_be_ranked(tmp_path: Path) -> None:
    found = documents()
    found[path_of(found, "scratch", "sbm")]["setting"]["ranked"] = True
    (reason,) = refusals(tmp_path, found)
    assert reason.endswith("says ranked: True, and its preset smoke says False")


def test_another_split(tmp_path: Path) -> None:
    found = documents()
    for row, name in zip(found[path_of(found, "gvsl", "ccc")]["cases"], ("train-000", "test-001"), strict=False):
        row["case"] = name
    reasons = refusals(tmp_path, found)
    assert any("tests case train-000, which is none of the 4 test cases" in reason for reason in reasons)


def test_labels_of_its_own(tmp_path: Path) -> None:
    found = documents()
    record = found[path_of(found, "simclr", "ccc", seed=2)]
    for row in record["cases"]:
        row["label"] = 1 - row["label"]
    record["score"] = 1 - record["score"]
    (reason,) = refusals(tmp_path, found)
    assert "case test-000 is of 1, and of 0 in records/" in reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda spec: spec["backbone"].update(method_version=99), "is of scratch 99, newer than version"),
        (lambda spec: spec.update(numerics=99), "is of version 99 of the shared numerical code, newer than"),
        (lambda spec: spec.update(protocol="linear-v99"), "names the protocol 'linear-v99' without its code"),
    ],
)
def test_another_version(tmp_path: Path, change: Callable[[dict[str, Any]], None], reason: str) -> None:
    found = documents()
    rekeyed(found, path_of(found, "scratch", "sbm"), lambda document: change(document["science"]))
    assert any(reason in each for each in refusals(tmp_path, found))


def test_an_older_version_is_said_and_not_refused(tmp_path: Path) -> None:
    found = documents()
    rekeyed(found, path_of(found, "scratch", "sbm"), lambda document: document["science"].update(numerics=1))
    verdict = verify(write(tmp_path / "older.zip", found))
    assert verdict.refusals == []
    assert any("version 1 of the shared numerical code" in doubt for doubt in verdict.unvouched)


def test_the_same_cell_twice(tmp_path: Path) -> None:
    found = documents()
    path = path_of(found, "gvsl", "sbm")
    other = path.replace("records/gvsl", "records/again")
    found[other] = found[path]
    reasons = refusals(tmp_path, found)
    assert f"{other}: is the cell {found[path]['key']} a second time, after {path}" in reasons


def test_a_seed_that_is_a_copy_of_another(tmp_path: Path) -> None:
    found = documents()
    one, other = (found[path_of(found, "gvsl", "sbm", seed)] for seed in (0, 1))
    other.update(cases=one["cases"], score=one["score"])
    (reason,) = refusals(tmp_path, found)
    assert reason.endswith("in every bit, a copy of another network's")


def test_the_weights_of_another_seed(tmp_path: Path) -> None:
    found = documents()
    one, other = (found[path_of(found, "gvsl", seed=seed)] for seed in (0, 1))
    other["backbone_sha256"] = one["backbone_sha256"]
    (reason,) = refusals(tmp_path, found)
    assert reason.endswith("a copy under another name or seed")


def test_a_member_that_is_in_the_archive_twice(tmp_path: Path) -> None:
    found = documents()
    path = path_of(found, "gvsl", "sbm")
    with pytest.warns(UserWarning, match="Duplicate name"):
        reasons = refusals(tmp_path, found, more=[(path, json.dumps(found[path]).encode())])
    assert reasons == [f"{path}: is in the archive twice"]


def test_test_cases_in_tuning(tmp_path: Path) -> None:
    found = documents()
    tuned = {"protocol": "linear-v2", "tasks": ["sbm"], "seeds": [0], "configurations": 3, "trials": "0123"}
    found[path_of(found, "gvsl", "sbm")]["setting"]["tuned_on"] = tuned
    (reason,) = refusals(tmp_path, found)
    assert reason.endswith("has seed 0, with which its options were tuned")


def test_a_trial_that_was_scored_on_test_cases(tmp_path: Path) -> None:
    found = documents()
    path = path_of(found, "gvsl", "sbm")
    place = rekeyed(found, path, lambda document: document["science"].update(scored_on="validation"))
    assert f"{place}: is a trial, scored on validation cases, and holds test cases: options were chosen by them" in (
        refusals(tmp_path, found)
    )


def test_a_renamed_method(tmp_path: Path) -> None:
    found, version = documents(), METHODS.load("mae").facts.version
    renamed = {"method": "mae", "method_version": version}
    place = rekeyed(found, path_of(found, "gvsl", "sbm"), lambda one: one["science"]["backbone"].update(renamed))
    reasons = refusals(tmp_path, found)
    assert any(reason.startswith(f"{place}: rests on the pre-training") for reason in reasons)
    assert any(reason.startswith(f"{place}: calls its method") for reason in reasons)


def test_missing_seeds(tmp_path: Path) -> None:
    found, claimed = documents(), documents()
    for task in ("sbm", "ccc"):
        del found[path_of(found, "gvsl", task, seed=1)]
    del found[path_of(found, "gvsl", seed=1)]
    assert refusals(tmp_path, found, claimed=claimed) == [
        f"the manifest claims gvsl {task} linear-v2, seed 1, whose record is not here" for task in ("ccc", "sbm")
    ]


def test_seeds_that_one_row_alone_lacks_are_pointed_out(tmp_path: Path) -> None:
    found = documents()
    del found[path_of(found, "gvsl", "sbm", seed=1)]
    verdict = verify(write(tmp_path / "uneven.zip", found))
    assert verdict.refusals == []
    assert any("why rows of sbm linear-v2 have different seeds" in doubt for doubt in verdict.unvouched)


@pytest.mark.parametrize(
    "name", ["scan.nii.gz", "records/gvsl/sbm/linear-v2/slice.png", "examples/0123456789abcdef.npz"]
)
def test_images_inside(tmp_path: Path, name: str) -> None:
    reasons = refusals(tmp_path, documents(), more=[(name, b"\x89PNG")])
    assert reasons == [f"{name}: is no record: a bundle has no images, no weights, nothing else"]


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ((), base64.b64encode(bytes(9_000)).decode(), "holds scan, which no record has"),
        (("provenance",), base64.b64encode(bytes(9_000)).decode(), "holds 12000 characters as scan"),
        (("cases", 0), [0.5] * 4096, "scan has more than 1000 numbers"),
        (("cases", 0), "A" * 900, "scan has 900 characters"),
    ],
)
def test_an_image_inside_a_record(tmp_path: Path, place: tuple[Any, ...], value: object, reason: str) -> None:
    found = documents()
    within: Any = found[path_of(found, "gvsl", "sbm")]
    for name in place:
        within = within[name]
    within["scan"] = value
    assert any(reason in said for said in refusals(tmp_path, found))


def test_a_file_that_was_changed_after_the_manifest(tmp_path: Path) -> None:
    bundle, found = write(tmp_path / "sound.zip", documents()), documents()
    path = path_of(found, "gvsl", "sbm")
    with zipfile.ZipFile(bundle) as archive, zipfile.ZipFile(tmp_path / "forged.zip", "w") as forged:
        for name in archive.namelist():
            forged.writestr(name, archive.read(name) + (b" " if name == path else b""))
    assert verify(tmp_path / "forged.zip").refusals == [
        f"{path}: is not the file that the manifest names: its digest is another"
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"score": 1, "score": 2}', "says score twice"),
        ('{"score": NaN}', "holds NaN"),
        ('{"schema_version": 2}', "is a record of schema 2"),
        ("[" * 100_000, "does not read as JSON"),
        ('{"schema_version": 1}', "does not read as a record"),
    ],
)
def test_what_is_no_record(tmp_path: Path, text: str, reason: str) -> None:
    found = documents()
    path = f"records/gvsl/sbm/linear-v2/{'0' * 16}.json"
    (_, said) = refusals(tmp_path, found, more=[(path, text.encode())])
    assert said.startswith(f"{path}: {reason}")


def test_fields_of_the_wrong_kind_are_refused_and_raise_nothing(tmp_path: Path) -> None:
    found = documents()
    for number, rows in enumerate(([{}], [{"case": None, "dsc": None}], [{"case": "test-000", "dsc": {"a": 0.5}}])):
        found[path_of(found, "gvsl", "sbm", seed=number)]["cases"] = rows
    found[path_of(found, "scratch", "ccc")]["cases"][0]["label"] = "positive"
    changed = [path_of(found, "gvsl", "sbm", seed) for seed in range(3)] + [path_of(found, "scratch", "ccc")]
    reasons = refusals(tmp_path, found)
    assert all(any(reason.startswith(path) for reason in reasons) for path in changed)


def test_pairs_are_of_the_test_cases_and_all_there(tmp_path: Path) -> None:
    planned = Planner(load_preset("smoke", ["cohort.segmentation.test=4"]), ["cohort.segmentation.test=4"], "float32")
    cell = planned.evaluation("scratch", "sbm", "match-v1", 0)
    names = [f"test-{number:03d}" for number in range(4)]
    pairs = [
        {"case": f"{one}:{other}", "subject": one, "partner": other, "error_mm": 2.0 + at}
        for at, (one, other) in enumerate(zip(names, [*names[1:], names[0]], strict=True))
    ]
    record = EvaluationRecord(
        key=cell.key, status="ok", setting=cell.setting, data=SEMI_REAL, provenance=PROVENANCE, spec=cell.evaluation,
        paradigm="none", metric="match error", score=3.5, cases=pairs,
    )  # fmt: skip
    found = documents([record])
    assert refusals(tmp_path, found) == []
    (document,) = found.values()
    document.update(cases=pairs[:3], score=3.0)
    (reason,) = refusals(tmp_path, found)
    assert reason.endswith("says something of 3 pairs of test cases, and its protocol looks at 4")
