"""What makes a hundred thousand records readable loses nothing that a table prints."""

from __future__ import annotations

import gc
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from ssl_bench.report import cells_csv, latex, markdown
from ssl_bench.report.case_scores import Scores
from ssl_bench.report.reading import RANKED, no_collection, read_for_pictures, read_for_tables
from ssl_bench.report.statistics import auc_components, sign_flip_p
from ssl_bench.spec.record import AnyRecord, EvaluationRecord, PretrainingRecord
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


def without_curves(record: AnyRecord) -> dict[str, object]:
    """What a table may read of a record."""
    found = record.model_dump()
    if isinstance(record, EvaluationRecord):
        kept = ("case", "dsc", "label", "probability")
        found["cases"] = [{name: case[name] for name in kept if name in case} for case in record.cases]
        found["validation_curve"] = []
    else:
        found["loss_curve"] = [*record.loss_curve[:5], *record.loss_curve[-20:]]
    return found


def test_short_records_are_the_whole_ones_without_curves_and_classes(store: Store) -> None:
    short, whole = read_for_tables(store), list(store.records())
    assert len(short) == RECORDS
    assert [record.model_dump() for record in short] == [without_curves(record) for record in whole]


def test_records_for_pictures_keep_the_dsc_by_class_and_the_curves_alone(store: Store) -> None:
    looked: list[str] = []

    def look(record: AnyRecord) -> None:
        looked.append(record.key)
        segmented = isinstance(record, EvaluationRecord) and record.metric == "DSC"
        assert not segmented or "hd95_mm_per_class" in record.cases[0]

    reduced, whole = read_for_pictures(store, look), list(store.records())
    assert looked == [record.key for record in whole]
    for ours, theirs in zip(reduced, whole, strict=True):
        if not isinstance(theirs, EvaluationRecord) or not isinstance(ours, EvaluationRecord):
            assert ours.model_dump() == without_curves(theirs)
            continue
        assert ours.validation_curve == theirs.validation_curve
        for case, before in zip(ours.cases, theirs.cases, strict=True):
            kept = {name: before[name] for name in (*RANKED, "dsc_per_class") if name in before}
            assert case.keys() == kept.keys()
            ours_by_class, by_class = case.pop("dsc_per_class", {}), kept.pop("dsc_per_class", {})
            assert list(ours_by_class) == list(by_class)
            np.testing.assert_array_equal([*ours_by_class.values()], np.array([*by_class.values()], dtype=float))
            assert case == kept


@pytest.mark.parametrize("steps", [0, 3, 5, 12, 25, 26, 400])
def test_the_ends_of_a_loss_curve_are_those_that_are_printed(steps: int, store: Store, tmp_path: Path) -> None:
    path = next(store.folder.glob("pretrained/*/record.json"))
    curve = [float(step) for step in range(steps)]
    copy = tmp_path / "pretrained" / path.parent.name / path.name
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(json.loads(path.read_text()) | {"loss_curve": curve}))
    (short,) = read_for_tables(Store(tmp_path))
    assert isinstance(short, PretrainingRecord)
    assert short.loss_curve[:5] == curve[:5]
    assert short.loss_curve[-20:] == curve[-20:]


@pytest.mark.parametrize("write", [markdown.write_markdown, cells_csv.write_csv, latex.write_latex])
def test_a_report_of_short_records_is_that_of_whole_ones(write, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    short = write(store)
    for module in (markdown, cells_csv, latex):
        monkeypatch.setattr(module, "read_for_tables", lambda store: list(store.records()))
    assert write(store) == short
    assert "method_02" in short.replace("\\_", "_")


def test_what_is_equal_in_many_records_is_one_object(store: Store) -> None:
    records = [record for record in read_for_tables(store) if isinstance(record, EvaluationRecord)]
    assert len({id(record.setting) for record in records}) == 1
    assert len({id(record.spec.data) for record in records}) == 4
    assert len({id(record.spec.backbone) for record in records}) == RECORDS / 9


def test_a_corrupt_record_is_set_aside_with_a_warning_and_the_report_goes_on(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, path in zip("ab", store.folder.glob("records/*/shc/linear-v1/*.json"), strict=False):
        copy = tmp_path / "records" / name / "shc" / "linear-v1" / path.name
        copy.parent.mkdir(parents=True)
        copy.write_bytes(path.read_bytes()[: 1000 if name == "a" else None])
    assert len(read_for_tables(Store(tmp_path))) == 1
    assert "does not read" in capsys.readouterr().err
    assert len(list(tmp_path.rglob("*.json.corrupt"))) == 1


def test_records_that_the_schema_allows_are_never_set_aside(store: Store, tmp_path: Path) -> None:
    path = next(store.folder.glob("records/*/shc/linear-v1/*.json"))
    copy = tmp_path / path.relative_to(store.folder)
    copy.parent.mkdir(parents=True)
    odd = [{}, {"case": 7, "dsc": "much", "label": None, "probability": [1]}, {"case": "a", "more": {"b": [None]}}]
    copy.write_text(json.dumps(json.loads(path.read_text()) | {"cases": odd}))
    (record,) = read_for_tables(Store(tmp_path))
    assert isinstance(record, EvaluationRecord)
    assert record.cases == [{}, odd[1], {"case": "a"}]


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
    by_seed = {seed: generator.random(12).round(1) for seed in (3, 1, 2)}
    positive = np.arange(12) % 3 == 0
    scores, every, some = Scores(by_seed, positive), np.ones(12, dtype=bool), np.arange(12) != 4
    assert np.array_equal(
        scores.case_values([1, 3], every), np.stack([auc_components(by_seed[seed], positive) for seed in (1, 3)])
    )
    assert np.array_equal(scores.case_values([2], some), auc_components(by_seed[2][some], positive[some])[None])
