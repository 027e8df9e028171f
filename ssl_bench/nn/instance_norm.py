"""Instance normalisation that takes a single voxel too."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InstanceNorm(nn.InstanceNorm3d):
    """PyTorch's, by the statistics at hand; a single voxel, which PyTorch refuses, is its own mean and gives the bias.

    Windows of the smallest presets leave one voxel at the coarsest scale of deep networks.
    """

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, C, D, H, W) -> the same shape."""
        # The function behind PyTorch's class, without the check for a single voxel; momentum 0, since nothing runs.
        return torch.instance_norm(
            volumes, self.weight, self.bias, None, None, True, 0.0, self.eps, torch.backends.cudnn.enabled
        )


def with_single_voxels(network: nn.Module) -> None:
    """Every instance normalisation of `network`, which a library built, takes a single voxel from now on."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.InstanceNorm3d:
                own = InstanceNorm(child.num_features, eps=child.eps, affine=child.affine)
                own.load_state_dict(child.state_dict())
                setattr(module, name, own)
