from __future__ import annotations

import math

import pytest
import torch

from ssl_bench.metrics.auc import roc_auc


def test_auc_is_the_chance_that_a_positive_outranks_a_negative() -> None:
    generator = torch.Generator().manual_seed(0)
    scores, labels = (torch.rand(60, generator=generator) * 10).round() / 10, torch.rand(60, generator=generator) > 0.6
    difference = scores[labels][:, None] - scores[~labels]
    expected = ((difference > 0).double() + 0.5 * (difference == 0)).mean().item()
    assert roc_auc(scores, labels.long()) == pytest.approx(expected)


def test_a_single_class_has_no_auc() -> None:
    assert math.isnan(roc_auc(torch.tensor([0.1, 0.9]), torch.tensor([1, 1])))
    assert math.isnan(roc_auc(torch.tensor([]), torch.tensor([])))


def test_vectors_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        roc_auc(torch.rand(3), torch.ones(4))
