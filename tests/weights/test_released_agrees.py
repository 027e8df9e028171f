"""GVSL with weights in the released layout against its formulas evaluated a second time, in float64.

The translation is half the raw value in voxels and the affine turns about the middle of the volume, which is what the
released code comes to on a cube; its two resamplings are one here, A(p + u(p)).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch

from ssl_bench.api.backbone import Features
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.methods.gvsl import GVSL, GVSLConfig, Matching
from ssl_bench.nn.losses import ncc_loss, smoothness_loss
from ssl_bench.weights.loading import load_weights

from . import formulas
from .formulas import Array
from .layouts import gvsl_shapes, values

WIDTH = 8
SHAPE = (16, 20, 18)
HEADS = {
    "f_conv": "affine_head.f_conv",
    "fc_rot": "affine_head.fc_rot.0",
    "fc_scl": "affine_head.fc_scl.0",
    "fc_trans": "affine_head.fc_trans.0",
    "fc_shear": "affine_head.fc_shear.0",
    "sp_conv": "deformable_head.0",
    "out_flow": "deformable_head.1",
    "res_conv": "restoration",
}


class Expected(NamedTuple):
    """What the formulas give."""

    global_: tuple[Array, Array]
    local: tuple[Array, Array]
    restored: Array
    matrix: Array
    translation: Array
    deformation: Array
    whole: Array
    warped: Array


class Case(NamedTuple):
    """One pair of images, the method with the file's weights, and what the formulas say."""

    method: GVSL
    images: torch.Tensor
    expected: Expected


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    tensors = values(gvsl_shapes(WIDTH), seed=3)
    for name in ("fc_rot", "fc_scl", "fc_trans", "fc_shear"):
        tensors[f"{name}.weight"] *= 2  # Some bounds are reached, and the image moves by voxels.
    file = tmp_path_factory.mktemp("released") / "gvsl.pth"
    torch.save(tensors, file)

    options = GVSLConfig.model_validate(
        {"bound": "clamp", "translation_unit": "half_voxel", "spatial_augmentation": False}
    )
    method = GVSL(UNet3D(WIDTH), options, crop=32)
    assert load_weights(method.backbone, file) == (72, 0, 32)
    heads = {
        f"{HEADS[part]}.{rest}": value
        for name, value in torch.load(file, weights_only=True).items()
        for part, _, rest in [name.partition(".")]
        if part in HEADS
    }
    incompatible = method.load_state_dict(heads, strict=False)
    assert not incompatible.unexpected_keys
    assert all(name.startswith("backbone.") for name in incompatible.missing_keys)

    coarse = torch.rand(2, 1, 5, 6, 6, generator=torch.Generator().manual_seed(1))
    images = torch.nn.functional.interpolate(coarse, size=SHAPE, mode="trilinear", align_corners=True)
    weights = {name: value.double().numpy() for name, value in tensors.items()}
    return Case(method, images, evaluate(images[0].double().numpy(), images[1].double().numpy(), weights))


def evaluate(a: Array, b: Array, weights: formulas.Weights) -> Expected:
    """B moves onto A."""
    (global_a, local_a), (global_b, local_b) = (formulas.unet(image, weights, "unet.") for image in (a, b))
    hidden = formulas.convolution(local_a, weights["res_conv.0.weight"], weights["res_conv.0.bias"])
    hidden = formulas.leaky(formulas.normalise(hidden, 4, weights["res_conv.1.weight"], weights["res_conv.1.bias"]))
    restored = formulas.convolution(hidden, weights["res_conv.3.weight"], weights["res_conv.3.bias"])
    matrix, translation = formulas.affine(np.concatenate([global_b, global_a]), weights)
    grid = formulas.positions(SHAPE)
    aligned = formulas.sample(local_b, formulas.moved(grid, matrix, translation))
    flow = formulas.double_conv(np.concatenate([aligned, local_a]), weights, "sp_conv")
    deformation = formulas.convolution(flow, weights["out_flow.weight"], weights["out_flow.bias"])
    place = formulas.moved(grid + deformation, matrix, translation)
    warped = formulas.sample(b, place)
    return Expected(
        (global_a, global_b), (local_a, local_b), restored, matrix, translation, deformation, place - grid, warped
    )


def agree(ours: torch.Tensor, expected: Array, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(ours.detach()[0].double().numpy(), expected, rtol=0, atol=tolerance)


def matched(case: Case) -> Matching:
    (global_a, global_b), (local_a, local_b) = (part.chunk(2) for part in case.method.backbone(case.images))
    return case.method.match(case.images[1:], Features(global_b, local_b), Features(global_a, local_a))


def test_the_case_tells_something(case: Case) -> None:
    """The maps are far from the identity, and both sides of a bound occur."""
    assert np.abs(case.expected.matrix - np.eye(3)).max() > 0.15
    assert np.abs(case.expected.translation).max() > 0.5
    assert np.abs(case.expected.deformation).max() > 0.5
    assert case.expected.warped.std() > 0.05
    assert (case.expected.warped == 0).any()


def test_features_of_both_images(case: Case) -> None:
    features = case.method.backbone(case.images)
    for image in (0, 1):
        agree(features.global_[image : image + 1], case.expected.global_[image])
        agree(features.local[image : image + 1], case.expected.local[image])


def test_the_restored_image(case: Case) -> None:
    agree(case.method.restoration(case.method.backbone(case.images[:1]).local), case.expected.restored)


def test_the_affine_matrix(case: Case) -> None:
    global_a, global_b = case.method.backbone(case.images).global_.chunk(2)
    matrix = case.method.affine_head(global_b, global_a, torch.Size(SHAPE))
    expected = np.concatenate([case.expected.matrix, case.expected.translation[:, None]], axis=1)
    agree(matrix, expected, 1e-5)


def test_the_maps_and_the_warped_image(case: Case) -> None:
    matching = matched(case)
    agree(matching.deformation, case.expected.deformation)
    agree(matching.whole, case.expected.whole)
    agree(matching.warped, case.expected.warped)


@torch.no_grad()
def test_the_losses_of_the_parts(case: Case) -> None:
    matching, a = matched(case), case.images[:1].double().numpy()[0]
    assert float(ncc_loss(matching.warped, case.images[:1])) == pytest.approx(
        formulas.ncc(case.expected.warped, a), abs=1e-5
    )
    assert float(smoothness_loss(matching.deformation)) == pytest.approx(
        formulas.smoothness(case.expected.deformation), abs=1e-5
    )


@torch.no_grad()
def test_the_losses_as_the_method_adds_them(case: Case) -> None:
    ours = case.method.losses(case.images[:1], case.images[:1], case.images[1:])
    a = case.images[0].double().numpy()
    expected = {
        "ncc": formulas.ncc(case.expected.warped, a),
        "smoothness": formulas.smoothness(case.expected.deformation),
        "restoration": float(((case.expected.restored - a) ** 2).mean()),
    }
    for name, value in {**expected, "loss": sum(expected.values())}.items():
        assert float(ours[name]) == pytest.approx(value, abs=1e-5), name
