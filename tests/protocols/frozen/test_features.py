"""What is kept of a frozen backbone's features has the same bits in memory and in a file, and is computed once."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_bench.api.cases import Case
from ssl_bench.data.windows import CaseBatches
from ssl_bench.protocols.frozen import features as frozen
from ssl_bench.protocols.frozen.features import Features, FrozenFeatures, RepeatedFeatures, Storage

KINDS = [
    torch.rand(1, 4, 6, 5, 3).contiguous(memory_format=torch.channels_last_3d).bfloat16(),
    torch.rand(1, 4, 8, 5, 3)[:, :, 1:7],
    torch.rand(1, 7),
    torch.rand(1, 1, 6, 5, 3),
    torch.randint(0, 9, (1, 6, 5, 3)),
    torch.tensor([1.0]),
]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SSL_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("limit", [0, 200, 10**6])
def test_what_is_kept_has_the_bits_and_the_kind_of_what_came(limit: int, cache: Path) -> None:
    storage = Storage(limit)
    for tensor, kept in [(tensor, storage.keep(tensor)) for tensor in KINDS]:
        assert kept.dtype == tensor.dtype
        assert torch.equal(kept, tensor)


def test_what_exceeds_the_limit_is_in_a_file_that_no_folder_lists(cache: Path) -> None:
    storage = Storage(100)
    storage.keep(torch.rand(20))
    assert not cache.exists()
    kept = storage.keep(torch.ones(20))
    assert list(cache.iterdir()) == []
    del storage
    assert torch.equal(kept, torch.ones(20))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not list open files")
def test_thousands_of_tensors_need_few_open_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "CHUNK", 2**20)
    before, storage = open_files(), Storage(0)
    kept = [storage.keep(torch.full((100 + n,), n)) for n in range(1000)]
    assert open_files() - before < 40
    assert all(torch.equal(tensor, torch.full((100 + n,), n)) for n, tensor in enumerate(kept))


def test_a_full_disk_names_the_folder_and_the_way_out(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(dir: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(frozen.tempfile, "TemporaryFile", full)
    with pytest.raises(OSError, match=f"{cache}: no room .*No space left.*SSL_BENCH_CACHE"):
        Storage(0).keep(torch.rand(3))


@pytest.mark.parametrize("batch", [1, 3])
def test_drawn_windows_come_with_their_own_labels(batch: int) -> None:
    image = np.random.default_rng(0).random((6, 6, 6), dtype=np.float32)
    cases = [Case(str(n), image + n, np.full((6, 6, 6), n, np.uint8), (1.0, 1.0, 1.0)) for n in range(4)]
    stored = FrozenFeatures(CaseBatches(cases, 4), 2, np.random.default_rng(0), lambda volumes: (volumes, -volumes))
    (inputs, negative), targets = stored.draw(batch, np.random.default_rng(1))
    assert len(stored.windows) == 8
    assert inputs.shape == (batch, 1, 4, 4, 4)
    assert torch.equal(inputs.floor().long()[:, 0], targets)
    assert torch.equal(negative, -inputs)


@pytest.mark.parametrize(("limit", "computed_again"), [(10**6, 0), (1500, 3), (0, 4)])
def test_features_are_computed_once_as_far_as_memory_goes(
    limit: int, computed_again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "MEMORY_LIMIT", limit)
    seen: list[Tensor] = []

    def compute(volumes: Tensor) -> Features:
        seen.append(volumes)
        return volumes + 1, volumes.mean((2, 3, 4))

    repeated = RepeatedFeatures(compute)
    windows = {name: torch.rand(2, 1, 1, 6, 6, 6).unbind() for name in ("one", "other")}
    for reading in range(2):
        seen.clear()
        for name, parts in windows.items():
            features = repeated.of(name)
            for part in parts:
                local, pooled = features(part)
                assert torch.equal(local, part + 1)
                assert torch.equal(pooled, part.mean((2, 3, 4)))
        assert len(seen) == (computed_again if reading else 4)
