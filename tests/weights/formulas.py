"""The networks' formulas in float64 NumPy, for one volume: (channels, D, H, W). Nothing here imports the package."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = dict[str, Array]


def convolution(x: Array, weight: Array, bias: Array) -> Array:
    """Cross-correlation with an odd kernel and zero padding: a sum over the kernel's offsets."""
    k = weight.shape[-1]
    d, h, w = x.shape[1:]
    padded = np.pad(x, ((0, 0), *[(k // 2, k // 2)] * 3))
    out = np.zeros((len(weight), d, h, w))
    for z, y, c in itertools.product(range(k), repeat=3):
        out += np.tensordot(weight[:, :, z, y, c], padded[:, z : z + d, y : y + h, c : c + w], axes=1)
    return out + bias[:, None, None, None]


def transposed_convolution(x: Array, weight: Array, bias: Array) -> Array:
    """Kernel 2, stride 2: every voxel becomes eight."""
    channels, d, h, w = weight.shape[1], *x.shape[1:]
    out = np.empty((channels, 2 * d, 2 * h, 2 * w))
    for z, y, c in itertools.product(range(2), repeat=3):
        out[:, z::2, y::2, c::2] = np.tensordot(weight[:, :, z, y, c].T, x, axes=1)
    return out + bias[:, None, None, None]


def normalise(x: Array, channels: int, weight: Array, bias: Array) -> Array:
    """Mean 0 and variance 1 in every group of `channels` channels, then scale and shift; epsilon 1e-5."""
    groups = x.reshape(-1, channels, *x.shape[1:])
    mean = groups.mean(axis=(1, 2, 3, 4), keepdims=True)
    variance = ((groups - mean) ** 2).mean(axis=(1, 2, 3, 4), keepdims=True)
    out: Array = ((groups - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
    return out * weight[:, None, None, None] + bias[:, None, None, None]


def leaky(x: Array, slope: float = 0.2) -> Array:
    return np.where(x > 0, x, slope * x)


def max_pool(x: Array) -> Array:
    corners = [x[:, z::2, y::2, c::2] for z, y, c in itertools.product(range(2), repeat=3)]
    out: Array = np.max(corners, axis=0)
    return out


def upsample(x: Array) -> Array:
    """Trilinear, twice the size; the first and the last voxel keep their places (aligned corners)."""
    for axis in (1, 2, 3):
        n = x.shape[axis]
        place = np.arange(2 * n) * (n - 1) / (2 * n - 1)
        low = np.minimum(np.floor(place).astype(int), max(n - 2, 0))
        share = (place - low).reshape([-1 if axis == other else 1 for other in range(4)])
        high = np.minimum(low + 1, n - 1)
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def padding(shape: tuple[int, ...], multiple: int) -> list[tuple[int, int]]:
    """Half of what is missing before and the rest after."""
    missing = [-n % multiple for n in shape]
    return [(m // 2, m - m // 2) for m in missing]


def padded(x: Array, multiple: int) -> Array:
    return np.pad(x, [(0, 0), *padding(x.shape[1:], multiple)])


def cropped(x: Array, shape: tuple[int, ...], multiple: int) -> Array:
    z, y, c = (slice(before, before + n) for (before, _), n in zip(padding(shape, multiple), shape, strict=True))
    return x[:, z, y, c]


def double_conv(x: Array, weights: Weights, name: str) -> Array:
    """GVSL's block: twice convolution, groups of eight channels, LeakyReLU 0.2."""
    for conv, norm in ((0, 1), (3, 4)):
        at = f"{name}.double_conv"
        x = convolution(x, weights[f"{at}.{conv}.weight"], weights[f"{at}.{conv}.bias"])
        x = leaky(normalise(x, 8, weights[f"{at}.{norm}.weight"], weights[f"{at}.{norm}.bias"]))
    return x


def unet(x: Array, weights: Weights, prefix: str = "") -> tuple[Array, Array]:
    """Global and local features of GVSL's U-Net."""
    stages = [double_conv(padded(x, 16), weights, f"{prefix}inc")]
    for level in range(1, 5):
        stages.append(double_conv(max_pool(stages[-1]), weights, f"{prefix}down{level}.maxpool_conv.1"))
    local = stages[4]
    for level in range(1, 5):
        local = double_conv(np.concatenate([stages[4 - level], upsample(local)]), weights, f"{prefix}up{level}.conv")
    return stages[4], cropped(local, x.shape[1:], 16)


def genesis(x: Array, weights: Weights) -> tuple[list[Array], Array]:
    """Encoder stages and local features of Models Genesis, for a volume in its own scale."""

    def units(x: Array, name: str) -> Array:
        for index in (0, 1):
            at = f"{name}.ops.{index}"
            x = convolution(x, weights[f"{at}.conv1.weight"], weights[f"{at}.conv1.bias"])
            x = np.maximum(normalise(x, 1, weights[f"{at}.bn1.weight"], weights[f"{at}.bn1.bias"]), 0)
        return x

    stages = [units(padded(x, 8), "down_tr64")]
    for name in ("down_tr128", "down_tr256", "down_tr512"):
        stages.append(units(max_pool(stages[-1]), name))
    local = stages[3]
    for skip, name in ((2, "up_tr256"), (1, "up_tr128"), (0, "up_tr64")):
        up = transposed_convolution(local, weights[f"{name}.up_conv.weight"], weights[f"{name}.up_conv.bias"])
        local = units(np.concatenate([up, stages[skip]]), name)
    return stages, cropped(local, x.shape[1:], 8)


def positions(shape: tuple[int, ...]) -> Array:
    """The place (z, y, x) of every voxel, (3, D, H, W)."""
    return np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in shape], indexing="ij"))


def sample(volume: Array, place: Array) -> Array:
    """`volume` (C, D, H, W) at places (3, D, H, W) in voxels, trilinear; what lies outside is zero."""
    low = np.floor(place).astype(int)
    out = np.zeros((len(volume), *place.shape[1:]))
    for corner in itertools.product((0, 1), repeat=3):
        index = [low[axis] + corner[axis] for axis in range(3)]
        weight = np.ones(place.shape[1:])
        inside = np.ones(place.shape[1:], dtype=bool)
        for axis in range(3):
            share = place[axis] - low[axis]
            weight = weight * (share if corner[axis] else 1 - share)
            inside &= (index[axis] >= 0) & (index[axis] < volume.shape[1 + axis])
        z, y, x = (np.clip(index[axis], 0, volume.shape[1 + axis] - 1) for axis in range(3))
        out += np.where(inside, weight, 0) * volume[:, z, y, x]
    return out


def affine(features: Array, weights: Weights) -> tuple[Array, Array]:
    """The matrix H S Rz Ry Rx on columns (x, y, z) and the translation in voxels that the affine head predicts."""
    pooled = double_conv(features, weights, "f_conv").mean(axis=(1, 2, 3))
    rotation, scale, translation, shear = (
        weights[f"fc_{name}.weight"] @ pooled + weights[f"fc_{name}.bias"] for name in ("rot", "scl", "trans", "shear")
    )
    cx, cy, cz = np.cos(np.clip(rotation, -1, 1) * np.pi / 9)
    sx, sy, sz = np.sin(np.clip(rotation, -1, 1) * np.pi / 9)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    xy, xz, yx, yz, zx, zy = np.tan(np.clip(shear, -1, 1) * np.pi / 18)
    sheared = np.array([[1, xy, xz], [yx, 1, yz], [zx, zy, 1]])
    stretched = np.diag(1 + 0.25 * np.clip(scale, -1, 1))
    return sheared @ stretched @ about_z @ about_y @ about_x, translation / 2


def moved(place: Array, matrix: Array, translation: Array) -> Array:
    """A(place) about the middle of the volume; places are (z, y, x), the matrix acts on (x, y, z)."""
    centre = (np.array(place.shape[1:]) - 1)[:, None, None, None] / 2
    columns = (place - centre)[::-1]
    turned = np.einsum("ij,jdhw->idhw", matrix, columns) + translation[:, None, None, None]
    return turned[::-1] + centre


def ncc(i: Array, j: Array, window: int = 9) -> float:
    """One minus the mean squared correlation in cubes of `window` voxels with zeros outside."""

    def total(x: Array) -> Array:
        wide = np.pad(x[0], window // 2)
        return np.lib.stride_tricks.sliding_window_view(wide, (window,) * 3).sum(axis=(3, 4, 5))

    n = window**3
    cross = total(i * j) - total(i) * total(j) / n
    variances = (total(i * i) - total(i) ** 2 / n) * (total(j * j) - total(j) ** 2 / n)
    return float(1 - (cross**2 / (variances + 1e-5)).mean())


def smoothness(field: Array) -> float:
    return float(np.mean([(np.diff(field, axis=axis) ** 2).mean() for axis in (1, 2, 3)]))
