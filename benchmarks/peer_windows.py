"""Sliding-window inference of one network beside MONAI's inferer and nnU-Net's predictor."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from benchmarks.peer_rows import rows
from benchmarks.tables import Row
from benchmarks.timing import Options
from ssl_bench.nn.heads import PaperDownstream
from ssl_bench.training.inference import predict
from ssl_bench.training.pretraining import build_backbone
from ssl_bench.training.runtime import Runtime, make_fabric

CLASSES, OVERLAP = 7, 0.5
SAME = 0.99
"""Share of voxels that must get the same class: nnU-Net adds up in half precision, and the network is untrained."""


class Probabilities(nn.Module):
    """The network as peers call it."""

    def __init__(self, model: PaperDownstream) -> None:
        super().__init__()
        self.model = model

    def forward(self, windows: Tensor) -> Tensor:
        return self.model.probabilities(windows)


def inference(options: Options) -> list[Row]:
    from monai.inferers import SlidingWindowInferer

    crop, width = (16, 8) if options.quick else (48, 8)
    fabric = make_fabric(Runtime(options.device, options.threads), "float32")
    model = PaperDownstream(build_backbone(width, 0), "segmentation", CLASSES)
    fabric.to_device(model)
    network = Probabilities(model).eval()
    # Windows begin at the same places in all three where the volume is a whole number of half windows.
    volume = torch.rand(1, 1, crop * 2, crop * 2, 3 * crop // 2, generator=torch.Generator().manual_seed(0))
    volume = volume.to(fabric.device)
    inferer = SlidingWindowInferer(roi_size=(crop,) * 3, sw_batch_size=4, overlap=OVERLAP)
    predictor = _predictor(network, crop, options)

    def ours() -> Tensor:
        with torch.no_grad(), fabric.autocast():
            return predict(model, volume, crop, OVERLAP)

    def monai() -> Tensor:
        with torch.no_grad():
            found: Tensor = inferer(volume, network)
            return found.argmax(dim=1)[0]

    def nnunet() -> Tensor:
        found: Tensor = predictor.predict_sliding_window_return_logits(volume[0])
        return found.argmax(dim=0)

    for name, other in (("MONAI", monai), ("nnU-Net", nnunet)):
        alike = float((ours() == other().to(ours().device)).float().mean())
        assert alike >= SAME, f"{name}: {alike:.2%} of the voxels get the same class"
    named = f"sliding window {crop}³ over {' x '.join(map(str, volume.shape[2:]))}, width {width}"
    return rows(named, ours, {"MONAI": monai, "nnU-Net": nnunet}, options, "classes of ≥ 99 % of voxels")


def _predictor(network: nn.Module, crop: int, options: Options):
    import contextlib
    import io

    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    with contextlib.redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(
            tile_step_size=1 - OVERLAP,
            use_gaussian=False,
            use_mirroring=False,
            device=torch.device(options.device),
            allow_tqdm=False,
        )
    predictor.network = network
    predictor.configuration_manager = SimpleNamespace(patch_size=(crop,) * 3)
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=1 + CLASSES)
    return predictor
