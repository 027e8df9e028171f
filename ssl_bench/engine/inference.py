"""Prediction for a whole volume."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_bench.heads import Downstream


def predict(model: Downstream, volume: Tensor, crop: int, overlap: float) -> Tensor:
    """Volume (1, 1, D, H, W) -> class index per voxel (D, H, W) uint8, or the probability of the positive class ().

    A segmentation slides a window of side `crop` (MONAI), neighbours sharing the fraction `overlap`, and averages the
    class probabilities where windows meet, as the released code does; a volume no larger than the window is seen once.
    """
    if model.kind == "classification":
        return model.probabilities(volume)[0]
    if max(volume.shape[2:]) <= crop:
        return model.probabilities(volume)[0].argmax(dim=0).to(torch.uint8)

    from monai.inferers import sliding_window_inference

    probabilities: Tensor = sliding_window_inference(
        volume,
        roi_size=(crop, crop, crop),
        sw_batch_size=4,
        predictor=model.probabilities,
        overlap=overlap,
    )
    return probabilities[0].argmax(dim=0).to(torch.uint8)
