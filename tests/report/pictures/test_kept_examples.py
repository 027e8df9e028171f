"""What cells keep for the pictures, and that nothing depends on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_bench.api.cases import Case
from ssl_bench.api.method import Method
from ssl_bench.api.registry import METHODS, TASKS
from ssl_bench.api.settings import load_preset
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.methods.scratch import Scratch
from ssl_bench.nn.warp import warp
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.record import AnyRecord, EvaluationRecord
from ssl_bench.store.example_file import (
    Examples,
    LocalFeatures,
    PretextExample,
    SegmentedSlice,
    read_examples,
    write_examples,
)
from ssl_bench.store.store import Store
from ssl_bench.training import examples as engine
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, make_fabric

PLANNER = Planner(load_preset("smoke"), [], "float32")
EVALUATION = PLANNER.evaluation("scratch", "shc", "linear", 0)
PRETRAINING = PLANNER.pretraining("gvsl", 0)
SLICE = np.arange(12, dtype=np.uint8).reshape(3, 4)
KEPT = Examples(
    (SegmentedSlice("worst", "test-000", 0.25, SLICE, SLICE % 2, SLICE % 3, (1.0, 2.0)),),
    LocalFeatures(SLICE, np.stack([SLICE] * 3, -1), np.ones((5, 2), np.float16), np.arange(5, dtype=np.uint8)),
    PretextExample(("A", "B"), np.stack([SLICE, SLICE]), np.ones((2, 3, 4), np.float16)),
)


def run(store: Store, cell: object) -> AnyRecord:
    return run_cell(cell, store, Runtime("cpu", 1), Progress(shown=False))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def evaluation(store: Store) -> EvaluationRecord:
    record = run(store, EVALUATION)
    assert isinstance(record, EvaluationRecord)
    assert record.status == "ok", record.reason
    return record


def test_an_evaluation_keeps_its_worst_and_best_cases_and_local_features(
    store: Store, evaluation: EvaluationRecord
) -> None:
    path = store.examples_path(EVALUATION.key)
    kept = read_examples(path)
    scores = {case["case"]: case["dsc"] for case in evaluation.cases}
    assert [(shown.place, shown.dsc) for shown in kept.slices] == [
        ("worst", min(scores.values())),
        ("best", max(scores.values())),
    ]
    assert all(scores[shown.case] == shown.dsc for shown in kept.slices)
    assert all(shown.truth.any() for shown in kept.slices)
    assert kept.features is not None
    assert kept.features.image.shape == (32, 32)
    assert kept.features.vectors.shape[1] == 8
    assert set(kept.features.labels) == set(range(8)), "the background and every structure"
    assert path.stat().st_size < 100_000


@pytest.mark.slow
def test_a_pretraining_keeps_what_its_method_shows(store: Store) -> None:
    run(store, PRETRAINING)
    check_pair(store.examples_path(PRETRAINING.key))


@pytest.mark.slow
def test_a_cell_that_cannot_keep_examples_ends_with_the_same_record(
    tmp_path: Path, evaluation: EvaluationRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "examples").touch()
    record = run(Store(tmp_path), EVALUATION)
    apart = {"cost", "provenance"}
    assert record.model_dump(exclude=apart) == evaluation.model_dump(exclude=apart)
    assert "no examples kept" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["gvsl", "gvsl_no_affine", "gvsl_no_fundament"])
def test_a_matching_method_shows_its_pair(method: str, tmp_path: Path) -> None:
    keep(tmp_path / "x.npz", METHODS.load(method)(UNet3D(8), METHODS.load(method).Config(), 32), side=32)
    check_pair(tmp_path / "x.npz")


def check_pair(path: Path) -> None:
    pretext = read_examples(path).pretext
    assert pretext is not None
    assert pretext.titles == ("A", "B", "B warped onto A")
    assert pretext.displacement is not None
    assert pretext.displacement.shape == (2, 32, 32)


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "examples").touch()
    gvsl = METHODS.load("gvsl")
    keep(tmp_path / "examples" / "x.npz", gvsl(UNet3D(8), gvsl.Config(), 16), side=16)
    assert "no examples kept" in capsys.readouterr().err


@pytest.mark.parametrize("shown", [RuntimeError("a plugin's mistake"), {"A": torch.zeros(3)}, {}])
def test_a_methods_mistake_in_its_example_is_a_warning(
    shown: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def example(*_: object) -> object:
        if isinstance(shown, Exception):
            raise shown
        return shown

    monkeypatch.setattr(Scratch, "example", example)
    keep(tmp_path / "x.npz", Scratch(UNet3D(8), Scratch.Config(), 32))
    assert "no examples kept" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_method_that_shows_nothing_keeps_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path / "x.npz", Scratch(UNet3D(8), Scratch.Config(), 32))
    assert not list(tmp_path.iterdir())
    assert not capsys.readouterr().err


def keep(path: Path, method: Method, side: int = 8) -> None:
    volumes = list(np.random.default_rng(0).random((2, side, side, side), dtype=np.float32))
    corpus = engine.Corpus(volumes, side, "cpu")
    engine.keep_pretraining_examples(path, make_fabric(Runtime("cpu", 2), "float32"), method, corpus)


def test_the_kept_displacement_fetches_the_warped_slice() -> None:
    """As the slice is hung: turned by half a turn, and its arrows with it."""
    volume = torch.rand(1, 1, 5, 9, 9)
    displacement = torch.zeros(1, 3, 5, 9, 9)
    displacement[:, 1], displacement[:, 2] = 2, -1
    pretext = engine._pretext({"from": volume, "to": warp(volume, displacement), "displacement": displacement})
    assert pretext.displacement is not None
    down, right = pretext.displacement.astype(int)
    rows, columns = np.indices((9, 9))
    inside = (rows + down >= 0) & (rows + down < 9) & (columns + right >= 0) & (columns + right < 9)
    source, target = pretext.images
    assert inside.sum() == 56
    assert (target[inside] == source[(rows + down)[inside], (columns + right)[inside]]).all()


def test_slices_hang_with_the_front_up_and_the_right_on_the_left() -> None:
    label = np.zeros((3, 4, 4), np.uint8)
    label[1, 3, 3] = 1  # axes point to superior, anterior and right
    case = Case("x", label.astype(np.float32), label, (1.0, 2.0, 3.0))
    shown = engine._segmented(case, {"dsc": 0.5}, torch.from_numpy(label))
    assert shown.truth[0, 0] == 1
    assert shown.truth.sum() == 1
    assert shown.pixel_mm == (2.0, 3.0)


def segmented(label: np.ndarray) -> SegmentedSlice:
    case = Case("x", label.astype(np.float32), label, (1, 1, 1))
    return engine._segmented(case, {"dsc": 1.0}, torch.from_numpy(label))


def test_a_slice_that_waits_for_the_others_holds_no_volume() -> None:
    shown = segmented(np.ones((64, 8, 8), np.uint8))
    for plane in (shown.image, shown.truth, shown.prediction):
        assert plane.base is None
        assert plane.shape == (8, 8)


def test_a_slice_that_cannot_be_kept_costs_the_places_of_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label = np.ones((2, 8, 8), np.uint8)
    examples = engine.EvaluationExamples(tmp_path / "x.npz", TASKS.load("shc").facts)
    case = Case("x", label.astype(np.float32), label, (1, 1, 1))
    for prediction in (torch.from_numpy(label), torch.zeros(()), torch.from_numpy(label)):
        examples.see(case, {"dsc": 1.0}, prediction)
    examples.write(case, lambda volume: volume, 8)
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().err.count("no examples kept") == 1


def test_a_long_side_is_thinned_and_its_pixels_grow() -> None:
    label = np.ones((2, 300, 100), np.uint8)
    shown = segmented(label)
    assert shown.image.shape == (100, 34)
    assert shown.pixel_mm == (3, 3)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.5, None, 0.1, 0.9, 0.4], [("worst", 2), ("median", 4), ("best", 3)]),
        ([0.5, 0.1], [("worst", 1), ("best", 0)]),
        ([0.5], [("worst", 0)]),
        ([None], []),
    ],
)
def test_worst_median_and_best_are_different_cases(scores: list[float | None], expected: list[tuple[str, int]]) -> None:
    examples = engine.EvaluationExamples(Path("x.npz"), TASKS.load("shc").facts)
    for number, score in enumerate(scores):
        label = np.ones((1, 2, 2), np.uint8)
        case = Case(str(number), label.astype(np.float32), label, (1, 1, 1))
        examples.see(case, {"dsc": score}, torch.from_numpy(label))
    assert [(shown.place, int(shown.case)) for shown in engine._placed(examples.slices)] == expected


def test_principal_colours_are_those_of_an_independent_pca() -> None:
    from sklearn.decomposition import PCA

    features = np.random.default_rng(0).normal(size=(9, 8, 5)) * [5, 3, 2, 1, 0.1]
    colours = engine._principal_colours(features.astype(np.float32)).reshape(-1, 3).astype(float)
    expected = PCA(3).fit_transform(features.reshape(-1, 5))
    for ours, theirs in zip(colours.T, expected.T, strict=True):
        assert abs(np.corrcoef(ours, theirs)[0, 1]) > 0.99


def test_examples_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_examples(tmp_path / "x.npz", KEPT)
    found = read_examples(tmp_path / "x.npz")
    both = [(*kept.slices, kept.features, kept.pretext) for kept in (found, KEPT)]
    for ours, theirs in zip(*both, strict=True):
        for name, value in vars(theirs).items():
            np.testing.assert_array_equal(getattr(ours, name), value)
    assert read_examples(tmp_path / "other.npz") == Examples()


@pytest.mark.parametrize(
    "change",
    [
        {"slice0_truth": np.zeros((2, 2), np.uint8)},
        {"slice0_pixel_mm": np.array([0.0, 1.0])},
        {"slice0_image": SLICE.astype(float)},
        {"slice0_case": np.array({"a": 1}, dtype=object)},
        {"features_vectors": np.full((5, 2), np.inf, np.float16)},
        {"features_labels": np.zeros(4, np.uint8)},
        {"pretext_titles": np.array(["A"])},
        {"pretext_displacement": np.ones((3, 3, 4), np.float16)},
        {"other": np.zeros(2**25, np.uint8)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_file_that_is_not_ours_is_left_out_with_a_warning(
    change: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.npz"
    write_examples(path, KEPT)
    with np.load(path) as file:
        arrays = dict(file) | change
    np.savez_compressed(path, **arrays)
    assert read_examples(path) == Examples()
    assert "does not read" in capsys.readouterr().err


def test_class_indices_of_many_classes_come_back(tmp_path: Path) -> None:
    slice_ = dataclasses.replace(KEPT.slices[0], truth=SLICE.astype(np.uint16) + 250, prediction=SLICE)
    assert KEPT.features is not None
    features = dataclasses.replace(KEPT.features, labels=np.arange(297, 302, dtype=np.uint16))
    write_examples(tmp_path / "x.npz", Examples((slice_,), features))
    found = read_examples(tmp_path / "x.npz")
    assert found.features is not None
    assert np.array_equal(found.slices[0].truth, slice_.truth)
    assert np.array_equal(found.features.labels, features.labels)


def test_slices_alone_are_enough(tmp_path: Path) -> None:
    write_examples(tmp_path / "x.npz", dataclasses.replace(KEPT, features=None, pretext=None))
    found = read_examples(tmp_path / "x.npz")
    assert (len(found.slices), found.features, found.pretext) == (1, None, None)
