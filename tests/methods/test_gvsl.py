"""GVSL: the defects of the released code are not repeated, and the options mean what they say."""

from __future__ import annotations

import pytest
import torch

from ssl_bench.api.backbone import Features
from ssl_bench.api.method import Method
from ssl_bench.api.rng import Draws
from ssl_bench.methods.gvsl import GVSL, AugmentationConfig, Matching, corrupted_and_warped, odd, pair_up
from ssl_bench.nn.losses import ncc_loss, smoothness_loss
from ssl_bench.nn.warp import warp
from ssl_bench.transforms.corruption import corrupt
from ssl_bench.transforms.spatial import random_spatial

from .conftest import build


def gvsl(**options: object) -> GVSL:
    method = build("gvsl", **options)
    assert isinstance(method, GVSL)
    return method


def volumes(batch: int, *shape: int) -> torch.Tensor:
    return torch.rand(batch, 1, *(shape or (32, 32, 32)), generator=torch.Generator().manual_seed(1))


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_heads_have_the_released_sizes_at_width_32() -> None:
    from ssl_bench.backbones.unet3d import UNet3D
    from ssl_bench.methods.gvsl import GVSLConfig

    method = GVSL(UNet3D(32), GVSLConfig(), 128)
    assert count(method.affine_head.f_conv) == 8_848_896
    assert [count(getattr(method.affine_head, f"fc_{name}")) for name in ("rot", "scl", "trans", "shear")] == [
        771, 771, 771, 1_542,
    ]  # fmt: skip
    assert count(method.deformable_head[0]) == 34_656
    assert count(method.deformable_head[1]) == 1_299
    assert count(method.restoration) == 13_889
    assert count(method) == 32_440_739
    assert method.window == 9


def test_affine_head_receives_gradient_from_matching() -> None:
    method = gvsl()
    batch = volumes(4)
    a, b, _ = pair_up(batch, Draws.keyed(0, samples=range(4)))
    features = method.backbone(torch.cat([a, b]))
    halves = [part.chunk(2) for part in features]
    moving, fixed = (type(features)(halves[0][side], halves[1][side]) for side in (1, 0))
    ncc_loss(method.match(b, moving, fixed).warped, a, 5).backward()
    for name, parameter in method.affine_head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("batch", [2, 3, 4, 5])
