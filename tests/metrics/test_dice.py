from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_bench.metrics.dice import dice_per_class


def test_dice_equals_the_count_of_voxels_for_each_case_and_class() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randint(0, 4, (3, 5, 6, 7), generator=generator) for _ in range(2))
    scores = dice_per_class(first, second, 3)
    for b in range(3):
        for c in range(1, 4):
            p, g = first[b].numpy() == c, second[b].numpy() == c
            assert scores[b, c - 1].item() == pytest.approx(2 * np.sum(p & g) / (p.sum() + g.sum()), abs=1e-12)


def test_a_class_absent_from_both_is_excluded_or_zero_and_from_one_is_zero() -> None:
    first, second = torch.zeros(1, 4, 4, 4, dtype=torch.long), torch.zeros(1, 4, 4, 4, dtype=torch.long)
    first[0, 0], second[0, 0, 0], first[0, 1] = 1, 1, 2
    scores = dice_per_class(first, second, 3)
    assert scores[0, :2].tolist() == [2 * 4 / (16 + 4), 0]
    assert scores[0, 2].isnan()
    assert scores.nanmean().item() == pytest.approx(0.2)
    assert dice_per_class(first, second, 3, absent="zero")[0].tolist() == [0.4, 0, 0]


def test_perfect_agreement_scores_one_for_any_integer_type() -> None:
    labels = torch.arange(27, dtype=torch.uint8).view(1, 3, 3, 3) % 3
    assert dice_per_class(labels, labels.long(), 2).tolist() == [[1, 1]]


def test_wrong_input_is_refused() -> None:
    labels = torch.full((2, 2, 2, 2), 3)
    with pytest.raises(ValueError, match="exceeds the 2 foreground classes"):
        dice_per_class(labels, labels, 2)
    with pytest.raises(ValueError, match="differ in shape"):
        dice_per_class(labels, labels[:1], 3)
    with pytest.raises(ValueError, match="unknown policy"):
        dice_per_class(labels, labels, 3, absent="one")  # type: ignore[arg-type]
