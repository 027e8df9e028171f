"""Cross-correlation, warping and the spatial augmentation beside MONAI's and TorchIO's."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor

from benchmarks.peer_rows import rows
from benchmarks.tables import Row
from benchmarks.timing import Options
from ssl_bench.api.rng import Draws
from ssl_bench.nn.losses import ncc_loss
from ssl_bench.nn.warp import warp
from ssl_bench.transforms.spatial import REFERENCE_LENGTH, SpatialSettings, random_spatial

WINDOW = 9


def losses(options: Options) -> list[Row]:
    from monai.losses import LocalNormalizedCrossCorrelationLoss

    side = 16 if options.quick else 64
    theirs = LocalNormalizedCrossCorrelationLoss(kernel_size=WINDOW)
    first, second = _alike(side, options)
    first.requires_grad_()

    def ours() -> tuple[Tensor, Tensor]:
        loss = ncc_loss(first, second, WINDOW)
        return loss.detach(), torch.autograd.grad(loss, first)[0]

    def monai() -> tuple[Tensor, Tensor]:
        loss = 1 + theirs(first, second)
        return loss.detach(), torch.autograd.grad(loss, first)[0]

    torch.testing.assert_close(ours()[0], monai()[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(ours()[1], monai()[1], atol=1e-3 * float(monai()[1].abs().max()), rtol=1e-2)
    named = f"cross-correlation {WINDOW}³ on {side}³, forward and backward"
    return rows(named, ours, {"MONAI": monai}, options, "loss to 1e-4, gradients to 1 %", wanted=10)


def warps(options: Options) -> list[Row]:
    side = 16 if options.quick else 64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.networks.blocks import Warp

        theirs = Warp(mode="bilinear", padding_mode="zeros")
    found: list[Row] = []
    for channels in (1, 16):
        volume = torch.rand(1, channels, side, side, side).to(options.device)
        field = _smooth_field(side).to(options.device).requires_grad_()

        def ours(volume: Tensor = volume, field: Tensor = field) -> tuple[Tensor, Tensor]:
            out = warp(volume, field)
            return out.detach(), torch.autograd.grad(out.square().mean(), field)[0]

        def monai(volume: Tensor = volume, field: Tensor = field) -> tuple[Tensor, Tensor]:
            out = theirs(volume, field)
            return out.detach(), torch.autograd.grad(out.square().mean(), field)[0]

        torch.testing.assert_close(ours()[0], monai()[0], atol=1e-3, rtol=0)
        named = f"warp of {channels} x {side}³, forward and backward"
        found += rows(named, ours, {"MONAI": monai}, options, "voxels to 1e-3")
    return found


def augmentations(options: Options) -> list[Row]:
    side = 32 if options.quick else 64
    settings = SpatialSettings()
    first, second = (torch.rand(1, side, side, side) for _ in range(2))

    def ours() -> Any:
        return random_spatial((first[None], second[None]), Draws.keyed("benchmark", samples=[0]), settings)

    sides = {"MONAI": _monai(first, second, settings), "TorchIO": _torchio(first, second, settings)}
    for name, augmented in {"ours": ours, **sides}.items():
        one, other = (torch.as_tensor(each).reshape(side, side, side) for each in augmented())
        assert not torch.equal(one, first[0]), f"{name} moves nothing"
        assert one.isfinite().all()
        assert other.isfinite().all()
    return rows(f"spatial augmentation of a pair of {side}³", ours, sides, options, "same kinds and ranges", wanted=3)


def _monai(first: Tensor, second: Tensor, settings: SpatialSettings) -> Any:
    from monai.transforms import Rand3DElasticd

    side = first.shape[-1]
    fraction = side / REFERENCE_LENGTH
    low, high = settings.elastic_sigma
    transform = Rand3DElasticd(
        keys=["first", "second"],
        sigma_range=(low * fraction, high * fraction),
        magnitude_range=(0, settings.elastic_strength * fraction**2.5),
        prob=1.0,
        rotate_range=(settings.rotation,) * 3,
        shear_range=(math.tan(settings.shear),) * 6,
        translate_range=(settings.translation * side,) * 3,
        scale_range=(settings.scale,) * 3,
        mode="bilinear",
        padding_mode="zeros",
    )
    transform.set_random_state(0)
    return lambda: transform({"first": first, "second": second}).values()


def _torchio(first: Tensor, second: Tensor, settings: SpatialSettings) -> Any:
    import torchio

    side = first.shape[-1]
    transform = torchio.Compose(
        [
            torchio.RandomAffine(
                scales=settings.scale, degrees=math.degrees(settings.rotation), translation=settings.translation * side
            ),
            torchio.RandomElasticDeformation(num_control_points=7, max_displacement=0.05 * side),
        ]
    )
    images = {name: torchio.ScalarImage(tensor=each) for name, each in (("first", first), ("second", second))}
    subject = torchio.Subject(**images)

    def augmented() -> list[Tensor]:
        out = transform(subject)
        return [out["first"].data, out["second"].data]

    return augmented


def _alike(side: int, options: Options) -> tuple[Tensor, Tensor]:
    """Two volumes (1, 1, D, H, W) that correlate."""
    generator = torch.Generator().manual_seed(0)
    first, noise = (torch.rand(1, 1, side, side, side, generator=generator) for _ in range(2))
    return first.to(options.device), ((first + noise) / 2).to(options.device)


def _smooth_field(side: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = 3 * torch.randn(1, 3, 6, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(side,) * 3, mode="trilinear", align_corners=True)
