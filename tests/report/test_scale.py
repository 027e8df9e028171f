"""What makes a hundred thousand records readable loses nothing that a table prints."""

from __future__ import annotations

import gc
import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from ssl_bench.errors import UserError
from ssl_bench.report.results import load_results, no_collection, read_results
from ssl_bench.report.scores import Scores
from ssl_bench.report.statistics import auc_components, sign_flip_p
from ssl_bench.store.store import Store

ROOT = Path(__file__).parents[2]
RECORDS = 9 * 30
"""Thirty methods and seeds with eight cells and a pre-training each."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A small one of those that are measured."""
    spec = importlib.util.spec_from_file_location("benchmark_report", ROOT / "benchmarks" / "report.py")
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    folder = tmp_path_factory.mktemp("scale") / "store"
    benchmark.write_store(folder, RECORDS)
    return Store(folder)


def test_the_cells_are_what_the_records_say(store: Store) -> None:
    cells, records = read_results(store).cells, list(store.evaluations())
    assert cells["key"].tolist() == [record.key for record in records]
    for name, of in {
        "score": lambda record: record.score,
        "seed": lambda record: record.spec.seed,
        "task": lambda record: record.spec.task,
        "protocol": lambda record: record.spec.protocol,
        "paradigm": lambda record: record.paradigm,
        "metric": lambda record: record.metric,
        "scene": lambda record: record.scene,
        "best_step": lambda record: record.best_step,
        "converged": lambda record: record.converged,
        "decoder": lambda record: record.modules.decoder,
        "wall_seconds": lambda record: record.cost["wall_seconds"],
        "device": lambda record: record.provenance["device"],
        "cohort": lambda record: record.spec.data.column,
        "pretraining": lambda record: record.spec.backbone.key if record.spec.backbone.steps else "",
        "_setting": lambda record: record.setting,
        "_backbone": lambda record: record.spec.backbone,
        "_data": lambda record: record.spec.data,
        "_overlap": lambda record: record.overlap,
        "_left_out": lambda record: record.left_out,
        "_split_by": lambda record: record.split_by,
    }.items():
        assert cells[name].tolist() == [of(record) for record in records], name


def test_the_cases_classes_and_curves_are_what_the_records_say(store: Store) -> None:
    found, records = load_results(store.folder), list(store.evaluations())
    cases = [(record.key, case) for record in records for case in record.cases]
    assert found.cases["key"].tolist() == [key for key, _ in cases]
    assert found.cases["case"].tolist() == [case["case"] for _, case in cases]
    for name in ("dsc", "label", "probability"):
        expected = np.array([case.get(name) for _, case in cases], dtype=float)
        np.testing.assert_array_equal(found.cases[name], expected)
    classes = [(key, case, name) for key, case in cases for name in case.get("dsc_per_class", {})]
    assert found.classes["structure"].tolist() == [name for *_, name in classes]
    for measure, part in {"dsc": "dsc", "hd95_mm": "hd95_mm", "surface_dice": "surface_dice"}.items():
        expected = np.array([case[f"{part}_per_class"][name] for _, case, name in classes], dtype=float)
        np.testing.assert_array_equal(found.classes[measure], expected)
    curves = found.curves.set_index(["key", "curve"])
    for record in records[:20]:
        scores = curves.loc[(record.key, "validation score")]
        assert scores["value"].tolist() == [point["score"] for point in record.validation_curve]
        assert scores["step"].tolist() == [point["step"] for point in record.validation_curve]
    pretraining = next(store.pretrainings())
    losses = curves.loc[(pretraining.key, "training loss")]
    assert losses["value"].tolist() == pretraining.loss_curve
    assert losses["step"].tolist() == list(range(1, len(pretraining.loss_curve) + 1))


def test_tables_read_the_same_cases_without_the_classes(store: Store) -> None:
    short, whole = read_results(store), read_results(store, details=True)
    assert short.cases.equals(whole.cases)
    assert short.cells.equals(whole.cells)
    assert not len(short.classes)
    assert len(whole.classes)


def test_a_record_may_be_laid_out_in_any_way(store: Store, tmp_path: Path) -> None:
    for path in store.folder.rglob("*.json"):
        copy = tmp_path / path.relative_to(store.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(json.dumps(json.loads(path.read_text()), indent=None if "shc" in path.parts else 3))
    ours, theirs = load_results(tmp_path), load_results(store.folder)
    for one, other in zip(ours, theirs, strict=True):
        pandas.testing.assert_frame_equal(one, other)


def test_a_class_may_be_called_anything(store: Store, tmp_path: Path) -> None:
    path = next(store.folder.glob("records/*/shc/linear-v1/*.json"))
    copy = tmp_path / path.relative_to(store.folder)
    copy.parent.mkdir(parents=True)
    names = ["a}", "}", 'b": {', "_per_class", '"dsc_per_class": {}']
    cases = [{"case": "a", "dsc": 0.25, "dsc_per_class": dict.fromkeys(names, 0.5)}] * 2
    copy.write_text(json.dumps(json.loads(path.read_text()) | {"cases": cases}, indent=1))
    assert read_results(Store(tmp_path)).cases["dsc"].tolist() == [0.25, 0.25]
    assert set(load_results(tmp_path).classes["structure"]) == set(names)


@pytest.mark.parametrize("steps", [0, 3, 5, 12, 25, 26, 400])
def test_the_ends_of_a_loss_curve_are_those_that_are_printed(steps: int, store: Store, tmp_path: Path) -> None:
    path = next(store.folder.glob("pretrained/*/record.json"))
    curve = [float(step) for step in range(steps)]
    copy = tmp_path / "pretrained" / path.parent.name / path.name
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(json.loads(path.read_text()) | {"loss_curve": curve}))
    found = read_results(Store(tmp_path)).pretrainings.iloc[0]
    expected = [np.mean(part) if part else np.nan for part in (curve[:5], curve[-20:])]
    np.testing.assert_allclose([found["loss_first"], found["loss_last"]], expected)


