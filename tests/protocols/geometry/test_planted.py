"""On planted features every protocol without a gradient gives what can be worked out without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from ssl_bench.api.cases import Case
from ssl_bench.data.synthetic.truth import Truth
from ssl_bench.data.synthetic.warps import Variation
from ssl_bench.errors import UserError
from ssl_bench.protocols.geometry.controls import Mind, Patches, Position
from ssl_bench.protocols.geometry.convex import displacement, folded_share
from ssl_bench.protocols.geometry.neighbours import Bank, most_voted, nearest_in
from ssl_bench.protocols.geometry.pairs import pairs_of, points_in
from ssl_bench.protocols.geometry.search import coarse_to_fine
from ssl_bench.protocols.geometry.unit_vectors import UnitVectors
from ssl_bench.protocols.register_v1 import _true_field
from ssl_bench.protocols.retrieval_v1 import average_precision

from .planted import CLASSES, EXTENT_MM, SHAPE, SPACING, Planted, cases, measured, subjects

POINTS = subjects(4)


def partners(one: str, other: str, case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of a case that have a partner in the other, and those partners."""
    voxels, _ = points_in(case, 224, len(CLASSES))
    found = Truth(POINTS).partners(one, other, voxels.float())
    return voxels[~found.isnan().any(1)], found[~found.isnan().any(1)]


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_match_is_the_nearest_coordinate(noise: float) -> None:
    """Against a k-d tree of the noisy coordinates; half a turn is so nearly their distance that medians agree."""
    test = cases(POINTS, noise=noise)
    for row in measured("match-v1", test, points=POINTS, partners=1):
        source, target = (
            next(case for case in test if case.identifier == row[side]) for side in ("subject", "partner")
        )
        voxels, true = partners(row["subject"], row["partner"], source)
        tree = KDTree(target.image.reshape(3, -1).T)
        _, nearest = tree.query(source.image[:, *voxels.T].T)
        found = np.stack(np.unravel_index(nearest, SHAPE), 1)
        errors = np.linalg.norm((found - true.numpy()) * SPACING, axis=1)
        assert row["error_mm"] == pytest.approx(np.median(errors), abs=0.12 * SPACING[0])
        assert row["within_2_voxels"] == pytest.approx((errors <= 2 * SPACING[0]).mean(), abs=0.06)
        assert sum(part["points"] for part in row["by_warp"].values()) == row["points"] == len(voxels)
        assert row["coarse_to_fine_error_mm"] == row["error_mm"]
    assert noise or row["error_mm"] < SPACING[0]


def test_constant_features_match_the_first_voxel_and_random_ones_any() -> None:
    for features, tolerance in (("constant", 1e-5), ("random", 0.1)):
        test = cases(POINTS, features)
        for row in measured("match-v1", test, points=POINTS, partners=1):
            source = next(case for case in test if case.identifier == row["subject"])
            _, true = partners(row["subject"], row["partner"], source)
            places = torch.zeros(1, 3) if features == "constant" else torch.from_numpy(np.argwhere(np.ones(SHAPE)))
            distances = torch.cdist(true * SPACING[0], places.float() * SPACING[0])
            assert row["error_mm"] == pytest.approx(np.median(distances.numpy()), rel=tolerance)


def test_the_truth_is_off_by_the_rounding_alone_and_position_by_the_warp() -> None:
    test = cases(POINTS)
    for best, place in zip(
        measured("match-v1", test, points=POINTS, control="truth", descriptor=None),
        measured("match-v1", test, points=POINTS, control="position", descriptor=Position),
        strict=True,
    ):
        source = next(case for case in test if case.identifier == best["subject"])
        voxels, true = partners(best["subject"], best["partner"], source)
        rounding = ((true.round() - true) * SPACING[0]).norm(dim=1).numpy()
        assert best["error_mm"] == pytest.approx(np.median(rounding), abs=1e-4)
        moved = ((true - voxels) * SPACING[0]).norm(dim=1).numpy()
        assert place["error_mm"] == pytest.approx(np.median(moved), abs=1e-4)


def test_without_known_partners_match_refuses_in_one_line() -> None:
    with pytest.raises(UserError, match="nobody knows which voxels of two of its cases show the same"):
        measured("match-v1", cases(POINTS))


def test_coarse_to_fine_finds_through_stages_what_the_finest_finds() -> None:
    """Position in stages of a padded volume: every stage leads to the same place, whatever the padding."""
    (case,) = cases(subjects(1))
    levels = UnitVectors(Position(), [case]).levels(case)
    assert len(levels) == 5
    voxels = torch.from_numpy(np.argwhere(np.ones(SHAPE)))[::37]
    assert (coarse_to_fine(levels, levels, voxels) - voxels).abs().max() < 1e-4


