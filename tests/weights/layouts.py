"""Names, shapes and random values of the released files, written out from their description."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


def gvsl_shapes(width: int) -> Shapes:
    """The 104 tensors of GVSL's pre-training module; 32 is the released width."""
    w = width
    return {
        **unet_shapes(w, "unet."),
        **_double_conv("f_conv", 32 * w, 8 * w),
        **_double_conv("sp_conv", 2 * w, max(8, w // 2)),
        **_layer("res_conv.0", w // 2, w, 3, 3, 3),
        **_layer("res_conv.1", w // 2),
        **_layer("res_conv.3", 1, w // 2, 1, 1, 1),
        **_layer("out_flow", 3, max(8, w // 2), 3, 3, 3),
        **_layer("fc_rot", 3, 8 * w),
        **_layer("fc_scl", 3, 8 * w),
        **_layer("fc_trans", 3, 8 * w),
        **_layer("fc_shear", 6, 8 * w),
    }


def unet_shapes(width: int, prefix: str = "") -> Shapes:
    """The 72 tensors of the U-Net."""
    w = width
    blocks = {
        "inc": (1, w),
        **{f"down{i}.maxpool_conv.1": (2 ** (i - 1) * w, 2**i * w) for i in range(1, 5)},
        **{f"up{i}.conv": (3 * 2 ** (4 - i) * w, 2 ** (4 - i) * w) for i in range(1, 5)},
    }
    return {
        name: shape
        for block, channels in blocks.items()
        for name, shape in _double_conv(f"{prefix}{block}", *channels).items()
    }


def genesis_shapes() -> Shapes:
    """The 106 entries of Models Genesis."""
    units = {
        "down_tr64": ((1, 32), (32, 64)),
        "down_tr128": ((64, 64), (64, 128)),
        "down_tr256": ((128, 128), (128, 256)),
        "down_tr512": ((256, 256), (256, 512)),
        "up_tr256": ((768, 256), (256, 256)),
        "up_tr128": ((384, 128), (128, 128)),
        "up_tr64": ((192, 64), (64, 64)),
    }
    shapes: Shapes = {}
    for name, pair in units.items():
        for index, (channels_in, channels_out) in enumerate(pair):
            shapes |= _layer(f"{name}.ops.{index}.conv1", channels_out, channels_in, 3, 3, 3)
            norm = f"{name}.ops.{index}.bn1"
            shapes |= {f"{norm}.{part}": (channels_out,) for part in ("weight", "bias", "running_mean", "running_var")}
            shapes[f"{norm}.num_batches_tracked"] = ()
    for channels, name in ((512, "up_tr256"), (256, "up_tr128"), (128, "up_tr64")):
        shapes |= {f"{name}.up_conv.weight": (channels, channels, 2, 2, 2), f"{name}.up_conv.bias": (channels,)}
    return {**shapes, **_layer("out_tr.final_conv", 1, 64, 1, 1, 1)}


def values(shapes: Shapes, seed: int = 0) -> OrderedDict[str, Tensor]:
    """Random float32: weights that keep a signal's size, scales near one, small biases; counters are integers."""
    generator = torch.Generator().manual_seed(seed)
    return OrderedDict((name, tensor) for name, tensor in _values(shapes, generator))


def _values(shapes: Shapes, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            yield name, torch.tensor(1234)
        elif name.endswith("running_var"):
            yield name, noise.square() + 0.5
        elif len(shape) > 1:
            yield name, noise * (2 / noise[0].numel()) ** 0.5
        else:
            yield name, noise * 0.1 + (1 if name.endswith("weight") else 0)


def _double_conv(name: str, channels_in: int, channels_out: int) -> Shapes:
    return {
        **_layer(f"{name}.double_conv.0", channels_out, channels_in, 3, 3, 3),
        **_layer(f"{name}.double_conv.1", channels_out),
        **_layer(f"{name}.double_conv.3", channels_out, channels_out, 3, 3, 3),
        **_layer(f"{name}.double_conv.4", channels_out),
    }


def _layer(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
