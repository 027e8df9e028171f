"""What a scan looks like from afar."""

import json
import tracemalloc

import numpy as np
import pytest

from ssl_bench.data.preprocessing.signature import Signature, signature


def scan(shape: tuple[int, int, int] = (21, 13, 34)) -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 2000, shape).astype(np.int16)


def test_blocks_are_means_of_the_scan_scaled_to_its_range() -> None:
    voxels = scan((16, 24, 32))
    scaled = (voxels - voxels.min()) / np.ptp(voxels.astype(float))
    expected = scaled.reshape(8, 2, 8, 3, 8, 4).mean(axis=(1, 3, 5))
    found = signature(voxels)
    np.testing.assert_allclose(found.blocks, expected, atol=1e-5)
    assert found.shape == (16, 24, 32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_scan_has_mirrored_blocks(axis: int) -> None:
    voxels = scan()
    assert np.array_equal(signature(np.flip(voxels, axis)).blocks, np.flip(signature(voxels).blocks, axis))


def test_offset_scale_and_type_of_the_values_do_not_matter() -> None:
    voxels = scan()
    assert np.array_equal(signature(voxels).blocks, signature(voxels.astype(np.float32) * 0.5 + 1024).blocks)


def test_axes_in_another_order_have_the_same_shape() -> None:
    assert signature(scan()).shape == signature(scan().transpose(2, 0, 1)).shape == (13, 21, 34)


@pytest.mark.parametrize("voxels", [np.full((9, 9, 9), 5), np.arange(8).reshape(2, 2, 2)])
def test_constant_and_tiny_scans_have_one_too(voxels: np.ndarray) -> None:
    blocks = signature(voxels).blocks
    assert blocks.shape == (8, 8, 8)
    assert blocks.min() == 0


def test_it_comes_back_from_json() -> None:
    found = signature(scan())
    again = Signature.of(json.loads(json.dumps(found.to_json())))
    assert again.shape == found.shape
    assert np.array_equal(again.blocks, found.blocks)


def test_no_copy_of_the_scan_is_made() -> None:
    voxels = scan((160, 160, 160))
    tracemalloc.start()
    signature(voxels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < voxels.nbytes / 10