def test_what_is_equal_in_many_records_is_one_object(store: Store) -> None:
    cells = read_results(store).cells
    assert cells["_setting"].map(id).nunique() == 1
    assert cells["_data"].map(id).nunique() == 4
    assert cells["_backbone"].map(id).nunique() == RECORDS / 9


def test_a_corrupt_record_is_set_aside_with_a_warning_and_the_report_goes_on(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, path in zip("ab", store.folder.glob("records/*/shc/linear-v1/*.json"), strict=False):
        copy = tmp_path / "records" / name / "shc" / "linear-v1" / path.name
        copy.parent.mkdir(parents=True)
        copy.write_bytes(path.read_bytes()[: 1000 if name == "a" else None])
    assert len(read_results(Store(tmp_path)).cells) == 1
    assert "does not read" in capsys.readouterr().err
    assert len(list(tmp_path.rglob("*.json.corrupt"))) == 1


def test_records_that_the_schema_allows_are_never_set_aside(store: Store, tmp_path: Path) -> None:
    path = next(store.folder.glob("records/*/shc/linear-v1/*.json"))
    copy = tmp_path / path.relative_to(store.folder)
    copy.parent.mkdir(parents=True)
    odd = [{}, {"case": 7, "dsc": "much", "label": None, "probability": [1]}, {"case": "a", "more": {"b": [None]}}]
    odd.append({"case": "b", "dsc": 10**400})
    copy.write_text(json.dumps(json.loads(path.read_text()) | {"cases": odd}))
    found = load_results(tmp_path)
    assert found.cases["case"].tolist() == ["None", "7", "a", "b"]
    assert not found.cases[["dsc", "label", "probability"]].notna().any(axis=None)
    assert len(list(tmp_path.rglob("*.corrupt"))) == 0


@pytest.mark.parametrize("field", ["key", "setting", "science", "provenance", "data"])
@pytest.mark.parametrize("kind", ["records", "pretrained"])
def test_a_record_that_lacks_what_the_schema_asks_for_is_set_aside(
    field: str, kind: str, store: Store, tmp_path: Path
) -> None:
    path = next((store.folder / kind).rglob("*.json"))
    copy = tmp_path / path.relative_to(store.folder)
    copy.parent.mkdir(parents=True)
    content = json.loads(path.read_text())
    del content[field]
    copy.write_text(json.dumps(content, indent=1))
    assert not sum(map(len, load_results(tmp_path)))
    assert len(list(tmp_path.rglob("*.corrupt"))) == 1


@pytest.mark.parametrize(
    "changed", [{"score": "much"}, {"seed": 1}, {"cases": 3}, {"cases": [1]}, {"setting": {}}, {"science": []}]
)
def test_a_record_that_the_schema_forbids_is_set_aside(
    changed: dict[str, object], store: Store, tmp_path: Path
) -> None:
    path = next(store.folder.glob("records/*/shc/linear-v1/*.json"))
    copy = tmp_path / path.relative_to(store.folder)
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(json.loads(path.read_text()) | changed, indent=1))
    expected = 1 if changed == {"seed": 1} else 0
    assert len(read_results(Store(tmp_path)).cells) == expected, "another field is no part of the schema"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        load_results(tmp_path / "nowhere")


def test_garbage_is_collected_again_after_a_report(store: Store) -> None:
    within = no_collection()(gc.isenabled)
    assert not within()
    assert gc.isenabled()


@pytest.mark.parametrize("cases", [1, 2, 7, 12, 20])
def test_sign_flips_of_many_rows_are_those_of_each_alone(cases: int) -> None:
    generator = np.random.default_rng(cases)
    differences = generator.normal(0.2, 1, (150, cases)) * 10.0 ** generator.integers(-9, 9, (150, 1))
    differences[::10] = np.round(differences[::10])
    together = sign_flip_p(differences, generator)
    assert together.tolist() == [sign_flip_p(row[None], generator)[0] for row in differences]


def test_auc_components_are_those_of_each_seed_alone() -> None:
    generator = np.random.default_rng(0)
    values, positive = generator.random((2, 3, 12)).round(1), np.arange(12) % 3 == 0
    scores = Scores((1, 2, 3), values, np.ones((2, 3), dtype=bool), positive)
    every, some = np.ones(12, dtype=bool), np.arange(12) != 4
    seeds = np.array([True, False, True])
    alone = [[auc_components(values[row, seed], positive) for seed in (0, 2)] for row in (1, 0)]
    assert np.array_equal(scores.case_values([1, 0], seeds, every), alone)
    kept = auc_components(values[1, 1][some], positive[some])
    assert np.array_equal(scores.case_values([1], np.array([False, True, False]), some), kept[None, None])
