from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import log_loss
from torch import Tensor

from ssl_bench.nn import losses
from ssl_bench.nn.losses import (
    binary_cross_entropy_loss,
    dice_cross_entropy_loss,
    ncc_loss,
    smoothness_loss,
    soft_dice_loss,
)


def pattern(a: int, b: int, c: int, modulus: int) -> Tensor:
    z, y, x = torch.meshgrid(*[torch.arange(16)] * 3, indexing="ij")
    return (((a * z + b * y + c * x) % modulus).double() / (modulus - 1)).view(1, 1, 16, 16, 16)


FIRST, SECOND = pattern(7, 5, 3, 11), pattern(3, 5, 7, 13)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ncc_by_hand(first: np.ndarray, second: np.ndarray, window: int) -> float:
    """One minus the mean of squared local correlations, voxel by voxel."""
    half = window // 2
    scores = []
    padded = [np.pad(v, half) for v in (first, second)]
    for z, y, x in itertools.product(*map(range, first.shape)):
        a, b = (p[z : z + window, y : y + window, x : x + window] for p in padded)
        n = window**3
        cross = (a * b).sum() - a.sum() * b.sum() / n
        variances = [(v * v).sum() - v.sum() ** 2 / n for v in (a, b)]
        scores.append(cross**2 / (variances[0] * variances[1] + 1e-5))
    return float(1 - np.mean(scores))


@pytest.mark.parametrize(
    ("moved", "fixed", "expected", "tolerance"),
    [(FIRST, SECOND, 0.78220344, 1e-8), (FIRST, FIRST, 1.6e-9, 1e-10), (FIRST, 2 * FIRST + 0.1, 0.00185865, 1e-8)],
)
def test_cross_correlation_of_the_reference_patterns(
    moved: Tensor, fixed: Tensor, expected: float, tolerance: float
) -> None:
    assert ncc_loss(moved, fixed).item() == pytest.approx(expected, abs=tolerance)
    assert ncc_loss(moved.float(), fixed.float()).item() == pytest.approx(expected, abs=1e-5)


def test_empty_volumes_are_uncorrelated() -> None:
    assert ncc_loss(torch.zeros(1, 1, 8, 8, 8), torch.zeros(1, 1, 8, 8, 8)).item() == 1


@pytest.mark.parametrize(("size", "window"), [((7, 8, 11), 5), ((6, 5, 12), 9)])
def test_cross_correlation_equals_the_loop_over_voxels(size: tuple[int, int, int], window: int) -> None:
    first, second = uniform(1, 1, *size), uniform(1, 1, *size, seed=1)
    second = 0.5 * first + 0.5 * second
    expected = ncc_by_hand(first[0, 0].numpy(), second[0, 0].numpy(), window)
    assert ncc_loss(first, second, window).item() == pytest.approx(expected, abs=1e-10)
    assert ncc_loss(first.float(), second.float(), window).item() == pytest.approx(expected, abs=1e-5)


def test_float32_keeps_its_accuracy_on_bright_flat_regions() -> None:
    first, second = uniform(1, 1, 16, 16, 16), uniform(1, 1, 16, 16, 16, seed=1)
    first[..., :12] = 0.9
    assert ncc_loss(first.float(), second.float()).item() == pytest.approx(ncc_loss(first, second).item(), abs=1e-5)


def test_rounding_errors_of_the_sums_cannot_push_the_loss_above_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = losses._box_sum
    monkeypatch.setattr(losses, "_box_sum", lambda volume, window: exact(volume, window) - 1e-4)
    assert ncc_loss(torch.zeros(1, 1, 12, 12, 12), uniform(1, 1, 12, 12, 12).float()) <= 1


def test_both_ways_to_sum_over_boxes_agree() -> None:
    volume = uniform(2, 3, 6, 9, 12)
    torch.testing.assert_close(losses._box_sum_by_matrices(volume, 5), losses._box_sum_by_pooling(volume, 5))


def test_the_batch_loss_is_the_mean_of_its_samples() -> None:
    first, second = uniform(3, 1, 10, 10, 10), uniform(3, 1, 10, 10, 10, seed=1)
    alone = torch.stack([ncc_loss(first[b : b + 1], second[b : b + 1]) for b in range(3)])
    torch.testing.assert_close(ncc_loss(first, second), alone.mean())


def test_correlation_descends_to_a_better_match() -> None:
    moved = uniform(1, 1, 10, 10, 10).requires_grad_()
    loss = ncc_loss(moved, uniform(1, 1, 10, 10, 10, seed=1))
    (gradient,) = torch.autograd.grad(loss, moved)
    assert ncc_loss(moved - 20 * gradient, uniform(1, 1, 10, 10, 10, seed=1)) < loss


@pytest.mark.parametrize("window", [0, 8])
def test_an_even_window_is_refused(window: int) -> None:
    with pytest.raises(ValueError, match="odd"):
        ncc_loss(FIRST, SECOND, window)


def test_smoothness_of_a_linear_displacement() -> None:
    z, y, x = torch.meshgrid(*[torch.arange(6.0)] * 3, indexing="ij")
    assert smoothness_loss(torch.stack([0.1 * z, 0.2 * y, 0.3 * x])[None]).item() == pytest.approx(0.0155556, abs=1e-6)


