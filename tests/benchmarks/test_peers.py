"""Every line of the comparison with peers runs: results agree before anything is timed, and rows say who was met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import peer_layers, peer_report, peer_simclr, peer_stores, peer_windows
from benchmarks.tables import Row
from benchmarks.timing import Options

QUICK = Options("peers", quick=True, device="cpu", threads=1)


@pytest.mark.parametrize(
    ("line", "library", "peers"),
    [
        (peer_layers.losses, "monai", ["MONAI"]),
        (peer_layers.warps, "monai", ["MONAI", "MONAI"]),
        (peer_layers.augmentations, "torchio", ["MONAI", "TorchIO"]),
        (peer_windows.inference, "nnunetv2", ["MONAI", "nnU-Net"]),
        (peer_report.reports, "pandas", ["json and pandas", "json and pandas"]),
    ],
    ids=["cross-correlation", "warp", "augmentation", "sliding window", "report"],
)
def test_a_line_compares_results_and_times_both(
    line: Callable[[Options], list[Row]], library: str, peers: list[str]
) -> None:
    pytest.importorskip(library)
    rows = line(QUICK)
    assert [row["work and peer"].rsplit(": ", 1)[1] for row in rows] == peers
    assert all(row["seconds"]["median"] > 0 and row["its seconds"]["median"] > 0 for row in rows)


def test_simclr_meets_lightly_in_both_precisions() -> None:
    rows = peer_simclr.steps(QUICK)
    assert len(rows) == 2
    assert all("lightly" in row["work and peer"] for row in rows)


def test_a_peer_whose_results_differ_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(*volumes: Any) -> Any:
        return 1.01 * peer_layers_loss(*volumes)

    peer_layers_loss = peer_layers.ncc_loss
    monkeypatch.setattr(peer_layers, "ncc_loss", other)
    with pytest.raises(AssertionError, match="not close"):
        peer_layers.losses(QUICK)


@pytest.mark.slow
def test_stores_are_prepared_by_both_and_read_by_the_same_places() -> None:
    pytest.importorskip("nnunetv2")
    prepared, targets = peer_stores.tables(QUICK)
    assert {row["store"] for row in prepared["rows"]} == {"float32 memory map", "plain", "compressed", "nnU-Net"}
    assert all(row["MB"] > 0 for row in prepared["rows"])
    assert {row["wanted"] for row in targets["rows"]} == {"≥ 1", "≥ 2", "≤ 0.5", "≤ 0.25"}
