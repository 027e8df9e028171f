"""Protocols without a gradient whose test cases are shifted, on planted features."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch

from ssl_bench.api.cases import Case
from ssl_bench.api.measurement import Descriptor, Measured, Rows, Show
from ssl_bench.api.settings import load_preset
from ssl_bench.api.shift import SHIFTS
from ssl_bench.data.synthetic.truth import Truth
from ssl_bench.planning.planner import Planner
from ssl_bench.protocols.geometry.pairs import points_in
from ssl_bench.protocols.match_v1 import MatchV1
from ssl_bench.shifts import cases as of_cases
from ssl_bench.shifts.cases import shifted
from ssl_bench.shifts.partners import ShiftedPartners
from ssl_bench.spec.record import ShiftedScores
from ssl_bench.training import robustness
from ssl_bench.training.measuring import score_of
from ssl_bench.training.progress import Progress

from .planted import CLASSES, SPACING, Planted, cases, data_of, labelled, protocol_of, subjects

POINTS, TRAIN = subjects(4), subjects(2, "train")
SPEC = Planner(load_preset("smoke"), [], "float32").evaluation("scratch", "shc", "match", 0).evaluation
SETTINGS: dict[str, dict[str, Any]] = {"match-v1": {"partners": 1}, "retrieval-v1": {"side": 4}}
SIDE = 21


def scores_of(
    name: str, data: Measured, *shifts: str, descriptor: Any = Planted, metric: str = "DSC"
) -> list[ShiftedScores]:
    """What the protocol `name` makes of shifted test cases of `data`."""
    spec = SPEC.model_copy(update={"shifts": tuple(f"{shift}-v1" for shift in shifts)})

    def scored(rows: Rows) -> float:
        return score_of(data.facts, metric, rows)

    protocol = protocol_of(name, **SETTINGS.get(name, {}))
    found = descriptor() if descriptor else None
    return robustness.shifted_measures(spec, protocol, data, found, scored, Progress(shown=False))


def planted(name: str) -> tuple[Measured, str]:
    """Cases that the protocol `name` measures, and its metric."""
    features = "random" if name in ("retrieval-v1", "knn-v1") else "coordinates"  # Too easily found by coordinates.
    test, train = cases(POINTS, features), cases(TRAIN, features)
    if name != "knn-v1":
        return data_of(test, train, POINTS | TRAIN), protocol_of(name).metrics["segmentation"]
    test, train = ([replace(case, label=at % 2) for at, case in enumerate(part)] for part in (test, train))
    return data_of(test, train, kind="classification"), "AUC"


@pytest.mark.parametrize("name", ["match-v1", "register-v1", "transfer-v1", "retrieval-v1", "knn-v1"])
def test_grade_0_is_the_record_itself_to_the_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, metric = planted(name)
    rows = protocol_of(name, **SETTINGS.get(name, {})).measure(data, Planted())
    monkeypatch.setattr(robustness, "GRADES", (0, 3))
    still, noisy, plain, turned = scores_of(name, data, "noise", "rotation", metric=metric)
    for found in (still, plain):
        assert found.score == score_of(data.facts, metric, rows)
        assert found.cases == [{key: row[key] for key in own} for row, own in zip(rows, found.cases, strict=True)]
        assert [row["case"] for row in found.cases] == [row["case"] for row in rows]
        left_out = set(rows[0]) - set(found.cases[0])
        assert all(key.endswith("_per_class") or key in ("subject", "partner", "by_warp") for key in left_out)
    assert noisy.cases != still.cases
    assert turned.cases != still.cases


@pytest.mark.parametrize("name", ["match-v1", "register-v1", "retrieval-v1"])
def test_one_case_of_each_comparison_is_shifted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every row were measured by itself, of a shifted case among those that are not."""
    monkeypatch.setattr(robustness, "GRADES", (2,))
    data, metric = planted(name)
    (found,) = scores_of(name, data, "rotation", metric=metric)
    moved = [shifted(case, SHIFTS["rotation"], 2, SPEC.seed) for case in data.test]
    truth = ShiftedPartners(Truth(POINTS), data.test, SHIFTS["rotation"], 2, SPEC.seed)
    protocol, alone = protocol_of(name, **SETTINGS.get(name, {})), []
    for at, case in enumerate(data.test):
        if name == "retrieval-v1":
            test, place = [*data.test[:at], moved[at], *data.test[at + 1 :]], at
        else:
            test, place = [case, moved[(at + 1) % len(moved)]], 0
        alone.append(protocol.measure(replace(data, test=test, references=test, truth=lambda: truth), Planted())[place])
    for row, own in zip(found.cases, alone, strict=True):
        assert row.pop("case") == own["case"]
        assert row == pytest.approx({key: own[key] for key in row}, rel=1e-6)


