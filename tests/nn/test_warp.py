from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from ssl_bench.nn.warp import AffineForm, affine_displacement, affine_matrix, compose, identity_grid, warp

SIZES = [(7, 9, 11), (8, 10, 16), (12, 12, 12), (13, 6, 9)]
ROTATION = torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float64)
SCALE = torch.tensor([[1.1, 0.9, 1.05]], dtype=torch.float64)
TRANSLATION = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
SHEAR = torch.tensor([[0.01, 0.02, 0.03, 0.04, 0.05, 0.06]], dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_matrix(batch: int = 2, form: AffineForm = "released") -> Tensor:
    return affine_matrix(
        0.3 * normal(batch, 3), 1 + 0.1 * normal(batch, 3, seed=1), normal(batch, 3, seed=2),
        0.1 * normal(batch, 6, seed=3), form,
    )  # fmt: skip


def affine_by_hand(r: list[float], s: list[float], t: list[float], h: list[float], form: AffineForm) -> np.ndarray:
    """The matrix in plain float64 loops, with one homogeneous product per factor."""

    def plane_rotation(axis: int) -> list[list[float]]:
        m = [[float(i == j) for j in range(4)] for i in range(4)]
        a, b = [(1, 2), (2, 0), (0, 1)][axis]
        m[a][a] = m[b][b] = math.cos(r[axis])
        m[a][b], m[b][a] = -math.sin(r[axis]), math.sin(r[axis])
        return m

    def times(left: list[list[float]], right: list[list[float]]) -> list[list[float]]:
        return [[sum(left[i][k] * right[k][j] for k in range(4)) for j in range(4)] for i in range(4)]

    eye = [[float(i == j) for j in range(4)] for i in range(4)]
    scale = [[s[i] if i == j < 3 else float(i == j) for j in range(4)] for i in range(4)]
    shift = [[*eye[i][:3], t[i] if i < 3 else 1.0] for i in range(4)]
    shear = [row[:] for row in eye]
    for value, (i, j) in zip(h, [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)], strict=True):
        if form == "released":
            shear[i][j] = math.tan(value)
        elif form == "figure":
            shear[i][j] = value
        else:
            shear[j][i] = value
    turn = times(plane_rotation(2), times(plane_rotation(1), plane_rotation(0)))
    if form == "released":
        product = times(shift, times(shear, times(scale, turn)))
    elif form == "figure":
        mixed = [[s[i] if i == j < 3 else shear[i][j] for j in range(4)] for i in range(4)]
        product = times(turn, [[*mixed[i][:3], t[i] if i < 3 else 1.0] for i in range(4)])
    else:
        product = times(turn, times(scale, times(shear, shift)))
    return np.array(product)[:3]


def test_rotations_about_x_then_y_then_z_give_the_published_matrix() -> None:
    expected = torch.tensor(
        [[0.936293, -0.275096, 0.218351], [0.289629, 0.956425, -0.036957], [-0.198669, 0.097843, 0.975170]]
    )
    turned = affine_matrix(ROTATION, torch.ones_like(SCALE), torch.zeros_like(TRANSLATION), torch.zeros_like(SHEAR))
    torch.testing.assert_close(turned[0, :, :3].float(), expected, atol=1e-6, rtol=0)


def test_the_released_form_gives_the_published_codes_matrix() -> None:
    expected = torch.tensor(
        [[1.028357, -0.291942, 0.260334, 1], [0.283225, 0.855813, 0.014925, 2], [-0.141405, 0.139302, 1.033950, 3]]
    )
    torch.testing.assert_close(
        affine_matrix(ROTATION, SCALE, TRANSLATION, SHEAR)[0].float(), expected, atol=1e-5, rtol=0
    )


