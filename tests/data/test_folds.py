"""Folds dealt without a file, each opened again from its plan; and a grid, windows and folds sized by the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_bench.api.settings import Sizing, load_preset
from ssl_bench.data.layouts.own_tasks import add_own
from ssl_bench.data.sizing import median_shape, spacing_for, window_for
from ssl_bench.data.sources import DataSources, source_of
from ssl_bench.data.split_files import write_splits
from ssl_bench.data.splits import Fold, Splits, make_splits
from ssl_bench.data.subjects import with_first_scans
from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.planning.reproduction import cell_of
from ssl_bench.spec.locations import Locations
from ssl_bench.spec.record import EvaluationRecord
from tests.data.files import ct, save
from tests.data.test_patients_in_corpora import data_set

pytestmark = pytest.mark.usefixtures("fresh_registry")

PRESET = load_preset("smoke")
SIZING = Sizing(voxels=1_000, folds=3, folds_below=50)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def hearts(tmp_path: Path) -> tuple[str, Path]:
    """Two frames of each of seven patients."""
    return data_set(tmp_path / "raw" / "Dataset001_Hearts", [f"patient{k}_frame{f}" for k in range(7) for f in (1, 2)])


def sources(
    task: tuple[str, Path],
    sizing: Sizing | None = None,
    said: list[str] | None = None,
    spacing: object = "",
    **more: object,
) -> DataSources:
    name, root = task
    locations = Locations.model_validate({"data_roots": {name: root}, "own_tasks": {name: "nnunet"}} | more)
    recipes = {} if spacing == "" else {name: {"spacing_mm": spacing}}
    say = [].append if said is None else said.append
    return DataSources(locations, PRESET.cohort, recipes, sizing=sizing, say=say)


def planner(data: DataSources) -> Planner:
    return Planner(PRESET, [], "float32", data)


def test_dealt_folds_are_those_of_data_split_with_the_same_keys(hearts: tuple[str, Path], tmp_path: Path) -> None:
    name, _ = hearts
    dealt = sources(hearts, spacing=None, cross_validation=3)
    found = dealt.task(name)
    made = make_splits(name, found.found.cases, found.split_counts, folds=3)  # type: ignore[attr-defined]
    write_splits(made, tmp_path / "folds.json")
    read = sources(hearts, spacing=None, split=tmp_path / "folds.json")
    keys = [
        [planner(data).evaluation("scratch", name, "linear", 0, fold=fold).key for fold in range(3)]
        for data in (dealt, read)
    ]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 3
    one, other = (data.task(name).cross_validation for data in (dealt, read))
    assert one is not None
    assert other is not None
    assert (one.digest, one.folds, one.dealt) == (other.digest, 3, True)
    assert not other.dealt


def test_every_subject_is_tested_in_one_fold_and_its_scans_stay_together(hearts: tuple[str, Path]) -> None:
    data = sources(hearts, spacing=None, cross_validation=3)
    tested = [{case.identifier for case in data.task(hearts[0], fold).load("test")["test"]} for fold in range(3)]
    assert sum(map(len, tested)) == len(set.union(*tested)) == 14
    for cases in tested:
        assert all({f"{name.partition('_')[0]}_frame{f}" for f in (1, 2)} <= cases for name in cases)


def test_a_fold_is_the_same_as_one_asked_for_alone(hearts: tuple[str, Path]) -> None:
    name, root = hearts
    locations = Locations(data_roots={name: root}, own_tasks={name: "nnunet"}, cross_validation=3)
    alone = DataSources(locations, PRESET.cohort, {name: {"spacing_mm": None}}, fold=2)
    assert sources(hearts, spacing=None, cross_validation=3).task(name, 2).describe() == alone.task(name).describe()
    with pytest.raises(UserError, match="--fold 3: the split has folds 0 to 2"):
        alone.task(name, 3)


def test_a_planned_fold_opens_its_own_cases_again(hearts: tuple[str, Path]) -> None:
    data = sources(hearts, spacing=None, cross_validation=3)
    cell = planner(data).evaluation("scratch", hearts[0], "linear", 0, fold=1)
    assert cell.title.endswith("linear-v2, fold 1, seed 0")
    again = source_of(type(cell).model_validate_json(cell.model_dump_json()))
    assert [case.identifier for case in again.load("test")["test"]] == [
        case.identifier for case in data.task(hearts[0], 1).load("test")["test"]
    ]


def test_a_record_alone_says_that_folds_were_dealt(hearts: tuple[str, Path]) -> None:
    cell = planner(sources(hearts, spacing=None, cross_validation=3)).evaluation("scratch", hearts[0], "linear", 0)
    record = EvaluationRecord(
        key=cell.key, status="ok", setting=cell.setting, data="real", provenance={}, spec=cell.spec,
        cross_validation=cell.cross_validation,
    )  # fmt: skip
    found = cell_of(record)
    assert found.locations.cross_validation == 3
    assert found.cross_validation == cell.cross_validation


def test_folds_that_share_their_test_cases_do_not_pool() -> None:
    """As nnU-Net's do where the data set fixes what is tested."""
    folds = [Fold(train=("a",), validation=("b",), test=("c",)), Fold(train=("b",), validation=("a",), test=("c",))]
    assert Splits(task="t", note="", folds=tuple(folds)).cross_validation is None
    apart = [folds[0], Fold(train=("a",), validation=("c",), test=("b",))]
    found = Splits(task="t", note="", folds=tuple(apart)).cross_validation
    assert found is not None
    assert found.folds == 2
    assert Splits(task="t", note="", folds=tuple(apart[:1])).cross_validation is None