def test_of_a_quarter_turn_true_coordinates_find_every_partner(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cube that is turned by 90 degrees voxels meet voxels, whose coordinates are those of the points."""
    monkeypatch.setattr(robustness, "GRADES", (3,))
    monkeypatch.setattr(of_cases, "random_axis", lambda _: np.array([1.0, 0.0, 0.0]))
    quarter = replace(SHIFTS["rotation"], strengths=(0.0, 0.0, 0.0, 90.0))
    monkeypatch.setattr(robustness, "shifts_called", lambda _: [quarter])
    points = {f"test-{at}": cube() for at in range(2)}
    data = data_of([cubic(name, own) for name, own in points.items()], points=points)
    (found,) = scores_of("match-v1", data, "rotation", metric="match error")
    assert found.score == pytest.approx(0, abs=1e-3)
    assert [row["within_2_voxels"] for row in found.cases] == [1.0]
    # Whoever stays at the same place is off by what numpy's own quarter turn moves each point.
    (still,) = scores_of("register-v1", replace(data, control="identity"), "rotation", descriptor=None)
    voxels, _ = points_in(data.test[0], 224, len(CLASSES))
    numbers = np.arange(SIDE**3).reshape(SIDE, SIDE, SIDE)
    turned = np.argsort(np.rot90(numbers, 1, (1, 2)).ravel())
    partners = np.stack(np.unravel_index(turned[numbers[*voxels.T]], numbers.shape), 1)
    off = np.linalg.norm((partners - voxels.numpy()) * SPACING, axis=1)
    assert still.cases[0]["tre_mm"] == pytest.approx(off.mean(), rel=1e-4)
    assert off.mean() > 5


def test_points_without_a_partner_in_view_are_not_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "GRADES", (1, 3))
    narrow = replace(SHIFTS["field-of-view"], strengths=(1.0, 0.5, 0.5, 0.05))
    monkeypatch.setattr(robustness, "shifts_called", lambda _: [narrow])
    points = {f"test-{at}": cube() for at in range(2)}
    data = data_of([cubic(name, own) for name, own in points.items()], points=points)
    half, nearly_nothing = scores_of("match-v1", data, "field-of-view", metric="match error")
    voxels, _ = points_in(data.test[0], 224, len(CLASSES))
    # Of 21 voxels the middle 10: from the sixth on.
    inside = ((voxels >= 5) & (voxels < 15)).all(1)
    assert 0 < half.cases[0]["points"] == int(inside.sum()) < len(voxels)
    assert half.score == pytest.approx(0, abs=1e-3)
    assert (nearly_nothing.cases[0]["points"], nearly_nothing.score) in ((0, None), (1, pytest.approx(0, abs=1e-3)))


def test_a_protocol_is_told_of_shifted_test_cases_alone_and_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Measured] = []

    def measure(self: MatchV1, data: Measured, descriptor: Descriptor | None) -> Rows:
        told.append(data)
        return [{"case": case.identifier, "error_mm": 1.0} for case in data.test]

    class Kept(Show):
        """A picture that would be drawn."""

    monkeypatch.setattr(MatchV1, "measure", measure)
    data = replace(planted("match-v1")[0], show=Kept())
    found = scores_of("match-v1", data, "gamma", "rotation", metric="match error")
    assert [(scores.shift, scores.grade, scores.score) for scores in found] == [
        (name, grade, 1.0) for name in ("gamma-v1", "rotation-v1") for grade in (1, 2, 3)
    ]
    for own, (shift, grade) in zip(told, [(s, g) for s in ("gamma", "rotation") for g in (1, 2, 3)], strict=True):
        assert own.train is data.train
        assert own.references is data.test
        assert type(own.show) is Show
        for case, start in zip(own.test, data.test, strict=True):
            np.testing.assert_array_equal(case.image, shifted(start, SHIFTS[shift], grade, SPEC.seed).image)


def test_what_is_remembered_is_of_the_case_and_no_more_than_asked_for() -> None:
    made: list[str] = []
    describe = lru_cache(maxsize=2)(lambda case: made.append(case.identifier) or case.identifier)
    one, two, three = cases(subjects(3))
    twin = replace(one, image=np.asarray(one.image) + 1)
    assert [describe(case) for case in (one, two, one, three, one, two, twin)] == [
        case.identifier for case in (one, two, one, three, one, two, one)
    ]
    # The last two that were asked for are there; what looks alike is another.
    assert made == [case.identifier for case in (one, two, three, two, twin)]


def cube() -> torch.Tensor:
    """(SIDE, SIDE, SIDE, 3): coordinates of an anatomy that nothing warps, in mm."""
    return torch.stack(torch.meshgrid(*[10 + 3.0 * torch.arange(SIDE)] * 3, indexing="ij"), -1)


def cubic(name: str, points: torch.Tensor) -> Case:
    """A case whose features are its coordinates."""
    return Case(name, (points / 80).movedim(-1, 0).numpy().astype(np.float32), labelled(points), SPACING)
