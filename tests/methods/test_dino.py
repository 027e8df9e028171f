"""DINO: who sees what, the loss against plain sums in float64, the centre, and the teacher."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.data.windows import Corpus
from ssl_bench.methods.dino import DINO
from ssl_bench.transforms.views import small_view_size, small_views, two_views, view_size

from .conftest import build, prepared

BATCH, OUTPUT = 4, 32


def dino(**options: object) -> DINO:
    method = build("dino", **{"hidden": 16, "bottleneck": 8, "output": OUTPUT, "small_views": 2, **options})
    assert isinstance(method, DINO)
    # The teacher is not the student, unless one is taken for the other.
    with torch.no_grad():
        for parameter in (*method.teacher_encoder.parameters(), *method.teacher_head.parameters()):
            parameter.add_(0.1 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(3)))
        method.centre.copy_(torch.linspace(-0.1, 0.1, OUTPUT))
    return method


def draws() -> Draws:
    return Draws.keyed("test", samples=range(BATCH))


@pytest.fixture(scope="module")
def volumes(corpus: Corpus) -> Tensor:
    return prepared("byol", corpus, BATCH)[1]


def softmax(row: np.ndarray, temperature: float) -> np.ndarray:
    powers = np.array([math.exp(value / temperature) for value in row])
    return np.asarray(powers / sum(powers))


def test_the_loss_is_the_papers_sum_over_pairs_of_different_views(volumes: Tensor) -> None:
    method = dino(student_temperature=0.2, teacher_temperature=0.05)
    found = float(method.training_step(volumes, draws())["loss"].detach())
    again = draws()
    large = two_views(volumes, again, view_size(method.crop, 16))
    small = small_views(volumes, again, small_view_size(method.crop, 16), 2)
    with torch.no_grad():
        said = [method.teacher_head(method.teacher_encoder.encode(v).mean(dim=(2, 3, 4))) for v in large]
        heard = [method.head(method.backbone.encode(v).mean(dim=(2, 3, 4))) for v in large]
        pooled = [method.backbone.encode(small[:, v]).mean(dim=(2, 3, 4)) for v in range(2)]
        heard += list(method.head(torch.cat(pooled)).chunk(2))
    centre = method.centre.double().numpy()
    total, pairs = 0.0, 0
    for t in range(2):
        for s in range(4):
            if s == t:
                continue
            pairs += 1
            for b in range(BATCH):
                target = softmax(said[t][b].double().numpy() - centre, 0.05)
                predicted = softmax(heard[s][b].double().numpy(), 0.2)
                total -= sum(p * math.log(q) for p, q in zip(target, predicted, strict=True)) / BATCH
    assert pairs == 6
    assert found == pytest.approx(total / pairs, rel=1e-4)


def test_the_teacher_sees_the_two_large_views_alone_and_the_student_all(volumes: Tensor) -> None:
    method = dino()
    seen: dict[str, list[tuple[int, ...]]] = {"teacher": [], "student": []}
    for name, network in (("teacher", method.teacher_encoder), ("student", method.backbone)):
        first = getattr(network, network.encoder_modules[0])
        first.register_forward_pre_hook(lambda _, given, name=name: seen[name].append(tuple(given[0].shape)))
    method.training_step(volumes, draws())
    large = (BATCH, 1, 32, 32, 32)
    assert seen == {"teacher": [large, large], "student": [large, large, (2 * BATCH, 1, 16, 16, 16)]}


def test_outputs_are_cosines_with_prototypes_of_unit_length() -> None:
    method = dino()
    with torch.no_grad():
        method.head[-1].weight.mul_(7)
        rows = torch.randn(3, 8)
        expected = (rows / rows.norm(dim=1, keepdim=True)) @ (F.normalize(method.head[-1].weight, dim=1)).T
        torch.testing.assert_close(method.head[-1](5 * rows), expected)


def test_the_centre_moves_towards_what_the_teacher_said_on_average(volumes: Tensor) -> None:
    method = dino(centre_momentum=0.9)
    before = method.centre.clone()
    large = two_views(volumes, draws(), view_size(method.crop, 16))
    with torch.no_grad():
        said = [method.teacher_head(method.teacher_encoder.encode(v).mean(dim=(2, 3, 4))) for v in large]
    method.training_step(volumes, draws())
    assert torch.equal(method.centre, before), "not before the step is over"
    method.after_step(0, 10)
    torch.testing.assert_close(method.centre, 0.9 * before + 0.1 * torch.cat(said).mean(dim=0), atol=1e-6, rtol=1e-4)


def test_centring_takes_away_what_is_said_of_every_volume_and_sharpening_keeps_what_differs() -> None:
    """Figure 7 of the paper on one set of outputs: without a centre, one class takes all; without sharpening, none."""

    def largest_and_entropy(method: DINO, said: Tensor) -> tuple[float, float]:
        # What a student that says nothing yet is pulled towards: the gradient is (1 / OUTPUT - target) / temperature.
        heard = torch.zeros(2, *said.shape, requires_grad=True)
        (gradient,) = torch.autograd.grad(method.loss(said.expand(2, -1, -1), heard), heard)
        targets = 1 / OUTPUT - gradient[0] * method.options.student_temperature * 2 * len(said)
        return float(targets.mean(dim=0).max()), float(torch.special.entr(targets.clamp_min(0)).sum(dim=1).mean())

    generator = torch.Generator().manual_seed(0)
    common = torch.zeros(OUTPUT).index_fill_(0, torch.tensor([5]), 2.0)
    said = common + 0.3 * torch.randn(64, OUTPUT, generator=generator)
    method = dino(momentum=1, start_left=1, centre_momentum=0.5)
    method.centre.zero_()
    assert largest_and_entropy(method, said)[0] > 0.9
    for step in range(20):
        method.newest = said.mean(dim=0)
        method.after_step(step, 100)
    share, entropy = largest_and_entropy(method, said)
    assert share < 0.2
    assert entropy < 1 < math.log(OUTPUT) / 3
    blunt = dino(teacher_temperature=10)
    assert largest_and_entropy(blunt, said)[1] > 0.99 * math.log(OUTPUT)


def test_the_teacher_has_no_gradient_and_follows_along_the_cosine(volumes: Tensor) -> None:
    method = dino(momentum=0.9, start_left=1)
    pairs = [
        pair
        for teacher, student in (
            *((getattr(method.teacher_encoder, n), getattr(method.backbone, n))
              for n in method.backbone.encoder_modules),
            (method.teacher_head, method.head),
        )
        for pair in zip(teacher.parameters(), student.parameters(), strict=True)
    ]  # fmt: skip
    before = [teacher.clone() for teacher, _ in pairs]
    method.training_step(volumes, draws())["loss"].backward()
    assert all(teacher.grad is None and not teacher.requires_grad for teacher, _ in pairs)
    method.after_step(4, 11)
    momentum = 1 - 0.1 * (math.cos(math.pi * 4 / 10) + 1) / 2
    for old, (teacher, student) in zip(before, pairs, strict=True):
        torch.testing.assert_close(teacher, momentum * old + (1 - momentum) * student, atol=1e-6, rtol=1e-5)


def test_a_checkpoint_brings_centre_and_teacher_back(volumes: Tensor) -> None:
    method, other = dino(), dino(momentum=0.5)
    method.training_step(volumes, draws())
    method.after_step(0, 10)
    assert not torch.equal(method.centre, other.centre)
    other.load_state_dict(method.state_dict())
    losses = [one.training_step(volumes, draws())["loss"] for one in (method, other)]
    assert torch.equal(*losses)


def test_small_views_are_crops_from_anywhere_changed_one_by_one() -> None:
    volume = torch.rand(1, 1, 40, 40, 40, generator=torch.Generator().manual_seed(1))
    views = small_views(volume, Draws.keyed("small", samples=[0]), (16, 16, 16), 5)
    assert views.shape == (1, 5, 1, 16, 16, 16)
    assert 0 <= views.min() <= views.max() <= 1
    assert all(not torch.allclose(views[0, i], views[0, j]) for i in range(5) for j in range(i))
    with pytest.raises(ValueError, match="cannot crop"):
        small_views(volume, Draws.keyed("small", samples=[0]), (48, 16, 16), 1)


@pytest.mark.parametrize(("crop", "side"), [(128, 48), (64, 32), (48, 16), (32, 16), (16, 16)])
def test_the_side_of_small_views(crop: int, side: int) -> None:
    assert small_view_size(crop, 16) == (side,) * 3
