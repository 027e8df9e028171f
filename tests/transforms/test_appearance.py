from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from ssl_bench.transforms import appearance
from ssl_bench.transforms.appearance import random_appearance
from ssl_bench.transforms.separable import filter_axes, gaussian_matrix, low_resolution_matrix
from tests.transforms.support import assert_contract, streams, volumes


@pytest.mark.parametrize("size", [(8, 8, 8), (9, 6, 13)])
def test_appearance_keeps_the_contract_of_transforms(size: tuple[int, int, int]) -> None:
    assert_contract(random_appearance, size)


@pytest.mark.parametrize(
    ("change", "share"),
    [
        (appearance._noise, 0.1),
        (appearance._blur, 0.2 * 0.5),
        (appearance._contrast, 0.15),
        (appearance._low_resolution, 0.1 * 0.5),
        (lambda v, d: appearance._gamma(v, d, 0.1, inverted=True), 0.1),
        (lambda v, d: appearance._gamma(v, d, 0.3, inverted=False), 0.3),
    ],
    ids=["noise", "blur", "contrast", "resolution", "gamma inverted", "gamma"],
)
def test_each_change_happens_as_often_as_in_the_recipe(change, share: float) -> None:
    given = volumes(2000, 4, 4, 4)
    happened = (change(given, streams(2000)) != given).flatten(1).any(1).float().mean().item()
    assert happened == pytest.approx(share, abs=0.025)


def test_brightness_varies_by_a_quarter_in_about_one_of_seven_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_noise", "_blur", "_contrast", "_low_resolution"):
        monkeypatch.setattr(appearance, name, lambda v, d: v)
    monkeypatch.setattr(appearance, "_gamma", lambda v, d, probability, inverted: v)
    given = torch.full((2000, 1, 2, 2, 2), 0.5)
    factor = 2 * random_appearance(given, streams(2000))[:, 0, 0, 0, 0]
    assert (factor != 1).float().mean().item() == pytest.approx(0.15, abs=0.025)
    assert (factor.min().item(), factor.max().item()) == pytest.approx((0.75, 1.25), abs=0.01)


def test_changes_follow_the_order_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []
    for name in ("_noise", "_blur", "_contrast", "_low_resolution"):
        monkeypatch.setattr(appearance, name, lambda v, d, n=name: calls.append((n,)) or v)
    monkeypatch.setattr(
        appearance, "_gamma", lambda v, d, probability, inverted: calls.append((probability, inverted)) or v
    )
    random_appearance(volumes(1, 4, 4, 4), streams(1))
    assert calls == [("_noise",), ("_blur",), ("_contrast",), ("_low_resolution",), (0.1, True), (0.3, False)]


def test_contrast_stays_inside_the_range_of_the_sample() -> None:
    given = 0.25 + volumes(400, 4, 4, 4) / 2
    changed = appearance._contrast(given, streams(400))
    assert (changed.amax((1, 2, 3, 4)) <= given.amax((1, 2, 3, 4))).all()
    assert (changed.amin((1, 2, 3, 4)) >= given.amin((1, 2, 3, 4))).all()
    assert (changed.std((1, 2, 3, 4)) > given.std((1, 2, 3, 4))).any()


@pytest.mark.parametrize("inverted", [False, True])
def test_gamma_keeps_mean_and_deviation_and_the_order_of_intensities(inverted: bool) -> None:
    given = volumes(4, 8, 8, 8)
    changed = appearance._gamma(given, streams(4), 1.0, inverted)
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