def test_every_case_is_in_as_many_pairs_and_no_pair_comes_twice() -> None:
    for count, partners_each in ((2, 2), (3, 2), (6, 2), (24, 2), (7, 1)):
        pairs = pairs_of(count, partners_each)
        assert len({frozenset(pair) for pair in pairs}) == len(pairs)
        assert len(set(np.bincount(np.ravel(pairs)))) == 1
    with pytest.raises(UserError, match="two test cases"):
        pairs_of(1, 2)


def test_votes_are_those_of_sklearn() -> None:
    generator = np.random.default_rng(0)
    known, asked = generator.normal(size=(300, 6)), generator.normal(size=(200, 6))
    labels = generator.integers(0, 4, 300)
    unit = [torch.nn.functional.normalize(torch.from_numpy(rows).float(), dim=1) for rows in (known, asked)]
    halves = [Bank(unit[0][part].T, torch.from_numpy(labels[part])) for part in (slice(0, 150), slice(150, 300))]
    found = most_voted([nearest_in(bank, unit[1], 5) for bank in halves], 5, 0.07)
    reference = KNeighborsClassifier(5, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07))
    assert (found.numpy() == reference.fit(known, labels).predict(asked)).all()


def test_labels_are_carried_along_true_coordinates_and_not_by_constant_features() -> None:
    train_points, everything = subjects(2, "train"), {}
    everything |= train_points | POINTS
    arguments = {"voxels": 2000, "neighbours": 1}
    carried = measured("transfer-v1", cases(POINTS), cases(train_points), **arguments)
    best = measured("transfer-v1", cases(POINTS), cases(train_points), everything, "truth", descriptor=None)
    assert np.mean([row["dsc"] for row in best]) > 0.88
    assert np.mean([row["dsc"] for row in carried]) > np.mean([row["dsc"] for row in best]) - 0.08
    assert all(row["shots"] == 2 and 0 < row["one_shot_dsc"] <= 1 for row in carried)
    flat = measured("transfer-v1", cases(POINTS, "constant"), cases(train_points, "constant"), **arguments)
    for row, case in zip(flat, cases(POINTS), strict=True):
        # One label for all voxels: background, which is no structure, or one structure's 2 n / (N + n).
        counts = np.bincount(case.label.ravel(), minlength=4)[1:]
        possible = [0.0, *(2 * n / (case.label.size + n) / 3 for n in counts)]
        assert min(abs(row["dsc"] - value) for value in possible) < 1e-6


def test_average_precision_is_that_of_sklearn_ties_too() -> None:
    generator = np.random.default_rng(0)
    for digits in (0, 1, 6):
        likeness, wanted = generator.normal(size=80).round(digits), generator.random(80) < 0.2
        assert average_precision(likeness, wanted) == pytest.approx(average_precision_score(wanted, likeness))


def test_windows_are_found_by_where_they_are_and_by_chance_without_features() -> None:
    still = subjects(4, variation=Variation(0.5, 0.0, 0.0, 0.0))
    for row in measured("retrieval-v1", cases(still), side=4):
        assert row["average_precision"] == pytest.approx(1)
    for row in measured("retrieval-v1", cases(still), side=4, control="position", descriptor=Position):
        assert row["average_precision"] == pytest.approx(1)
    for row in measured("retrieval-v1", cases(still, "constant"), side=4):
        assert row["average_precision"] == pytest.approx(1 / 3)


def test_volumes_are_classified_as_sklearn_does_and_by_chance_without_features() -> None:
    generator = np.random.default_rng(0)
    volumes = [
        Case(str(n), (generator.random((3, 4, 4, 4)) * 0.3 + 0.1 * (n % 2)).astype(np.float32), n % 2, SPACING)
        for n in range(40)
    ]
    train, test = volumes[:20], volumes[20:]
    rows = measured("knn-v1", test, train, kind="classification", neighbours=7)
    features = [
        torch.cat([Planted().pooled(torch.from_numpy(case.image)[None]) for case in part]) for part in (train, test)
    ]
    reference = KNeighborsClassifier(7, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07))
    reference.fit(features[0].double().numpy(), [case.label for case in train])
    expected = reference.predict_proba(features[1].double().numpy())[:, 1]
    assert [row["probability"] for row in rows] == pytest.approx(list(expected), abs=1e-4)
    flat = [Case(case.identifier, np.full_like(case.image, 0.3), case.label, SPACING) for case in volumes]
    rows = measured("knn-v1", flat[20:], flat[:20], kind="classification")
    assert roc_auc_score([row["label"] for row in rows], [row["probability"] for row in rows]) == 0.5