def test_smoothness_equals_the_loop_over_neighbours() -> None:
    u = uniform(2, 3, 4, 5, 6)
    means = []
    for axis in range(3):
        squares = []
        for index in np.ndindex(*u.shape):
            after = list(index)
            after[axis + 2] += 1
            if after[axis + 2] < u.shape[axis + 2]:
                squares.append((u[tuple(after)].item() - u[index].item()) ** 2)
        means.append(sum(squares) / len(squares))
    assert smoothness_loss(u).item() == pytest.approx(sum(means) / 3, abs=1e-12)


def test_soft_dice_of_the_reference_case() -> None:
    logits = torch.tensor([0.75, 0.25]).log().view(1, 2, 1, 1, 1).expand(1, 2, 4, 4, 4)
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    labels[:, :2] = 1
    assert soft_dice_loss(logits, labels).item() == pytest.approx(0.4151977, abs=1e-6)


def test_soft_dice_equals_the_loop_over_samples_and_classes() -> None:
    logits = 3 * uniform(2, 4, 3, 5, 4)
    labels = (4 * uniform(2, 3, 5, 4, seed=1)).long()
    ratios = []
    for b, c in itertools.product(range(2), range(4)):
        product = squares = 0.0
        for z, y, x in np.ndindex(3, 5, 4):
            weights = logits[b, :, z, y, x].exp()
            p, g = (weights[c] / weights.sum()).item(), float(labels[b, z, y, x] == c)
            product, squares = product + p * g, squares + p * p + g * g
        ratios.append((2 * product + 1) / (squares + 1))
    assert soft_dice_loss(logits, labels).item() == pytest.approx(1 - np.mean(ratios), abs=1e-10)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_the_gradient_of_soft_dice_is_that_of_its_formula(layout: torch.memory_format) -> None:
    logits = 3 * uniform(2, 4, 3, 5, 4).contiguous(memory_format=layout).requires_grad_()
    labels = (4 * uniform(2, 3, 5, 4, seed=1)).long()
    p, g = logits.softmax(1), F.one_hot(labels, 4).movedim(-1, 1).double()
    overlap, extent = ((a * b).sum((2, 3, 4)) for a, b in ((p, g), (p + g, p + g)))
    formula = 1 - ((2 * overlap + 1) / (extent - 2 * overlap + 1)).mean()
    expected, found = (torch.autograd.grad(loss, logits)[0] for loss in (formula, soft_dice_loss(logits, labels)))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-9)


def test_dice_with_cross_entropy_is_the_sum_of_both_over_samples_classes_and_voxels() -> None:
    logits = 3 * uniform(2, 4, 3, 5, 4)
    labels = (4 * uniform(2, 3, 5, 4, seed=1)).long()
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    g = np.eye(4)[labels.numpy()].transpose(0, 4, 1, 2, 3)
    voxels = (2, 3, 4)
    dice = (2 * (p * g).sum(voxels) + 1) / ((p**2).sum(voxels) + (g**2).sum(voxels) + 1)
    expected = 1 - dice.mean() - np.log((p * g).sum(1)).mean()
    assert dice_cross_entropy_loss(logits, labels).item() == pytest.approx(expected, abs=1e-10)


def test_with_cross_entropy_a_class_that_is_never_predicted_is_still_pulled_up() -> None:
    """Where soft Dice alone has next to no gradient: all background, one voxel in a hundred of the other class."""
    labels = torch.zeros(1, 10, 10, 10, dtype=torch.long)
    labels[0, 0, 0] = 1
    gradients = []
    for loss in (soft_dice_loss, dice_cross_entropy_loss):
        logits = torch.tensor([12.0, 0.0]).view(1, 2, 1, 1, 1).repeat(1, 1, 10, 10, 10).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(logits, labels), logits)
        gradients.append(-gradient[0, 1, 0, 0].sum().item())
    assert gradients[1] == pytest.approx(10 / 1000, rel=0.01), "the share of the voxels that are wrong"
    assert gradients[0] < gradients[1] / 1000


def test_binary_cross_entropy_is_that_of_scikit_learn_in_float32() -> None:
    logits, targets = torch.tensor([2.0, -1.0, 0.5], dtype=torch.bfloat16), torch.tensor([1.0, 1.0, 0.0])
    found = binary_cross_entropy_loss(logits, targets)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(log_loss(targets, logits.double().sigmoid()), abs=1e-6)


def test_soft_dice_refuses_labels_of_another_shape() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        soft_dice_loss(torch.zeros(1, 2, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4, dtype=torch.long))


def test_losses_are_float32_under_autocast() -> None:
    first, second = uniform(1, 1, 12, 12, 12).float(), uniform(1, 1, 12, 12, 12, seed=1).float()
    labels = (uniform(1, 12, 12, 12, seed=2) > 0.5).long()
    logits = torch.cat([first, second], dim=1)
    losses = (soft_dice_loss, dice_cross_entropy_loss)
    expected = [ncc_loss(first, second), smoothness_loss(logits), *(loss(logits, labels) for loss in losses)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = [ncc_loss(first, second), smoothness_loss(logits), *(loss(logits, labels) for loss in losses)]
        half = ncc_loss(first.bfloat16(), second.bfloat16())
    torch.testing.assert_close(inside, expected, atol=0, rtol=0)
    assert half.dtype == torch.float32
