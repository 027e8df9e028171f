"""The same work by this project and by what a user would take instead, in turn in one process.

Wants the extra `peers`. Results are compared before anything is timed, to the tolerance in the row; what is random is
compared in kind and ranges alone. A ratio below 1 means that the other one is faster, and stands as it is.

- *Layers*, forward and backward, against MONAI: local cross-correlation (window 9³), warping by a dense field.
- *Spatial augmentation* of a pair, affine and elastic: MONAI's `Rand3DElasticd`, which blurs noise as ours does, and
  TorchIO's `RandomAffine` and `RandomElasticDeformation`, which interpolates coarse control points.
- *Sliding window*, one network, float32, half a window's overlap: MONAI's `SlidingWindowInferer` with the mean of
  probabilities, and nnU-Net's predictor without mirroring and Gaussian, which adds up in half precision.
- *Prepared cases*: see `benchmarks.stores`, on made-up head scans here; `python -m benchmarks.real_sets` takes yours.
- *SimCLR's step* from given views: the same encoder with lightly's projection head, loss and optimiser put together as
  in its documentation, in our precision and layout, and in torch's defaults as it stands there.
- *Report*: what `load_results` and `ssl-bench report` take, against reading the JSON files into pandas for the mean
  and deviation of every cell; the report does more, such as intervals and tests.
"""

from __future__ import annotations

from benchmarks import peer_layers, peer_report, peer_simclr, peer_stores, peer_windows
from benchmarks.tables import Table
from benchmarks.timing import Options


def measure(options: Options) -> list[Table]:
    layers = [
        *peer_layers.losses(options),
        *peer_layers.warps(options),
        *peer_layers.augmentations(options),
        *peer_windows.inference(options),
        *peer_simclr.steps(options),
        *peer_report.reports(options),
    ]
    return [{"title": "Against peers", "rows": layers}, *peer_stores.tables(options)]
