"""A corpus must hold no other scan of a patient who is validated or tested on; nnU-Net's folds are found and told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssl_bench.api.settings import load_preset
from ssl_bench.data.layouts.own_tasks import add_own
from ssl_bench.data.sources import DataSources
from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.locations import Locations
from tests.data.files import ct, heart, save

pytestmark = pytest.mark.usefixtures("fresh_registry")

PRESET = load_preset("smoke")
RECIPE = {"spacing_mm": None}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def hearts(tmp_path: Path) -> tuple[str, Path]:
    """An nnU-Net data set of two frames of each of five patients: its task and its folder."""
    return data_set(tmp_path / "raw" / "Dataset001_Hearts", [f"patient{k}_frame{f}" for k in range(5) for f in (1, 2)])


def data_set(root: Path, names: list[str]) -> tuple[str, Path]:
    for seed, name in enumerate(names):
        save(root / "imagesTr" / f"{name}_0000.nii", ct(seed))
        save(root / "labelsTr" / f"{name}.nii", heart(value=1))
    described = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii"}
    (root / "dataset.json").write_text(json.dumps(described))
    return add_own(f"nnunet:{root}")[0], root


def sources(task: tuple[str, Path], corpus: Path | None = None, said: list[str] | None = None, **changes: object):
    name, root = task
    locations = Locations.model_validate(
        {"data_roots": {name: root}, "own_tasks": {name: "nnunet"}, "corpus": corpus, **changes}
    )
    recipes = {name: RECIPE, "corpus": RECIPE}
    return DataSources(locations, PRESET.cohort, recipes, warn=[].append if said is None else said.append)


def test_another_scan_of_a_test_patient_stops_unless_allowed(hearts: tuple[str, Path], tmp_path: Path) -> None:
    tested = sources(hearts).task(hearts[0]).load()["test"]
    patient = tested[0].identifier.partition("_")[0]
    assert {case.identifier for case in tested} == {f"{patient}_frame1", f"{patient}_frame2"}
    for seed, name in enumerate((f"{patient}_frame3", "patient9_frame1")):
        save(tmp_path / "corpus" / f"{name}.nii", ct(100 + seed))
    with pytest.raises(UserError, match=rf"{patient}_frame3\.nii: of the same patient as {patient}_frame1, a .* test"):
        sources(hearts, tmp_path / "corpus").leaks(hearts[0])
    allowed = sources(hearts, tmp_path / "corpus", allow_overlap=True).leaks(hearts[0])
    assert set(allowed) == {case.identifier for case in tested}


def test_other_patients_scans_are_no_leak(hearts: tuple[str, Path], tmp_path: Path) -> None:
    trained = sources(hearts).task(hearts[0]).load()["train"][0].identifier.partition("_")[0]
    for seed, name in enumerate((f"{trained}_frame3", "patient9_frame1", "1", "scan_2")):
        save(tmp_path / "corpus" / f"{name}.nii", ct(100 + seed))
    assert sources(hearts, tmp_path / "corpus").leaks(hearts[0]) == ()


def test_patients_who_must_not_be_in_the_corpus_are_those_validated_and_tested_on(hearts: tuple[str, Path]) -> None:
    task = sources(hearts).task(hearts[0])
    cases = task.load()
    expected = {c.identifier: c.identifier.partition("_")[0] for split in ("validation", "test") for c in cases[split]}
    assert len(expected) == 4
    assert task.patients() == expected


def test_a_listing_of_the_corpus_may_say_who_was_scanned(hearts: tuple[str, Path], tmp_path: Path) -> None:
    patient = sources(hearts).task(hearts[0]).load()["test"][0].identifier.partition("_")[0]
    save(tmp_path / "corpus" / "a.nii", ct(100))
    save(tmp_path / "corpus" / "b.nii", ct(101))
    (tmp_path / "corpus" / "list.csv").write_text(f"path,subject\na.nii,{patient}\nb.nii,patient9\n")
    with pytest.raises(UserError, match=r"a\.nii: of the same patient as"):
        sources(hearts, tmp_path / "corpus" / "list.csv").leaks(hearts[0])


def test_folds_of_nnunets_beside_the_data_are_taken_and_told(hearts: tuple[str, Path]) -> None:
    name, root = hearts
    cases = [f"patient{k}_frame{f}" for k in range(5) for f in (1, 2)]
    file = root / "splits_final.json"
    before = sources(hearts).task(name).describe()
    file.write_text(json.dumps([{"train": cases[:8], "val": cases[8:]}, {"train": cases[2:], "val": cases[:2]}]))
    said: list[str] = []
    source = sources(hearts, said=said).task(name)
    assert [case.identifier for case in source.load()["test"]] == cases[8:]
    assert [line for line in said if "split as" in line] == [
        f"task {name}: split as {file} says; --split FILE takes another"
    ]
    assert source.describe().split != before.split
    file.write_text(json.dumps([{"train": cases[:7], "val": cases[7:]}]))
    with pytest.raises(UserError, match=r"splits_final\.json: fold 0: patient 'patient3' is in .* and in test"):
        sources(hearts).task(name).describe()


def test_a_cell_says_by_what_its_data_are_split(hearts: tuple[str, Path], tmp_path: Path) -> None:
    livers = data_set(tmp_path / "raw" / "Dataset002_Livers", [f"liver_{number}" for number in range(5)])
    said = {}
    for task in (hearts, livers):
        cell = Planner(PRESET, [], "float32", sources(task)).evaluation("scratch", task[0], "linear", 0)
        said[task[0]] = cell.split_by
    assert said == {"nnunet-Dataset001_Hearts": "patient", "nnunet-Dataset002_Livers": "case"}
    told = Planner(PRESET, [], "float32", sources(livers, subjects=r"liver_\d")).evaluation(
        "scratch", livers[0], "linear", 0
    )
    assert told.split_by == "patient"
    assert told.key == Planner(PRESET, [], "float32", sources(livers)).evaluation("scratch", livers[0], "linear", 0).key
