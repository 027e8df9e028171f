"""Losses that leave voxels out, of regions that overlap, of several classes and of numbers."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ssl_bench.api.cases import IGNORED
from ssl_bench.api.kinds import KINDS
from ssl_bench.nn import label_losses as losses
from ssl_bench.nn.losses import DICE_CROSS_ENTROPY_LOSSES, PAPER_LOSSES, dice_cross_entropy_loss, soft_dice_loss

torch.manual_seed(0)
LOGITS = torch.randn(2, 3, 4, 5, 6)
LABELS = torch.randint(0, 3, (2, 4, 5, 6))
BITS = torch.randint(0, 8, (2, 4, 5, 6))
HOLES = torch.rand(2, 4, 5, 6) < 0.3


def test_every_kind_of_task_has_both_losses() -> None:
    assert PAPER_LOSSES.keys() == DICE_CROSS_ENTROPY_LOSSES.keys() == KINDS.keys()


def test_without_ignored_voxels_sparse_losses_are_the_usual_ones() -> None:
    torch.testing.assert_close(losses.sparse_dice_loss(LOGITS, LABELS), soft_dice_loss(LOGITS, LABELS))
    torch.testing.assert_close(
        losses.sparse_dice_cross_entropy_loss(LOGITS, LABELS), dice_cross_entropy_loss(LOGITS, LABELS)
    )


def test_an_ignored_voxel_has_no_gradient_and_changes_nothing() -> None:
    for loss, labels in (
        (losses.sparse_dice_cross_entropy_loss, LABELS),
        (losses.sparse_dice_loss, LABELS),
        (losses.region_dice_cross_entropy_loss, BITS),
        (losses.region_dice_loss, BITS),
    ):
        logits = LOGITS.clone().requires_grad_()
        found = loss(logits, labels.masked_fill(HOLES, IGNORED))
        found.backward()
        assert logits.grad is not None
        assert not logits.grad[HOLES.unsqueeze(1).expand_as(logits)].any()
        assert logits.grad[~HOLES.unsqueeze(1).expand_as(logits)].all()
        others = torch.where(HOLES.unsqueeze(1), torch.randn_like(LOGITS), LOGITS)
        torch.testing.assert_close(loss(others, labels.masked_fill(HOLES, IGNORED)), found)


def test_a_window_that_is_ignored_altogether_has_no_loss() -> None:
    nothing = torch.full_like(LABELS, IGNORED)
    for loss in (losses.sparse_dice_cross_entropy_loss, losses.region_dice_cross_entropy_loss):
        assert loss(LOGITS, nothing) == 0


def test_regions_are_dice_and_binary_cross_entropy_of_each_by_itself() -> None:
    inside = torch.stack([(BITS & 1 << region) > 0 for region in range(3)], dim=1).float()
    p = LOGITS.sigmoid()
    over = (2, 3, 4)
    dice = (2 * (p * inside).sum(over) + 1) / ((inside**2).sum(over) + (p**2).sum(over) + 1)
    torch.testing.assert_close(losses.region_dice_loss(LOGITS, BITS), 1 - dice.mean())
    expected = 1 - dice.mean() + F.binary_cross_entropy(p, inside)
    torch.testing.assert_close(losses.region_dice_cross_entropy_loss(LOGITS, BITS), expected)


def test_classes_and_numbers_of_volumes() -> None:
    logits, classes = torch.randn(4, 5), torch.tensor([0.0, 4.0, 2.0, 2.0])
    expected = -logits.log_softmax(1)[torch.arange(4), classes.long()].mean()
    torch.testing.assert_close(losses.cross_entropy_loss(logits, classes), expected)
    numbers = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 0.0, 1.0])
    assert losses.squared_error_loss(*numbers) == (0 + 4 + 9) / 3