def test_embedded_volumes_have_no_folds() -> None:
    with pytest.raises(UserError, match="--cross-validation 5: the embedded cohort has one split"):
        DataSources(Locations(cross_validation=5), PRESET.cohort)
    with pytest.raises(UserError, match="--fold 1: the embedded cohort has one split"):
        DataSources(Locations(), PRESET.cohort).task("shc", 1)


def test_a_record_says_which_scans_are_of_one_subject_and_not_of_whom() -> None:
    rows = [{"case": "a1"}, {"case": "b1"}, {"case": "a2"}, {"case": "c1"}]
    found = with_first_scans(rows, {"a1": "Smith", "a2": "Smith", "b1": "Jones"})
    assert found == [{"case": "a1", "subject": "a1"}, {"case": "b1"}, {"case": "a2", "subject": "a1"}, {"case": "c1"}]


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "expected"),
    [
        ((36, 50, 35), 1.0, 1.0),
        ((140, 175, 140), 1.0, 3.0),
        ((100, 100, 100), 1.0, 2.0),
        ((20, 20, 20), 0.7, 0.7),
        ((100, 100, 100), 0.7, 1.5),
        ((900, 900, 900), 2.0, 6.0),
    ],
)
def test_the_grid_is_the_finest_of_few_that_the_budget_allows(
    shape: tuple[int, int, int], spacing_mm: float, expected: float
) -> None:
    assert spacing_for(shape, spacing_mm, Sizing(voxels=200_000, folds=5, folds_below=50)) == expected


def test_windows_cover_the_shortest_side_up_to_the_largest() -> None:
    shapes = ((10, 99, 99), (33, 40, 60), (47, 58, 47), (90, 80, 70))
    assert [window_for(shape, 48) for shape in shapes] == [16, 48, 48, 48]
    assert median_shape([(1, 2, 3), (3, 9, 9), (5, 4, 3)]) == (3, 4, 3)


def test_what_the_data_decide_is_said_planned_and_opened_again(hearts: tuple[str, Path]) -> None:
    said: list[str] = []
    data = sources(hearts, SIZING, said)
    name = hearts[0]
    cell = planner(data).evaluation("scratch", name, "linear", 0, fold=2)
    spacing = cell.evaluation.data.recipe["spacing_mm"]
    assert spacing > 1
    before = sources(hearts).task(name)
    shape, smaller = (median_shape(source.shapes) for source in (before, data.task(name)))  # type: ignore[attr-defined]
    assert spacing == spacing_for(shape, 1.0, SIZING)
    assert cell.evaluation.crop == window_for(smaller, PRESET.crop) < PRESET.crop
    assert data.folds_to_run(name) == [0, 1, 2]
    assert cell.locations.cross_validation == 3
    assert source_of(cell).describe() == cell.evaluation.data
    for what, line in zip((f"{spacing:g} mm", "3 folds", "windows of"), said, strict=True):
        assert what in line


def test_what_the_user_states_is_not_sized(hearts: tuple[str, Path]) -> None:
    data = sources(hearts, SIZING, spacing=1.0, cross_validation=4)
    assert data.task(hearts[0]).describe().recipe["spacing_mm"] == 1
    assert data.task(hearts[0]).folds == 4


def test_a_set_of_many_subjects_keeps_one_split(hearts: tuple[str, Path]) -> None:
    data = sources(hearts, SIZING.model_copy(update={"folds_below": 7}))
    assert data.task(hearts[0]).folds == 1
    assert data.folds_to_run(hearts[0]) == [0]


@pytest.mark.parametrize(("rarest", "folds"), [(4, 4), (3, 3), (2, 1)])
def test_no_more_folds_than_the_rarest_class_has_subjects(tmp_path: Path, rarest: int, folds: int) -> None:
    root, said = tmp_path / "grades", list[str]()
    rows = ["image,label,patient"]
    for grade, subjects in (("a", 6), ("b", rarest), ("c", 5)):
        for scan in range(2 * subjects):
            save(root / f"{grade}{scan}.nii", ct(len(rows)))
            rows.append(f"{grade}{scan}.nii,{grade},{grade}{scan // 2}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    name, kind, _ = add_own(f"folder:{root}")
    sizing = SIZING.model_copy(update={"folds": 5})
    data = sources((name, root), sizing, said, spacing=None, own_tasks={name: kind})
    assert data.task(name).folds == folds
    for fold in range(folds if folds > 1 else 0):
        test = data.task(name, fold).load("test")["test"]
        assert {case.label for case in test} == {0, 1, 2}
    assert any("of whom the rarest class has" in line for line in said) == (folds > 1)


def test_presets_without_sizing_leave_real_data_as_they_are(hearts: tuple[str, Path]) -> None:
    cell = planner(sources(hearts, spacing=None)).evaluation("scratch", hearts[0], "linear", 0)
    assert cell.evaluation.crop == PRESET.crop
    assert cell.cross_validation is None
    assert load_preset("real").sizing is not None
    assert all(load_preset(name).sizing is None for name in ("smoke", "quick", "small", "paper"))