def test_a_shift_is_registered_and_nothing_folds() -> None:
    (points,) = subjects(1, variation=Variation(1e-6, 0.0, 0.0, 0.0)).values()
    features = torch.nn.functional.normalize(Planted().local((points / EXTENT_MM).movedim(-1, 0)[None]), dim=1)[0]
    field = displacement(features, features.roll(4, 2))
    inner = field[:, 6:-6, 8:-8, 6:-6]
    assert (inner - torch.tensor([0.0, 4.0, 0.0]).view(3, 1, 1, 1)).abs().max() < 0.1
    flat = torch.full((4, *SHAPE), 0.5)
    assert displacement(flat, flat).abs().max() < 1e-6
    assert folded_share(torch.zeros(3, 5, 5, 5)) == 0
    mirrored = -2 * torch.arange(5.0).view(1, 5, 1, 1) * torch.tensor([1.0, 0, 0]).view(3, 1, 1, 1).expand(3, 5, 5, 5)
    assert folded_share(mirrored) == 1


def test_registration_by_coordinates_beats_identity_and_truth_beats_both() -> None:
    far = subjects(4, variation=Variation(displacement_mm=4.0, rotation_deg=6.0, scale=0.06, shift_mm=8.0))
    test = cases(far)
    rows = {
        "features": measured("register-v1", test, points=far),
        "identity": measured("register-v1", test, points=far, control="identity", descriptor=None),
        "truth": measured("register-v1", test, points=far, control="truth", descriptor=None),
    }
    dsc, error = ({name: np.mean([row[key] for row in own]) for name, own in rows.items()} for key in ("dsc", "tre_mm"))
    assert dsc["identity"] < dsc["features"] < dsc["truth"]
    assert error["truth"] < 1e-3 < error["features"] < 0.7 * error["identity"]
    assert all(row["folded"] == 0 for row in (*rows["identity"], *rows["truth"]))


def test_a_methods_own_map_is_measured_as_the_solvers_is() -> None:
    test = cases(POINTS)
    best = measured("register-v1", test, points=POINTS, control="truth", descriptor=None)
    still = measured("register-v1", test, points=POINTS, control="identity", descriptor=None)
    named = {case.identifier: case for case in test}
    fields = iter([_true_field(Truth(POINTS), named[row["subject"]], named[row["partner"]]) for row in best])
    for rows, own_map in ((best, lambda *_: next(fields)), (still, lambda fixed, _: torch.zeros(3, *fixed.shape[2:]))):
        found = measured("register-v1", test, points=POINTS, own_map=own_map)
        for row, expected in zip(found, rows, strict=True):
            for name in ("dsc", "tre_mm", "folded"):
                assert row[f"own_{name}"] == pytest.approx(expected[name], abs=1e-4)
    assert "own_dsc" not in still[0]


def test_the_moving_case_meets_an_own_map_on_the_grid_of_the_fixed_one() -> None:
    (case,) = cases(subjects(1))
    longer = replace(case, identifier="longer", image=case.image.repeat(2, 1), label=case.label.repeat(2, 0))
    met = []

    def own_map(fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        met.append((fixed.shape, moving.shape))
        return torch.zeros(3, *fixed.shape[2:])

    rows = measured("register-v1", [case, longer], own_map=own_map)
    assert all(fixed == moving for fixed, moving in met)
    # The same subject twice, one of them sampled twice as finely along the first axis: nothing is to be moved.
    assert [row["own_dsc"] for row in rows] == pytest.approx([1.0] * len(rows), abs=0.02)


def test_mind_and_patches_describe_what_they_say() -> None:
    volume = torch.rand(1, 1, 8, 9, 7, generator=torch.Generator().manual_seed(0))
    patches = Patches().local(volume)
    assert patches.shape == (1, 125, 8, 9, 7)
    assert torch.equal(patches[0, :, 4, 5, 3], volume[0, 0, 2:7, 3:8, 1:6].flatten())
    mind = Mind().local(volume)
    assert mind.shape == (1, 12, 8, 9, 7)
    # A contrast that is stretched and shifted changes nothing; inverted neither, since distances are squared.
    torch.testing.assert_close(Mind().local(5 - 2 * volume), mind, atol=1e-3, rtol=1e-3)
    assert mind.amax(1).eq(1).all()
