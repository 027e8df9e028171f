"""VoCo: where crops lie, what they are compared with, and a teacher that moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.methods.voco import VoCo, base_crops, cosines, crops_at, overlaps, prediction_loss, regularisation_loss

from .conftest import CROP, build


def voco(**options: object) -> VoCo:
    method = build("voco", **options)
    assert isinstance(method, VoCo)
    return method


def volumes(batch: int = 2) -> Tensor:
    return torch.rand(batch, 1, CROP, CROP, CROP, generator=torch.Generator().manual_seed(1))


def draws(batch: int = 2) -> Draws:
    return Draws.keyed("crops", samples=range(batch))


def moved_teacher(method: VoCo) -> VoCo:
    """A teacher that is not the student."""
    with torch.no_grad():
        for weights in (*method.teacher_encoder.parameters(), *method.teacher_projection.parameters()):
            weights.add_(0.05 * torch.rand(weights.shape, generator=torch.Generator().manual_seed(3)))
    return method


@pytest.mark.parametrize(("crop", "side"), [(128, 64), (64, 32), (48, 32), (32, 16), (24, 16), (16, 16)])
def test_base_crops_are_whole_strides_and_tile_the_window(crop: int, side: int) -> None:
    method = build("voco", crop)
    assert isinstance(method, VoCo)
    assert (method.side, method.region) == (side, 2 * side)


def test_base_crops_are_the_cells_of_the_grid() -> None:
    given = volumes()
    found = base_crops(given, 16)
    assert found.shape == (2, 8, 1, 16, 16, 16)
    for number, (z, y, x) in enumerate(np.ndindex(2, 2, 2)):
        cell = given[:, :, 16 * z : 16 * z + 16, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16]
        assert torch.equal(found[:, number], cell)


def test_crops_are_cut_where_they_are_said_to_be() -> None:
    given = torch.rand(2, 3, CROP, CROP, CROP)
    starts = torch.tensor([[[0, 5, 16], [16, 16, 16]], [[3, 0, 1], [7, 8, 9]]])
    found = crops_at(given, starts, 16)
    for volume, crop in np.ndindex(2, 2):
        z, y, x = starts[volume, crop].tolist()
        assert torch.equal(found[volume, crop], given[volume, :, z : z + 16, y : y + 16, x : x + 16])


def test_overlaps_are_the_shares_of_the_crops_voxels_in_each_base_crop() -> None:
    """Counted voxel by voxel."""
    starts = torch.tensor([[[0, 0, 0], [16, 16, 16], [16, 0, 16], [5, 16, 1], [8, 8, 8]]])
    number = torch.arange(8).view(2, 2, 2).repeat_interleave(16, 0).repeat_interleave(16, 1).repeat_interleave(16, 2)
    found = overlaps(starts, 16)
    assert torch.allclose(found.sum(-1), torch.ones(1, 5))
    for crop, (z, y, x) in enumerate(starts[0].tolist()):
        counted = number[z : z + 16, y : y + 16, x : x + 16].flatten().bincount(minlength=8)
        torch.testing.assert_close(found[0, crop], counted / 16**3)


def test_the_losses_are_the_papers() -> None:
    """Eq. 3 and Eq. 4, pair by pair in float64."""
    generator = np.random.default_rng(0)
    likeness, overlap = generator.uniform(-1, 1, (2, 4, 8)), generator.dirichlet(np.ones(8), (2, 4))
    terms = []
    for volume, crop, base in np.ndindex(2, 4, 8):
        distance = abs(overlap[volume, crop, base] - max(0.0, likeness[volume, crop, base]))
        terms.append(-np.log(1 - distance))
    found = prediction_loss(torch.from_numpy(likeness), torch.from_numpy(overlap))
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-9)
    bases = generator.normal(size=(2, 8, 5))
    pairs = []
    for volume in range(2):
        for i in range(8):
            for j in range(i + 1, 8):
                one, other = bases[volume, i], bases[volume, j]
                pairs.append(abs(one @ other / np.sqrt((one @ one) * (other @ other))))
    unit = torch.nn.functional.normalize(torch.from_numpy(bases), dim=-1)
    assert float(regularisation_loss(unit @ unit.mT)) == pytest.approx(np.mean(pairs), rel=1e-9)


def test_a_likeness_as_far_off_as_can_be_costs_no_infinity() -> None:
    assert prediction_loss(torch.ones(1, 1, 1), torch.zeros(1, 1, 1)).isfinite()


def test_likenesses_are_in_float32_under_autocast() -> None:
    """The two cosines differ by less than bf16 resolves."""
    crop, bases = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0, 0.05], [1.0, 0.06]]])
    with torch.autocast("cpu", torch.bfloat16):
        found = cosines(crop, bases)
    torch.testing.assert_close(found[0, 0].double(), 1 / (1 + torch.tensor([0.05, 0.06]).double() ** 2).sqrt())


def test_random_crops_of_the_student_are_compared_with_the_teachers_base_crops() -> None:
    method, given = moved_teacher(voco(regularisation=2.0)), volumes()
    starts = (draws().uniform(4, 3) * 17).long()
    crops, bases = crops_at(given, starts, 16), base_crops(given, 16)
    student = method.projection(method.backbone.pool(torch.cat([crops, bases], 1).flatten(0, 1))).view(2, 12, -1)
    teacher = method.teacher_projection(method.teacher_encoder.pool(bases.flatten(0, 1))).view(2, 8, -1)
    s, t = student.detach().double().numpy(), teacher.detach().double().numpy()

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    share = overlaps(starts, 16).numpy()
    terms = [-np.log(1 - abs(share[v, c, b] - max(0.0, cosine(s[v, c], t[v, b])))) for v, c, b in np.ndindex(2, 4, 8)]
    pairs = [abs(cosine(s[v, 4 + i], s[v, 4 + j])) for v, i, j in np.ndindex(2, 8, 8) if i < j]
    found = method.training_step(given, draws())
    assert float(found["prediction"]) == pytest.approx(np.mean(terms), rel=1e-4)
    assert float(found["regularisation"]) == pytest.approx(np.mean(pairs), rel=1e-4)
    assert float(found["loss"].detach()) == pytest.approx(np.mean(terms) + 2 * np.mean(pairs), rel=1e-4)


def test_the_teacher_starts_as_the_student_and_follows_it() -> None:
    """What released trainers forget: without it the teacher stays random."""
    method = voco(momentum=0.75)
    pairs = [
        *((getattr(method.backbone, n), getattr(method.teacher_encoder, n)) for n in method.backbone.encoder_modules),
        (method.projection, method.teacher_projection),
    ]
    parameters = [both for one, other in pairs for both in zip(one.parameters(), other.parameters(), strict=True)]
    assert all(torch.equal(*both) for both in parameters)
    before = [teacher.clone() for _, teacher in parameters]
    with torch.no_grad():
        for student, _ in parameters:
            student.add_(1.0)
    method.after_step(0, 10)
    for (student, teacher), start in zip(parameters, before, strict=True):
        torch.testing.assert_close(teacher, start + 0.25)
        torch.testing.assert_close(student, start + 1)


def test_no_gradient_and_no_optimiser_reaches_the_teacher() -> None:
    method = moved_teacher(voco())
    method.training_step(volumes(), draws())["loss"].backward()
    teacher = [*method.teacher_encoder.parameters(), *method.teacher_projection.parameters()]
    assert all(weights.grad is None and not weights.requires_grad for weights in teacher)
    assert not {id(weights) for weights in teacher} & {id(weights) for weights in method.optimised_parameters()}
    assert any(name.startswith("teacher_encoder.inc") for name in method.state_dict())