def test_a_and_b_of_a_pair_are_different_images(batch: int) -> None:
    images = torch.arange(float(batch)).view(batch, 1, 1, 1, 1)
    a, b, draws = pair_up(images, Draws.keyed(0, samples=range(batch)))
    assert len(a) == len(b) == len(draws) == -(-batch // 2)
    assert (a != b).all()
    assert set(a.flatten().tolist()) | set(b.flatten().tolist()) == set(range(batch))


@pytest.mark.parametrize("shape", [(32, 32, 32), (31, 33, 24), (20, 36, 48)])
def test_matching_starts_next_to_the_identity_on_any_shape(shape: tuple[int, int, int]) -> None:
    method = gvsl()
    image = volumes(2, *shape)
    features = method.backbone(image)
    matching = method.match(image, features, features)
    assert matching.warped.shape == image.shape
    assert matching.whole.abs().max() < 0.5


def test_clean_moving_image_is_resampled_once_by_the_whole_map() -> None:
    method = gvsl()
    image = volumes(2)
    features = method.backbone(image)
    matching = method.match(image, features, features)
    assert torch.equal(matching.warped, warp(image, matching.whole))


def test_direction_decides_which_image_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = volumes(1), 0.5 * volumes(1).flip(2)
    for direction, expected in (("b_to_a", b), ("a_to_b", a)):
        method = gvsl(direction=direction)
        moved: list[torch.Tensor] = []

        def match(image: torch.Tensor, *rest: Features, m: GVSL = method, seen: list[torch.Tensor] = moved) -> Matching:
            seen.append(image)
            return GVSL.match(m, image, *rest)

        monkeypatch.setattr(method, "match", match)
        method.losses(a, a, b)
        assert torch.equal(moved[0], expected)


def test_its_own_map_is_that_of_the_pair_as_it_is() -> None:
    method = gvsl()
    with torch.no_grad():
        for head in (method.affine_head, method.deformable_head):
            for weight in head.parameters():
                weight.copy_(0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
        pair = volumes(2, 16, 16, 16)
        shown = method.example(pair, Draws.keyed("example", samples=range(2)))
        found = method.displacement(fixed=pair[:1], moving=pair[1:])
    assert found.abs().max() > 0.5
    torch.testing.assert_close(found, shown["displacement"], atol=1e-4, rtol=1e-4)


def test_smoothness_is_of_the_deformation_or_of_the_whole_map() -> None:
    a, b = volumes(2), volumes(2).flip(2)
    values = {}
    for part in ("deformation", "whole"):
        method = gvsl(smoothness_of=part, initial_std=0.05)
        values[part] = method.losses(a, a, b)["smoothness"]
        features = method.backbone(a)
        matching = method.match(a, features, features)
        assert smoothness_loss(matching.deformation) != smoothness_loss(matching.whole)
    assert values["deformation"] != values["whole"]


def test_tanh_keeps_a_gradient_where_the_clamp_has_none() -> None:
    reached = {}
    for bound in ("tanh", "clamp"):
        method = gvsl(bound=bound)
        with torch.no_grad():
            method.affine_head.fc_rot[0].bias.fill_(1.5)
        features = method.backbone(volumes(2))
        method.affine_head(features.global_, features.global_, torch.Size((32, 32, 32))).sum().backward()
        gradient = method.affine_head.fc_rot[0].bias.grad
        assert gradient is not None
        reached[bound] = bool(gradient.abs().sum() > 0)
    assert reached == {"tanh": True, "clamp": False}


@pytest.mark.parametrize(("options", "weight"), [({}, 1), ({"smoothness_weight": 2.5}, 2.5)])
def test_losses_have_weight_one_and_held_out_pairs_also_score_the_identity(
    options: dict[str, object], weight: float
) -> None:
    method = gvsl(**options)
    batch = volumes(4)
    losses = method.held_out_step(batch, Draws.keyed(0, samples=range(4)))
    # Little, since matching starts near the identity, but not nothing.
    assert losses["smoothness"] > 0
    torch.testing.assert_close(losses["loss"], losses["ncc"] + weight * losses["smoothness"] + losses["restoration"])
    torch.testing.assert_close(losses["ncc of the identity"], ncc_loss(batch[0::2], batch[1::2], method.window))


@pytest.mark.parametrize("options", [{}, {"order": "warp_first"}, {"spatial_augmentation": False}])
def test_the_images_of_a_pair_are_warped_alike_after_or_before_the_corruption(options: dict[str, object]) -> None:
    method, batch = gvsl(**options), volumes(4)
    found = method.training_step(batch, Draws.keyed(0, samples=range(4)))
    a, b, draws = pair_up(batch, Draws.keyed(0, samples=range(4)))
    # One warp for all images, as channels of one.
    if options == {}:
        images = random_spatial((torch.cat([corrupt(a, draws), a, b], dim=1),), draws)[0]
    elif "order" in options:
        moved = random_spatial((torch.cat([a, b], dim=1),), draws)[0]
        images = torch.cat([corrupt(moved[:, :1], draws), moved], dim=1)
    else:
        images = torch.cat([corrupt(a, draws), a, b], dim=1)
    assert torch.equal(images[:, 1:2], a) == (options == {"spatial_augmentation": False})
    torch.testing.assert_close(found, method.losses(*images.split(1, dim=1)))


def test_by_default_the_fill_of_what_was_erased_is_warped_too_as_in_the_released_code() -> None:
    one = torch.ones(1, 1, 32, 32, 32)
    images = [
        corrupted_and_warped((one,), Draws.keyed(0, samples=[3]), AugmentationConfig(order=order))
        for order in ("corrupt_first", "warp_first")
    ]
    # The restoration's target is the clean image, warped alike: zeros enter both at the same places.
    for corrupted, clean in images:
        assert (corrupted[clean == 0].count_nonzero() == 0) == (clean is images[0][1])


def test_a_whole_step_has_the_same_loss_and_gradients_with_checkpointing() -> None:
    steps = []
    for checkpointing in (False, True):
        method = gvsl()
        method.backbone.checkpointing = checkpointing
        loss = method.training_step(volumes(2), Draws.keyed(0, samples=range(2)))["loss"]
        loss.backward()
        steps.append({"loss": loss.detach(), **{name: p.grad for name, p in method.named_parameters()}})
    torch.testing.assert_close(steps[1], steps[0], atol=1e-5, rtol=1e-5)


def test_windows_stay_odd() -> None:
    assert [odd(value) for value in (5, 8, 9, 9.9)] == [5, 9, 9, 9]


@pytest.mark.parametrize(("unit", "voxels"), [("half_extent", (0.2, 0.3, 0.4)), ("half_voxel", (0.02, 0.02, 0.02))])
def test_translation_unit(unit: str, voxels: tuple[float, float, float]) -> None:
    method = gvsl(translation_unit=unit)
    with torch.no_grad():
        method.affine_head.fc_trans[0].weight.zero_()
        method.affine_head.fc_trans[0].bias.fill_(0.04)
    features = method.backbone(volumes(1, 20, 15, 10)).global_
    matrix = method.affine_head(features, features, torch.Size((20, 15, 10)))
    torch.testing.assert_close(matrix[0, :, 3], torch.tensor(voxels))


def test_detached_affine_still_moves_but_never_learns() -> None:
    batch, losses = volumes(2), {}
    for detached in (False, True):
        method = gvsl(detached_affine=detached, initial_std=0.05)
        losses[detached] = method.training_step(batch, Draws.keyed(0, samples=range(2)))["loss"]
        losses[detached].backward()
        learns = {name: p.grad is not None for name, p in method.named_parameters() if "affine_head" in name}
        assert set(learns.values()) == {not detached}
        assert all(p.grad is not None for name, p in method.named_parameters() if "affine_head" not in name)
    assert torch.equal(losses[False], losses[True])


def ablation(name: str, whole: GVSL, **options: object) -> Method:
    """An ablated GVSL with the weights of the whole one."""
    method = build(name, **options)
    missing, _ = method.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    return method


def test_without_fundament_the_loss_is_matching_alone() -> None:
    whole, batch = gvsl(initial_std=0.05), volumes(4)
    losses = ablation("gvsl_no_fundament", whole, initial_std=0.05).training_step(
        batch, Draws.keyed(0, samples=range(4))
    )
    reference = whole.training_step(batch, Draws.keyed(0, samples=range(4)))
    assert set(losses) == {"loss", "ncc", "smoothness"}
    assert torch.equal(losses["ncc"], reference["ncc"])
    assert torch.equal(losses["smoothness"], reference["smoothness"])
    assert torch.equal(losses["loss"].detach(), reference["ncc"] + reference["smoothness"])


@pytest.mark.parametrize("direction", ["b_to_a", "a_to_b"])
def test_without_affine_head_the_loss_is_that_of_an_affine_head_that_gives_the_identity(direction: str) -> None:
    whole, batch = gvsl(direction=direction, initial_std=0.05), volumes(4)
    method = ablation("gvsl_no_affine", whole, direction=direction)
    losses = method.training_step(batch, Draws.keyed(0, samples=range(4)))
    moved = whole.training_step(batch, Draws.keyed(0, samples=range(4)))
    for layer in (whole.affine_head.fc_rot, whole.affine_head.fc_scl, whole.affine_head.fc_trans):
        torch.nn.init.zeros_(layer[0].weight)
    torch.nn.init.zeros_(whole.affine_head.fc_shear[0].weight)
    still = whole.training_step(batch, Draws.keyed(0, samples=range(4)))
    assert losses.keys() == still.keys()
    for name, value in losses.items():
        torch.testing.assert_close(value, still[name], atol=1e-4, rtol=1e-4)
    assert abs(losses["ncc"] - moved["ncc"]) > 1e-3


def test_without_z_matching_every_volume_is_restored_from_gvsls_corruption() -> None:
    whole, batch = gvsl(), volumes(3)
    for step in ("training_step", "held_out_step"):
        method = ablation("gvsl_no_zmatching", whole)
        (together,) = getattr(method, step)(batch, Draws.keyed(0, samples=range(3))).values()
        alone = []
        for sample in range(3):
            one = batch[sample : sample + 1]
            draws = Draws.keyed(0, samples=[sample])
            # GVSL restores A of each pair alone: here every volume is an A.
            seen = corrupt(one, draws)
            images = random_spatial((seen, one, one), draws) if step == "training_step" else (seen, one, one)
            alone.append(whole.losses(*images)["restoration"])
        torch.testing.assert_close(together.detach(), torch.stack(alone).mean())


def test_without_z_matching_the_spatial_augmentation_is_an_option() -> None:
    batch = volumes(2)
    method = build("gvsl_no_zmatching", spatial_augmentation=False)
    first = method.training_step(batch, Draws.keyed(0, samples=range(2)))["loss"]
    assert torch.equal(first, method.held_out_step(batch, Draws.keyed(0, samples=range(2)))["loss"])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gvsl_no_affine", {"composition": "eq9"}),
        ("gvsl_no_zmatching", {"direction": "a_to_b"}),
    ],
)
def test_an_ablation_refuses_options_that_would_change_nothing(name: str, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        build(name, **options)


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("gvsl_no_zmatching", {"affine_head", "deformable_head"}),
        ("gvsl_no_fundament", {"restoration"}),
        ("gvsl_no_affine", {"affine_head"}),
    ],
)
def test_an_ablation_lacks_the_heads_it_is_named_after_and_nothing_else(name: str, without: set[str]) -> None:
    parts = {part for part, _ in build(name).named_children()}
    assert parts == {part for part, _ in gvsl().named_children()} - without
