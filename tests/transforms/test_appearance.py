from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from ssl_bench.transforms import appearance
from ssl_bench.transforms.appearance import RECIPE, at_least_one, random_appearance
from ssl_bench.transforms.separable import filter_axes, gaussian_matrix, low_resolution_matrix
from tests.transforms.support import assert_contract, streams, volumes


@pytest.mark.parametrize("size", [(8, 8, 8), (9, 6, 13)])
def test_appearance_keeps_the_contract_of_transforms(size: tuple[int, int, int]) -> None:
    assert_contract(random_appearance, size)


CHANGES = ["noise", "blur", "brightness", "contrast", "resolution", "gamma inverted", "gamma"]
PUBLISHED = [0.1, 0.2 * 0.5, 0.15, 0.15, 0.1 * 0.5, 0.1, 0.3]
"""Of nnssl's recipe, in its order, on one channel."""


def test_no_view_keeps_its_appearance() -> None:
    given = volumes(3000, 4, 4, 4)
    changed = (random_appearance(given, streams(3000)) != given).flatten(1).any(1)
    assert changed.all()


@pytest.mark.parametrize("change", range(len(CHANGES)), ids=CHANGES)
def test_every_change_that_is_chosen_changes_something(change: int) -> None:
    given = 0.25 + volumes(1000, 5, 4, 4) / 2
    assert (RECIPE[change].change(given, streams(1000)) != given).flatten(1).any(1).all()


def test_changes_happen_as_often_as_in_the_recipe_where_it_changes_anything() -> None:
    happened = torch.stack(at_least_one(streams(20_000), [step.share(1) for step in RECIPE]), dim=1)
    assert happened.any(1).all()
    # The recipe's own coins, thrown again where none fell.
    coins = np.random.default_rng(0).random((60_000, 7)) < PUBLISHED
    thrown = coins[coins.any(1)]
    np.testing.assert_allclose(happened.float().mean(0), thrown.mean(0), atol=0.012)
    # Not only how often, but also together.
    pairs = happened.float().T @ happened.float() / len(happened)
    np.testing.assert_allclose(pairs, thrown.T.astype(float) @ thrown / len(thrown), atol=0.012)


def test_brightness_varies_by_a_quarter() -> None:
    factor = 2 * appearance._brightness(torch.full((2000, 1, 2, 2, 2), 0.5), streams(2000))
    assert (factor.min().item(), factor.max().item()) == pytest.approx((0.75, 1.25), abs=0.01)


def test_changes_follow_the_order_of_the_recipe() -> None:
    changes = [getattr(step.change, "func", step.change).__name__ for step in RECIPE]
    assert changes == ["_noise", "_blur", "_brightness", "_contrast", "_low_resolution", "_gamma", "_gamma"]
    assert [step.change.keywords["inverted"] for step in RECIPE[5:]] == [True, False]
    assert [step.share(1) for step in RECIPE] == pytest.approx(PUBLISHED)


def test_blur_and_resolution_choose_channels_with_one_half_and_other_strengths_are_a_channel_s_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = 0.25 + volumes(4000, 4, 4, 4, channels=3) / 2
    for index in (1, 4):
        monkeypatch.setattr(appearance, "RECIPE", [RECIPE[index]])
        changed = (random_appearance(given, streams(4000)) != given).flatten(2).any(2)
        # Given that one of three coins fell: 4 of 7.
        np.testing.assert_allclose(changed.float().mean(0), 4 / 7, atol=0.03)
        assert changed.any(1).all()
    bright = 2 * RECIPE[2].apply(torch.full((2, 3, 2, 2, 2), 0.5), streams(2))[..., 0, 0, 0]
    assert len(bright.unique()) == 6
    monkeypatch.setattr(appearance, "LARGEST_NOISE", 1.0)
    noise = RECIPE[0].apply(torch.zeros(50, 2, 8, 8, 8), streams(50)).std(dim=(2, 3, 4))
    assert ((noise[:, 0] / noise[:, 1]).log().abs() < 0.2).all()


def test_contrast_stays_inside_the_range_of_the_sample() -> None:
    given = 0.25 + volumes(400, 4, 4, 4) / 2
    changed = appearance._contrast(given, streams(400))
    assert (changed.amax((1, 2, 3, 4)) <= given.amax((1, 2, 3, 4))).all()
    assert (changed.amin((1, 2, 3, 4)) >= given.amin((1, 2, 3, 4))).all()
    assert (changed.std((1, 2, 3, 4)) > given.std((1, 2, 3, 4))).any()


@pytest.mark.parametrize("inverted", [False, True])
def test_gamma_keeps_mean_and_deviation_and_the_order_of_intensities(inverted: bool) -> None:
    given = volumes(4, 8, 8, 8)
    changed = appearance._gamma(given, streams(4), inverted)
    for statistic in (torch.mean, torch.std):
        torch.testing.assert_close(
            statistic(changed, dim=(2, 3, 4)), statistic(given, dim=(2, 3, 4)), atol=1e-4, rtol=0
        )
    assert torch.equal(changed.flatten(1).argsort(), given.flatten(1).argsort())


def test_a_constant_volume_survives_every_change() -> None:
    changed = random_appearance(torch.full((500, 1, 6, 6, 6), 0.25), streams(500))
    assert not changed.isnan().any()
    assert changed.std(dim=(1, 2, 3, 4)).max() < 0.15


def test_gaussian_matrices_are_a_gaussian_filter_with_zeros_outside() -> None:
    given, sigma = volumes(2, 9, 12, 15), torch.tensor([0.8, 1.7])
    filtered = filter_axes(given, [gaussian_matrix(n, sigma) for n in given.shape[2:]])
    for b in range(2):
        expected = gaussian_filter(given[b, 0].double().numpy(), sigma[b].item(), mode="constant", truncate=4.0)
        np.testing.assert_allclose(filtered[b, 0], expected, atol=1e-5)


def test_an_extended_gaussian_keeps_constants_up_to_the_border() -> None:
    rows = gaussian_matrix(10, torch.tensor([0.7, 3.0]), extend=True).sum(-1)
    torch.testing.assert_close(rows, torch.ones(2, 10))


def test_low_resolution_keeps_constants_and_full_zoom_is_the_identity() -> None:
    matrices = low_resolution_matrix(11, torch.tensor([0.5, 0.73, 1.0]))
    torch.testing.assert_close(matrices.sum(-1), torch.ones(3, 11))
    torch.testing.assert_close(matrices[2], torch.eye(11))


def test_low_resolution_depends_on_the_coarse_voxels_alone() -> None:
    matrix = low_resolution_matrix(12, torch.tensor([0.5]))[0]
    assert int((matrix.abs().sum(0) > 0).sum()) == 6
