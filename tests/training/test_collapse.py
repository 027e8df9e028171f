"""The ranks of a backbone's stages: their numbers, when they are measured, and what is judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.registry import BACKBONES
from ssl_bench.api.settings import load_preset
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.collapse import collapsed_stages
from ssl_bench.spec.record import PretrainingRecord
from ssl_bench.store.store import Store
from ssl_bench.training.collapse import RANKED_VOXELS, Stage, channel_rank, stages_of
from ssl_bench.training.pretraining import build_backbone
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, make_fabric

FABRIC = make_fabric(Runtime("cpu", 1), "float32")


def entropy_rank(features: np.ndarray) -> float:
    """From Roy and Vetterli's words, by NumPy: of the covariance's singular values."""
    shares = np.linalg.svd(np.cov(features.T, ddof=0), compute_uv=False)
    shares = shares[shares > 1e-12 * shares.sum()] / shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def test_the_rank_is_that_of_the_channels_covariance() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(500, 6)) * [5, 2, 1, 1, 0.1, 0] + 7
    mixed = features @ generator.normal(size=(6, 9))
    assert channel_rank(torch.from_numpy(mixed).float()) == pytest.approx(entropy_rank(mixed), rel=1e-5)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_so_many_directions_of_one_variance_are_that_rank(rank: int) -> None:
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0][:rank]
    signs = np.array([[(row >> bit) % 2 for bit in range(rank)] for row in range(2**rank)]) * 2 - 1
    assert channel_rank(torch.from_numpy(signs @ basis)) == pytest.approx(rank)


def test_features_that_do_not_vary_are_one_direction() -> None:
    assert channel_rank(torch.full((100, 8), 3.7)) == pytest.approx(1)


@pytest.mark.parametrize("network", BACKBONES.names())
def test_every_stage_of_every_backbone_is_seen(network: str) -> None:
    backbone = build_backbone(8, 0, network)
    found = stages_of(FABRIC, backbone, torch.rand(2, 1, 20, 16, 16))
    assert set(found) == {*backbone.encoder_modules, *backbone.decoder_modules}
    encoder = [found[name].channels for name in backbone.encoder_modules]
    # A backbone may count its volume among the stages, or make tokens before its first.
    both = min(len(encoder), len(backbone.stage_channels))
    assert both >= 4
    assert encoder[-both:] == list(backbone.stage_channels[-both:])
    assert found[backbone.decoder_modules[-1]].channels == backbone.local_channels
    assert all(1 <= stage.rank <= stage.channels for stage in found.values())
    assert not any(module._forward_hooks for module in backbone.modules())


class Normed(Backbone):
    """A third party's: its norm counts what passes, one stage is never run and one gives no feature map."""

    encoder_modules = ("norm", "unused", "flat")
    decoder_modules = ("out",)
    stride = 1

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.norm, self.unused = torch.nn.BatchNorm3d(1), torch.nn.Identity()
        self.flat, self.out = torch.nn.Flatten(), torch.nn.Conv3d(1, 8, 1)

    @property
    def stage_channels(self) -> tuple[int, ...]:
        return (8,)

    def stages(self, volumes: Tensor) -> list[Tensor]:
        self.flat(volumes)
        return [self.norm(volumes)]

    def decode(self, stages: list[Tensor]) -> Tensor:  # type: ignore[override]
        return self.out(stages[0])


def test_a_backbone_of_a_third_party_is_looked_at_and_left_as_it_was() -> None:
    backbone = Normed(8).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    found = stages_of(FABRIC, backbone, torch.rand(2, 1, 8, 8, 8))
    assert found == {"norm": Stage(pytest.approx(1), 1), "out": Stage(pytest.approx(1), 8)}
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())


def test_the_same_voxels_are_drawn_each_time_and_no_more_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    from ssl_bench.training import collapse

    seen: list[Tensor] = []
    monkeypatch.setattr(collapse, "channel_rank", lambda rows: seen.append(rows) or 1.0)
    backbone, volumes = build_backbone(8, 0), torch.rand(2, 1, 16, 16, 16)
    stages_of(FABRIC, backbone, volumes)
    stages_of(FABRIC, backbone, volumes)
    assert max(len(rows) for rows in seen) == 2 * RANKED_VOXELS
    half = len(seen) // 2
    assert all(map(torch.equal, seen[:half], seen[half:]))


@pytest.mark.parametrize(("method", "trains_decoder"), [("denoising", True), ("rotation", False)])
def test_a_pretraining_records_ranks_from_the_random_start_to_the_end(
    method: str, trains_decoder: bool, tmp_path: Path, runtime: Runtime
) -> None:
    overrides = ("pretraining.steps=5", "pretraining.watch_every=2")
    cell = Planner(load_preset("smoke", overrides), overrides, "float32").pretraining(method, 0)
    record = run_cell(cell, Store(tmp_path), runtime, Progress(shown=False))
    assert isinstance(record, PretrainingRecord)
    assert [look["step"] for look in record.stage_ranks] == [0, 2, 4, 5]
    plugin = BACKBONES.load("unet3d")
    stages = [*plugin.encoder_modules, *plugin.decoder_modules]
    assert all([*look] == ["step", *stages] for look in record.stage_ranks)
    assert list(record.trained_stages) == (stages if trains_decoder else list(plugin.encoder_modules))
    from ssl_bench.data.sources import source_of

    held_out = np.stack([np.asarray(case.image) for case in source_of(cell).load()["held-out"][:2]])
    start = [(size - 32) / 2 for size in held_out.shape[1:]]
    windows = held_out[(slice(None), *(slice(at, at + 32) for at in np.rint(start).astype(int)))]
    found = stages_of(FABRIC, build_backbone(8, 0), torch.from_numpy(windows)[:, None])
    expected = {name: pytest.approx(stage.rank, rel=1e-4) for name, stage in found.items()}
    assert record.stage_ranks[0] == {"step": 0, **expected}, "the first look is at the random start"


def test_a_stage_has_collapsed_below_a_quarter_of_its_start() -> None:
    ranks = [
        {"step": 0, "inc": 8.0, "up1": 20.0, "up2": 16.0, "up3": 12.0},
        {"step": 9, "inc": 2.1, "up1": 4.9, "up2": 1.5, "up3": 1.0},
    ]
    found = collapsed_stages(ranks, {"inc": 16, "up1": 128, "up2": 64})
    assert list(map(str, found)) == [
        "up2 1.5 of 64 channels, random start 16.0",
        "up1 4.9 of 128 channels, random start 20.0",
    ], "up3 is not pre-trained, inc kept more than a quarter"
    assert collapsed_stages(ranks[1:], {"up2": 64}) == []
    assert collapsed_stages([{**ranks[0], "step": 3}, ranks[1]], {"up2": 64}) == [], "no random start to judge by"
    assert collapsed_stages([], {}) == []
