"""The ten rotations, against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ssl_bench.api.rng import Draws
from ssl_bench.methods.rotation import ROTATIONS, Rotation, rotate

from .conftest import build

REFERENCE = [(0, (1, 2))] + [(turns, axes) for axes in ((1, 2), (0, 1), (0, 2)) for turns in (1, 2, 3)]
"""Quarter turns and axes of (z, y, x): nothing; about z; about x; about y."""


def rotation() -> Rotation:
    method = build("rotation")
    assert isinstance(method, Rotation)
    return method


def volumes(batch: int, side: int = 6) -> torch.Tensor:
    return torch.rand(batch, 1, side, side, side, generator=torch.Generator().manual_seed(1))


def test_it_is_of_the_paradigm_that_the_gvsl_supplement_names_it_under() -> None:
    assert Rotation.facts.paradigm == "centroid-hidden"


def test_each_class_is_the_rotation_that_numpy_gives() -> None:
    batch = volumes(10)
    turned = rotate(batch, torch.arange(10))
    for (turns, axes), before, after in zip(REFERENCE, batch[:, 0].numpy(), turned[:, 0].numpy(), strict=True):
        assert np.array_equal(after, np.rot90(before, turns, axes))


def test_the_ten_are_distinct_and_class_zero_is_the_identity() -> None:
    one = volumes(1)
    turned = rotate(one.expand(10, -1, -1, -1, -1), torch.arange(10))
    assert len({volume.numpy().tobytes() for volume in turned}) == len(ROTATIONS) == 10
    assert torch.equal(turned[0], one[0])


def test_a_class_and_its_inverse_undo_each_other() -> None:
    inverse = torch.tensor([0, 3, 2, 1, 6, 5, 4, 9, 8, 7])
    batch = volumes(10)
    assert torch.equal(rotate(rotate(batch, torch.arange(10)), inverse), batch)


def test_samples_turn_by_their_own_class_in_any_order() -> None:
    batch, classes = volumes(5), torch.tensor([7, 0, 7, 3, 9])
    turned = rotate(batch, classes)
    for sample in range(5):
        alone = rotate(batch[sample : sample + 1], classes[sample : sample + 1])
        assert torch.equal(turned[sample], alone[0])


def test_windows_that_are_not_cubes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"need cubic windows, not \(16, 16, 32\)"):
        rotation().training_step(torch.rand(2, 1, 16, 16, 32), Draws.keyed(0, samples=range(2)))


def test_classes_are_drawn_uniformly_for_each_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    from ssl_bench.methods import rotation as module

    method, seen = rotation(), []

    def spy(batch: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        seen.append(classes)
        return rotate(batch, classes)

    monkeypatch.setattr(module, "rotate", spy)
    method.backbone.pool = lambda batch: torch.zeros(len(batch), 128)  # type: ignore[method-assign]
    method.training_step(volumes(2000, side=2), Draws.keyed("many", samples=range(2000)))
    counts = seen[0].bincount(minlength=10)
    assert len(counts) == 10
    assert counts.min() > 140
    assert counts.max() < 260


def test_the_loss_is_the_cross_entropy_of_the_turned_volumes_classes() -> None:
    method, batch = rotation(), volumes(6, side=32)
    result = method.training_step(batch, Draws.keyed(3, samples=range(6)))
    classes = Draws.keyed(3, samples=range(6)).integers(0, 10)
    logits = method.classifier(method.backbone.pool(rotate(batch, classes)))
    torch.testing.assert_close(result["loss"], F.cross_entropy(logits, classes))
    torch.testing.assert_close(result["accuracy"], (logits.argmax(1) == classes).float().mean())
