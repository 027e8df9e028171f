from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ssl_bench.transforms import corruption
from ssl_bench.transforms.corruption import GVSL, MODELS_GENESIS, CorruptionSettings, corrupt, random_flip
from tests.transforms.support import assert_contract, streams, volumes

BOTH = pytest.mark.parametrize("settings", [GVSL, MODELS_GENESIS], ids=["gvsl", "genesis"])


@BOTH
@pytest.mark.parametrize("size", [(16, 16, 16), (14, 33, 20)])
def test_corruption_keeps_the_contract_of_transforms(settings: CorruptionSettings, size: tuple[int, int, int]) -> None:
    assert_contract(lambda v, d: corrupt(v, d, settings), size)


@pytest.mark.parametrize(
    ("settings", "shuffled", "mapped"), [(GVSL, 0.8, 0.9), (MODELS_GENESIS, 0.5, 0.9)], ids=["gvsl", "genesis"]
)
def test_samples_are_shuffled_and_mapped_as_often_as_published(settings, shuffled: float, mapped: float) -> None:
    given = volumes(600, 14, 14, 14)
    shuffling = replace(settings, intensity_probability=0.0, painting_probability=0.0)
    assert changed(corrupt(given, streams(600), shuffling), given) == pytest.approx(shuffled, abs=0.05)
    intensity = replace(settings, shuffling_probability=0.0, painting_probability=0.0)
    assert changed(corrupt(given, streams(600), intensity), given) == pytest.approx(mapped, abs=0.04)


def test_gvsl_always_in_paints_and_never_inverts() -> None:
    given = torch.zeros(600, 1, 14, 14, 14)
    painted = corrupt(given, streams(600), GVSL)
    assert changed(painted, given) == pytest.approx(0.95, abs=0.03)  # no box at all in one of twenty
    assert painted[:, :, 0].max() == 0  # in-painting keeps off the faces, a falling curve would not


def test_genesis_paints_nine_of_ten_and_mostly_outside() -> None:
    given = torch.zeros(1000, 1, 14, 14, 14)
    painted = corrupt(given, streams(1000), replace(MODELS_GENESIS, intensity_probability=0.0))
    outside = (painted[:, :, 0] != 0).flatten(1).any(1).float().mean().item()
    assert outside == pytest.approx(0.9 * 0.8, abs=0.05)
    assert changed(painted, given) == pytest.approx(0.9 * (0.8 + 0.2 * 0.95), abs=0.04)


def test_genesis_inverts_half_of_the_mapped_samples() -> None:
    given = torch.zeros(1000, 1, 14, 14, 14)
    mapped = corrupt(given, streams(1000), replace(MODELS_GENESIS, painting_probability=0.0))
    assert changed(mapped, given) == pytest.approx(0.9 * 0.5, abs=0.05)


@BOTH
def test_shuffling_comes_before_intensities_and_painting_last(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    for name in ("local_shuffling", "nonlinear_intensity", "fill_with_noise"):
        original = getattr(corruption, name)
        monkeypatch.setattr(corruption, name, lambda *a, n=name, f=original: calls.append(n) or f(*a))
    corrupt(volumes(1, 16, 16, 16), streams(1), settings)
    assert calls == ["local_shuffling", "nonlinear_intensity", "fill_with_noise"]


def test_flips_follow_models_genesis() -> None:
    given = volumes(3000, 2, 3, 4)
    flipped = random_flip(given, streams(3000))
    kinds = torch.stack(
        [(flipped == given.flip(d) if d else flipped == given).flatten(1).all(1) for d in ([], [3], [4], [3, 4])]
    )
    assert kinds.any(0).all()
    # Exactly k flips with 0.6, 0.24, 0.096, 0.064; each leaves, turns H or turns W with one third.
    still, one, two, three = 0.6, 0.24, 0.096, 0.064
    same = still + one / 3 + two * 3 / 9 + three * 7 / 27
    assert kinds[0].float().mean().item() == pytest.approx(same, abs=0.03)
    assert kinds[1].float().mean().item() == pytest.approx(kinds[2].float().mean().item(), abs=0.03)
    both = two * 2 / 9 + three * 6 / 27
    assert kinds[3].float().mean().item() == pytest.approx(both, abs=0.015)


def changed(result: torch.Tensor, given: torch.Tensor) -> float:
    return (result != given).flatten(1).any(1).float().mean().item()
