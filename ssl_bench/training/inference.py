"""Prediction for a whole volume."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ssl_bench.api.downstream import Downstream


def predict(
    model: Downstream,
    volume: Tensor,
    crop: int,
    overlap: float,
    features: Callable[[Tensor], tuple[Tensor, ...]] | None = None,
) -> Tensor:
    """Volume (1, C, D, H, W) -> class index per voxel (D, H, W), or the probability of the positive class ().

    A segmentation slides a window of side `crop` (MONAI), neighbours sharing the fraction `overlap`, and averages the
    class probabilities where windows meet, as the released code does; shorter axes are padded evenly with zeros.
    `features` gives the model's features of windows where they need not be computed.
    """

    def probabilities(windows: Tensor) -> Tensor:
        return model.read(features(windows)) if features else model.probabilities(windows)

    if model.kind == "classification":
        return probabilities(volume)[0]
    if all(side == crop for side in volume.shape[2:]):  # one window, without the machinery
        return _most_probable(probabilities(volume))

    from monai.inferers import sliding_window_inference

    mean: Tensor = sliding_window_inference(
        volume,
        roi_size=(crop, crop, crop),
        sw_batch_size=4,
        predictor=probabilities,
        overlap=overlap,
    )
    return _most_probable(mean)


def _most_probable(probabilities: Tensor) -> Tensor:
    """(1, 1 + classes, D, H, W) -> (D, H, W), the first of equals; `argmax` takes three to ten times as long.

    uint8 while that holds the classes, else int32: torch calculates little with uint16.
    """
    return probabilities[0].max(dim=0).indices.to(torch.uint8 if probabilities.shape[1] <= 256 else torch.int32)