def test_eq8_moves_before_it_shears_scales_and_turns() -> None:
    expected = torch.tensor(
        [
            [1.032032, -0.207518, 0.265909, 1.414724],
            [0.326424, 0.868788, 0.028772, 2.150316],
            [-0.197177, 0.122460, 1.018286, 3.102600],
        ]
    )
    torch.testing.assert_close(
        affine_matrix(ROTATION, SCALE, TRANSLATION, SHEAR, "eq8")[0].float(), expected, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("form", ["released", "eq8", "figure"])
def test_affine_matrices_of_a_batch_equal_products_by_hand(form: AffineForm) -> None:
    r, s, t, h = 0.4 * normal(5, 3), 1 + 0.2 * normal(5, 3, seed=1), normal(5, 3, seed=2), 0.2 * normal(5, 6, seed=3)
    for matrix, *row in zip(affine_matrix(r, s, t, h, form), r, s, t, h, strict=True):
        np.testing.assert_allclose(matrix, affine_by_hand(*(x.tolist() for x in row), form), atol=1e-12)


@pytest.mark.parametrize("form", ["released", "eq8", "figure"])
def test_a_loss_after_the_warp_reaches_every_affine_parameter_and_the_displacement(form: AffineForm) -> None:
    inputs = [
        x.clone().requires_grad_()
        for x in (0.1 * normal(2, 3), 1 + 0.1 * normal(2, 3), normal(2, 3), 0.1 * normal(2, 6), normal(2, 3, 6, 7, 8))
    ]
    volume = normal(2, 1, 6, 7, 8).requires_grad_()
    warp(volume, compose(affine_matrix(*inputs[:4], form), inputs[4])).square().sum().backward()
    for tensor in [*inputs, volume]:
        assert tensor.grad is not None
        assert (tensor.grad.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("size", SIZES)
def test_zero_displacement_is_the_identity(size: tuple[int, int, int]) -> None:
    volume = normal(2, 3, *size)
    torch.testing.assert_close(warp(volume, torch.zeros(2, 3, *size)), volume, atol=1e-12, rtol=0)
    smooth = torch.sin(identity_grid(size).sum(1, keepdim=True) / 5)
    torch.testing.assert_close(warp(smooth, torch.zeros(1, 3, *size)), smooth, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_the_identity_matrix_moves_nothing(size: tuple[int, int, int]) -> None:
    matrix = torch.eye(3, 4).unsqueeze(0)
    assert affine_displacement(matrix, size).abs().max() < 1e-6


def test_a_displacement_channel_moves_along_its_own_axis_in_voxels() -> None:
    volume = normal(1, 1, 5, 6, 7)
    for axis in range(3):
        displacement = torch.zeros(1, 3, 5, 6, 7, dtype=torch.float64)
        displacement[:, axis] = 1
        expected = torch.cat([volume.narrow(axis + 2, 1, volume.shape[axis + 2] - 1),
                              torch.zeros_like(volume.narrow(axis + 2, 0, 1))], dim=axis + 2)  # fmt: skip
        torch.testing.assert_close(warp(volume, displacement), expected)


@pytest.mark.parametrize("channels", [1, 8])
def test_an_axis_of_one_voxel_has_zeros_outside_too(channels: int) -> None:
    volume, displacement = normal(1, channels, 1, 4, 1), 0.7 * normal(1, 3, 1, 4, 1, seed=4)
    position = (identity_grid((1, 4, 1)) + displacement)[0].numpy()
    for found, channel in zip(warp(volume, displacement)[0], volume[0].numpy(), strict=True):
        expected = map_coordinates(np.pad(channel, 2), position + 2, order=1, mode="grid-constant")
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_warping_is_trilinear_interpolation_with_zeros_outside() -> None:
    volume, displacement = normal(1, 1, 7, 8, 9), 2 * normal(1, 3, 7, 8, 9, seed=4)
    position = (identity_grid((7, 8, 9)) + displacement)[0].numpy()
    expected = map_coordinates(np.pad(volume[0, 0].numpy(), 1), position + 1, order=1, mode="grid-constant")
    np.testing.assert_allclose(warp(volume, displacement)[0, 0], expected, atol=1e-10)


def test_a_quarter_turn_about_z_is_exact_on_a_square_plane_and_keeps_z() -> None:
    volume = normal(1, 1, 4, 7, 7)
    zero, one = torch.zeros(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)
    turn = torch.tensor([[0, 0, math.pi / 2]], dtype=torch.float64)
    matrix = affine_matrix(turn, one, zero, torch.zeros(1, 6, dtype=torch.float64))
    # out(x, y) = in(-y, x) about the centre: row i, column j reads row j, column 6 - i.
    turned = warp(volume, affine_displacement(matrix, (4, 7, 7)))
    torch.testing.assert_close(turned, volume.flip(-1).mT)


def test_a_rotation_keeps_distances_in_a_volume_that_is_not_a_cube() -> None:
    size = (6, 10, 15)
    zero, one = torch.zeros(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)
    matrix = affine_matrix(ROTATION, one, zero, torch.zeros(1, 6, dtype=torch.float64))
    moved = identity_grid(size) + affine_displacement(matrix, size)
    corners = torch.stack([moved[0, :, 0, 0, 0], moved[0, :, -1, -1, -1], moved[0, :, 0, -1, 0]])
    still = torch.tensor([[0, 0, 0], [5, 9, 14], [0, 9, 0]], dtype=torch.float64)
    torch.testing.assert_close(torch.cdist(corners, corners), torch.cdist(still, still))
    torch.testing.assert_close(corners[:2].mean(0), still[:2].mean(0))


def test_translation_is_in_voxels_along_x_y_z() -> None:
    matrix = torch.cat([torch.eye(3), torch.tensor([[1.0], [2.0], [3.0]])], dim=1).unsqueeze(0)
    torch.testing.assert_close(affine_displacement(matrix, (5, 6, 9))[0, :, 1, 2, 3], torch.tensor([3.0, 2.0, 1.0]))


def positions_by_hand(matrix: np.ndarray, z: float, y: float, x: float, size: tuple[int, ...]) -> tuple[float, ...]:
    centre = [(n - 1) / 2 for n in size]
    column = [x - centre[2], y - centre[1], z - centre[0]]
    out = [sum(matrix[i][j] * column[j] for j in range(3)) + matrix[i][3] for i in range(3)]
    return out[2] + centre[0], out[1] + centre[1], out[0] + centre[2]


def test_affine_of_deformed_is_a_of_p_plus_u_minus_p() -> None:
    size = (4, 5, 6)
    matrix, u = random_matrix(), normal(2, 3, *size, seed=7)
    psi = compose(matrix, u)
    for b, z, y, x in [(0, 0, 0, 0), (0, 3, 1, 2), (1, 2, 4, 5), (1, 1, 2, 0)]:
        dz, dy, dx = u[b, :, z, y, x].tolist()
        target = positions_by_hand(matrix[b].numpy(), z + dz, y + dy, x + dx, size)
        np.testing.assert_allclose(psi[b, :, z, y, x], np.subtract(target, (z, y, x)), atol=1e-10)


def test_eq9_reads_the_deformation_at_the_moved_position() -> None:
    size = (4, 5, 6)
    matrix, u = random_matrix(), normal(2, 3, *size, seed=7)
    psi = compose(matrix, u, "eq9")
    for b, z, y, x in [(0, 0, 0, 0), (0, 3, 1, 2), (1, 2, 4, 5), (1, 1, 2, 0)]:
        target = positions_by_hand(matrix[b].numpy(), z, y, x, size)
        read = [
            map_coordinates(u[b, c].numpy(), np.array(target)[:, None], order=1, mode="nearest")[0] for c in (0, 1, 2)
        ]
        np.testing.assert_allclose(psi[b, :, z, y, x], np.add(read, target) - (z, y, x), atol=1e-10)


def test_the_composed_field_equals_two_resamplings_of_a_linear_image() -> None:
    size = (12, 12, 12)
    ramp = identity_grid(size, dtype=torch.float64)[:, :1] + 2 * identity_grid(size, dtype=torch.float64)[:, 2:]
    matrix, u = affine_matrix(0.1 * ROTATION, SCALE.sqrt(), 0.1 * TRANSLATION, SHEAR), 0.2 * normal(1, 3, *size)
    once = warp(ramp, compose(matrix, u))
    twice = warp(warp(ramp, affine_displacement(matrix, size)), u)
    torch.testing.assert_close(once[..., 4:8, 4:8, 4:8], twice[..., 4:8, 4:8, 4:8])


def test_autocast_does_not_coarsen_the_field() -> None:
    matrix, u = random_matrix().float(), normal(2, 3, 4, 5, 6).float()
    expected = compose(matrix, u)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        r, s, t, h = (
            0.3 * normal(2, 3),
            1 + 0.1 * normal(2, 3, seed=1),
            normal(2, 3, seed=2),
            0.1 * normal(2, 6, seed=3),
        )
        again = compose(affine_matrix(r.float(), s.float(), t.float(), h.float()), u)
        warped = warp(torch.ones(2, 1, 4, 5, 6, dtype=torch.bfloat16), u)
    torch.testing.assert_close(again, expected, atol=1e-5, rtol=0)
    assert warped.dtype == torch.float32


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="affine form"):
        affine_matrix(ROTATION, SCALE, TRANSLATION, SHEAR, "eq7")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="order of composition"):
        compose(random_matrix(), normal(2, 3, 4, 4, 4), "eq7")  # type: ignore[arg-type]


@pytest.mark.parametrize(("batch", "channels", "threads"), [(1, 6, 4), (1, 2, 16), (1, 1, 2), (3, 4, 2), (2, 7, 4)])
def test_threads_that_share_the_channels_change_nothing(batch: int, channels: int, threads: int) -> None:
    volume, upstream = normal(batch, channels, 5, 6, 7), normal(batch, channels, 5, 6, 7, seed=1)
    field = normal(batch, 3, 5, 6, 7, seed=2)

    def warped_with(count: int) -> list[Tensor]:
        torch.set_num_threads(count)
        inputs = [volume.clone().requires_grad_(), field.clone().requires_grad_()]
        warped = warp(inputs[0], inputs[1])
        return [warped, *torch.autograd.grad(warped, inputs, upstream)]

    before = torch.get_num_threads()
    try:
        for found, expected in zip(warped_with(threads), warped_with(1), strict=True):
            torch.testing.assert_close(found, expected)
    finally:
        torch.set_num_threads(before)
