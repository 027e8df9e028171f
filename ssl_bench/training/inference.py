"""Prediction for a whole volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ssl_bench.api.downstream import Downstream
from ssl_bench.api.kinds import of_voxels


def predict(
    model: Downstream,
    volume: Tensor,
    crop: int,
    overlap: float,
    features: Callable[[Tensor], tuple[Tensor, ...]] | None = None,
    region_codes: Sequence[int] = (),
) -> Tensor:
    """Volume (1, C, D, H, W) -> a label (see `Case`) per voxel (D, H, W), or what the model says of the whole volume.

    That is the probability of the positive class (), of every class (classes,), or a standardised number (). For voxels
    it slides a window of side `crop` (MONAI), neighbours sharing the fraction `overlap`, and averages the
    probabilities where windows meet, as the released code does; shorter axes are padded evenly with zeros. A voxel gets
    its most probable class; of regions, painted one after the other with `region_codes`, the last that it is in.
    `features` gives the model's features of windows where they need not be computed.
    """

    def probabilities(windows: Tensor) -> Tensor:
        return model.read(features(windows)) if features else model.probabilities(windows)

    def labels(found: Tensor) -> Tensor:
        return _painted(found, region_codes) if model.kind == "region segmentation" else _most_probable(found)

    if not of_voxels(model.kind):
        return probabilities(volume)[0]
    if all(side == crop for side in volume.shape[2:]):  # one window, without the machinery
        return labels(probabilities(volume))

    from monai.inferers import sliding_window_inference

    mean: Tensor = sliding_window_inference(
        volume,
        roi_size=(crop, crop, crop),
        sw_batch_size=4,
        predictor=probabilities,
        overlap=overlap,
    )
    return labels(mean)


def _most_probable(probabilities: Tensor) -> Tensor:
    """(1, 1 + classes, D, H, W) -> (D, H, W), the first of equals; `argmax` takes three to ten times as long.

    uint8 while that holds the classes, else int32: torch calculates little with uint16.
    """
    return probabilities[0].max(dim=0).indices.to(torch.uint8 if probabilities.shape[1] <= 256 else torch.int32)


def _painted(probabilities: Tensor, region_codes: Sequence[int]) -> Tensor:
    """(1, R, D, H, W) -> (D, H, W): nnU-Net's ``regions_class_order``, in which a later region covers earlier ones."""
    labels = torch.zeros(probabilities.shape[2:], dtype=torch.int32, device=probabilities.device)
    for region, code in zip(probabilities[0], region_codes, strict=True):
        labels.masked_fill_(region > 0.5, code)
    return labels
