"""Checkpoints as nnssl and the users of Swin UNETR publish them, made by the libraries' own networks."""

from __future__ import annotations

from typing import Any

import torch
from dynamic_network_architectures.architectures.primus import Primus
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from monai.networks.nets import SwinUNETR
from torch import Tensor, nn

State = dict[str, Tensor]


def drawn(network: nn.Module, seed: int = 0) -> nn.Module:
    """`network` with every weight drawn, so that none is at a start that others share; it computes no gradient."""
    generator = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        weight.data += 0.05 * torch.randn(weight.shape, generator=generator)
    return network.requires_grad_(False).eval()


def resenc(channels: int = 1, seed: int = 0) -> ResidualEncoderUNet:
    """nnU-Net's residual encoder U-Net with four stages, narrow."""
    features = (8, 16, 32, 64)
    network = ResidualEncoderUNet(
        *(channels, 4, features, nn.Conv3d, 3, (1, 2, 2, 2), (1, 3, 4, 6), 1),
        n_conv_per_stage_decoder=(1, 1, 1),
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    return drawn(network, seed)


def primus() -> Primus:
    """A Primus of twelve narrow blocks for windows of 64; without rotary positions, which have no tensors."""
    more = {"init_values": 0.1, "scale_attn_inner": True, "use_rot_pos_emb": False}
    return drawn(Primus(1, 96, (8, 8, 8), 1, eva_depth=12, eva_numheads=2, input_shape=(64, 64, 64), **more))


def swinunetr(second: bool = False) -> SwinUNETR:
    """MONAI's network, narrow."""
    return drawn(SwinUNETR(1, 2, feature_size=24, use_v2=second))


def nnssl_file(weights: State, architecture: str, **changes: Any) -> dict[str, Any]:
    """What nnssl saves after pre-training."""
    vit = architecture.startswith("Primus")
    configuration = {
        "patch_size": [160, 160, 160],
        "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
    }
    plan = {
        "architecture_plans": {"arch_class_name": architecture, "arch_kwargs": None},
        "pretrain_plan": {"dataset_name": "Dataset745_OpenMind", "configurations": {"onemmiso": configuration}},
        "pretrain_num_input_channels": 1,
        "recommended_downstream_patchsize": [160, 160, 160],
        "key_to_encoder": "eva" if vit else "encoder.stages",
        "key_to_stem": "down_projection" if vit else "encoder.stem",
        "keys_to_in_proj": ["down_projection.proj"] if vit else ["encoder.stem.convs.0.conv"],
        "key_to_lpe": "eva.pos_embed" if vit else None,
    }
    return {"network_weights": weights, "nnssl_adaptation_plan": plan | changes, "citations": ["a paper"]}


def released_transformer(network: SwinUNETR) -> dict[str, Any]:
    """MONAI's release of 2022: the transformer alone, after ``module.``, the layers of perceptrons called fc1, fc2."""
    inner = {name.replace("mlp.linear", "mlp.fc"): value for name, value in network.swinViT.state_dict().items()}
    return {"state_dict": {f"module.{name}": value for name, value in inner.items()}}


def later_transformer(network: SwinUNETR) -> dict[str, Any]:
    """MONAI's release of 2023: the transformer as ``encoder.``, a list more around each stage, a token beside."""
    found = {"encoder.mask_token": torch.ones(1), "decoder.0.weight": torch.ones(2)}
    for name, value in network.swinViT.state_dict().items():
        found["encoder." + (f"{name[:8]}0.{name[8:]}" if name.startswith("layers") else name)] = value
    return {"model": found}
