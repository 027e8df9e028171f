"""What a scan looks like from afar."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from ssl_bench.data.preprocessing.signature import BLOCKS, VERSION, Signature, signature


def scan(shape: tuple[int, int, int] = (21, 13, 34)) -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 2000, shape).astype(np.int16)


def same(first: Signature, second: Signature) -> bool:
    return np.array_equal(first.values, second.values) and np.array_equal(first.flat, second.flat)


def test_blocks_are_means_of_the_scan_scaled_to_the_range_of_nearly_all_voxels() -> None:
    voxels = scan((64, 32, 96))
    ends = np.quantile(voxels, (0.002, 0.998))
    scaled = np.clip((voxels - ends[0]) / np.ptp(ends), 0, 1)
    expected = 255 * scaled.reshape(32, 2, 32, 1, 32, 3).mean(axis=(1, 3, 5))
    found = signature(voxels)
    np.testing.assert_allclose(found.values, expected, atol=2)
    assert found.shape == (64, 32, 96)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_scan_has_mirrored_blocks(axis: int) -> None:
    voxels, mirrored = signature(scan()), signature(np.flip(scan(), axis))
    np.testing.assert_allclose(mirrored.values, np.flip(voxels.values, axis).astype(float), atol=2)


def test_offset_scale_and_type_of_the_values_do_not_matter() -> None:
    assert same(signature(scan()), signature(scan().astype(np.float32) * 0.5 + 1024))


def test_voxels_that_were_filled_or_clipped_are_known() -> None:
    voxels = np.clip(scan((32, 32, 32)), -500, 1500)
    voxels[:8] = -3024
    flat = signature(voxels).flat
    assert (flat[:8] == 255).all()
    expected = 255 * (np.isin(voxels[8:], (-500, 1500)).mean())
    assert flat[8:].mean() == pytest.approx(expected, rel=0.05)


def test_one_hot_voxel_changes_one_block() -> None:
    voxels = scan((32, 32, 32))
    voxels[3, 4, 5] = 32000
    change = np.abs(signature(voxels).values - signature(scan((32, 32, 32))).values.astype(int))
    assert (change > 2).sum() <= 1


@pytest.mark.parametrize("voxels", [np.full((9, 9, 9), 5), np.arange(8).reshape(2, 2, 2), np.zeros((1, 300, 2))])
def test_constant_and_tiny_scans_have_one_too(voxels: np.ndarray) -> None:
    assert signature(voxels).values.shape == (BLOCKS,) * 3


def test_it_comes_back_from_json() -> None:
    found = signature(scan())
    text = json.dumps(found.to_json())
    again = Signature.of(json.loads(text))
    assert again.shape == found.shape
    assert same(again, found)
    assert len(text) < 70_000


@pytest.mark.parametrize("change", [{"version": VERSION - 1}, {"flat": "AAAA"}, {"values": None}, {"shape": [1, 2]}])
def test_one_of_another_version_or_damaged_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"signature|unpack|reshape"):
        Signature.of(signature(scan()).to_json() | change)


def test_the_first_versions_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="no signature"):
        Signature.of({"shape": [16, 16, 16], "blocks": [0.5] * 512})


def test_memory_does_not_grow_with_the_scan() -> None:
    voxels = np.zeros((400, 400, 400), np.int8)
    voxels[::2] = 1
    tracemalloc.start()
    signature(voxels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < voxels.nbytes / 2


def test_a_signature_is_compared_as_an_object() -> None:
    first = signature(scan())
    assert first != replace(first)
