"""Images in whole levels, plain and compressed: what comes back, how far it is off, and what a window costs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_bench.api.cases import SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.preprocessing import prepared
from ssl_bench.data.preprocessing.arrays import prepare_case
from ssl_bench.data.preprocessing.prepared import prepare
from ssl_bench.data.preprocessing.stored import Scale, Stored, in_levels, packed, unpacked
from ssl_bench.data.windows import cut_all
from ssl_bench.errors import UserError
from tests.data.files import ct, labelled, save
from tests.data.preprocessing.preparation import PREPROCESSING, RULE, folders, prepare_all, silent

RECIPES = ("ct", "mr", "none")
FRACTIONS: dict[str, Any] = {}
WHOLE = {"region": "whole", "spacing_mm": None}


def scan(tmp_path: Path, dtype: Any = np.int16) -> SourceCase:
    return SourceCase("a", save(tmp_path / "a.nii", ct().astype(dtype)), 1, "a")


@pytest.mark.parametrize("recipe", [*RECIPES, "percentile"])
def test_whole_numbers_that_are_not_resampled_come_back_to_the_bit(tmp_path: Path, recipe: str) -> None:
    declared = Preprocessing(intensity=recipe, **WHOLE)  # type: ignore[arg-type]
    direct, report = prepare_case(scan(tmp_path), declared, None)
    (found,) = prepare_all([scan(tmp_path)], declared, None)
    kept = np.asarray(found.load().image)
    assert kept.dtype == np.float32
    if recipe == "percentile" and not float(report.steps[0] or 0).is_integer():
        np.testing.assert_allclose(kept, direct.image, rtol=0, atol=1 / 8000)
    else:
        assert np.array_equal(kept, direct.image)


@pytest.mark.parametrize("recipe", [*RECIPES, "percentile"])
@pytest.mark.parametrize("changes", [{"spacing_mm": 0.8}, FRACTIONS], ids=["resampled", "fractions"])
def test_anything_else_is_at_most_half_a_hu_or_a_4096th_of_the_range_off(
    tmp_path: Path, recipe: str, changes: dict[str, Any]
) -> None:
    case = scan(tmp_path)
    if changes == FRACTIONS:
        noisy = ct() + np.random.default_rng(0).random(ct().shape)
        case = SourceCase("a", save(tmp_path / "a.nii", noisy.astype(np.float32)), 1, "a")
    declared = Preprocessing(intensity=recipe, **(WHOLE | changes))  # type: ignore[arg-type]
    direct = np.asarray(prepare_case(case, declared, None)[0].image)
    (found,) = prepare_all([case], declared, None)
    image = found.load().image
    assert isinstance(image, Stored)
    assert image.levels.dtype == np.uint16
    apart = np.abs(np.asarray(image, np.float64) - direct).max()
    assert 0 < apart <= (1 / 4096 if recipe == "ct" else np.ptp(direct) / 4096)
    if recipe != "none":
        assert np.asarray(image).min() >= 0
        assert np.asarray(image).max() <= 1
    assert np.array_equal(np.asarray(image)[direct == 0], np.zeros((direct == 0).sum()))


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (0.2, 0.7), (-3, 2), (-1e5, 3e5), (1e6, 1e6 + 2), (0, 1e-6), (0.674, 0.67405), (0.9773, 0.9774)],
)
@pytest.mark.parametrize("seed", range(8))
def test_any_range_is_kept_to_a_4096th(low: float, high: float, seed: int) -> None:
    image = np.random.default_rng(seed).uniform(low, high, (9, 8, 7)).astype(np.float32)
    image[0, 0, 0] = 0 if low <= 0 else image[0, 0, 0]
    levels, (scale,) = in_levels(image, [None])
    spacing = np.spacing(np.float32(max(abs(low), abs(high))))
    assert np.abs(scale.decoded(levels).astype(np.float64) - image).max() <= (high - low) / 4096 + 2 * spacing
    assert low > 0 or scale.decoded(levels)[0, 0, 0] == 0


def test_bytes_hold_what_bytes_were(tmp_path: Path) -> None:
    eight = np.random.default_rng(0).integers(3, 250, (9, 8, 7)).astype(np.uint8)
    case = SourceCase("a", save(tmp_path / "a.nii", eight), 1, "a")
    image = prepare_all([case], Preprocessing(intensity="mr", **WHOLE), None)[0].load().image  # type: ignore[arg-type]
    assert isinstance(image, Stored)
    assert image.levels.dtype == np.uint8
    expected = (eight.astype(np.float32) - eight.min()) / np.float32(eight.max() - eight.min())
    assert np.array_equal(image, expected)


def test_both_stores_read_to_the_same_bits_and_keys_do_not_know_of_them(tmp_path: Path, cache: Path) -> None:
    case = labelled(tmp_path)
    declared = PREPROCESSING.model_copy(update={"spacing_mm": 0.7, "region": "whole"})
    contents = []
    for store in (None, "compressed", None, "plain"):
        (found,), problems = prepare([case], declared, RULE, 1, silent, store)  # type: ignore[arg-type]
        assert not problems
        loaded = found.load()
        contents.append((found.digest, np.asarray(loaded.image).tobytes(), np.asarray(loaded.label).tobytes()))
        names = sorted(file.name for file in found.folder.iterdir())
        ending = "b2nd" if store == "compressed" or (store is None and len(contents) == 3) else "npy"
        assert names == ["case.json", f"image.{ending}", "label.b2nd"]
    assert len(set(contents)) == 1
    assert len(folders(cache)) == 1


def test_an_interrupted_change_of_the_store_is_finished_the_next_time(tmp_path: Path) -> None:
    (found,) = prepare_all([labelled(tmp_path)])
    expected = np.asarray(found.load().image)
    plain = (found.folder / "image.npy").read_bytes()
    found.move_to("compressed")
    (found.folder / "image.npy").write_bytes(plain)  # As if killed before it was removed.
    assert np.array_equal(found.load().image, expected)
    (again,), _ = prepare([labelled(tmp_path)], PREPROCESSING, RULE, 1, silent, "compressed")
    assert sorted(file.name for file in again.folder.glob("image.*")) == ["image.b2nd"]
    assert np.array_equal(again.load().image, expected)


@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("compressed", [False, True])
def test_windows_are_those_of_the_whole_volume(tmp_path: Path, channels: int, compressed: bool) -> None:
    generator = np.random.default_rng(0)
    image = generator.random((*([channels] * bool(channels)), 70, 40, 9), np.float32) * 3 - 1
    levels, scales = in_levels(image, [None] * (channels or 1))
    (tmp_path / "image.b2nd").write_bytes(packed(levels))
    stored = Stored(tmp_path, unpacked(tmp_path / "image.b2nd") if compressed else levels, scales)
    whole = np.asarray(stored)
    assert (stored.shape, stored.ndim) == (image.shape, image.ndim)
    assert np.array_equal(stored[..., 3:60, 8:40, 2:3], whole[..., 3:60, 8:40, 2:3])
    assert np.array_equal(stored[0], whole[0])
    positions = generator.random((2, 3))
    found = cut_all([stored, stored], positions, 16, np.float32)
    assert np.array_equal(found, cut_all([whole, whole], positions, 16, np.float32))


def test_a_window_of_a_compressed_volume_decompresses_the_blocks_it_touches(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 9, (128, 128, 128)).astype(np.uint8)
    data = bytearray(packed(noise))
    for place in range(9 * len(data) // 16, 9 * len(data) // 16 + 9000):  # Within one chunk of eight.
        data[place] ^= 255
    (tmp_path / "label.b2nd").write_bytes(data)
    stored = Stored(tmp_path, unpacked(tmp_path / "label.b2nd"))
    whole = 0
    for corner in np.ndindex(2, 2, 2):
        window = tuple(slice(64 * place, 64 * place + 64) for place in corner)
        try:
            whole += np.array_equal(stored[window], noise[window])
        except UserError:
            continue
    assert whole == 7
    with pytest.raises(UserError, match=f"^{tmp_path}: damaged; run the same command again"):
        np.asarray(stored)


def test_what_is_short_long_or_something_else_is_no_volume(tmp_path: Path) -> None:
    whole = packed(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    file = tmp_path / "label.b2nd"
    file.write_bytes(whole)
    assert np.array_equal(unpacked(file)[...], np.arange(24).reshape(2, 3, 4))
    for content in (b"", whole[:-1], whole + b"\0", b"\x93NUMPY" + whole):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"label\.b2nd|empty"):
            unpacked(file)


def test_labels_shrink_and_16_bits_are_compressed_to_less_than_half(tmp_path: Path) -> None:
    ramp = np.linspace(0, 4095, 64**3).reshape(64, 64, 64)
    smooth = np.rint(ramp + np.random.default_rng(0).normal(0, 8, ramp.shape)).clip(0, 4095).astype(np.uint16)
    assert len(packed(smooth)) < 0.8 * smooth.nbytes
    blank = smooth * (np.arange(64) < 20)
    assert len(packed(blank)) < 0.5 * blank.nbytes
    assert len(packed((smooth // 1024).astype(np.uint8))) < 0.1 * smooth.size


def test_what_an_earlier_version_prepared_is_prepared_again_with_a_word(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [labelled(tmp_path, name, seed) for seed, name in enumerate("ab")]
    with monkeypatch.context() as before:
        before.setattr(prepared, "PREPARATION_VERSION", prepared.EARLIER_VERSION)
        before.setattr(prepared, "EARLIER_VERSION", 1)
        old = prepare_all(cases)
    said: list[str] = []
    found, _ = prepare(cases, PREPROCESSING, RULE, 1, silent, say=said.append)
    assert said == [
        "prepared by an earlier version, in four bytes a voxel: cases: 2; they are prepared again, and the old arrays "
        "removed"
    ]
    assert not {case.folder for case in old} & set(folders(cache))
    assert {case.folder for case in found} == set(folders(cache))
    prepare(cases, PREPROCESSING, RULE, 1, silent, say=said.append)
    assert len(said) == 1


def test_a_scale_names_the_units_of_the_file() -> None:
    hu = np.arange(0, 2049, dtype=np.float32).reshape(1, 1, -1) / np.float32(2048)
    assert Scale.over(hu, 2048.0) == Scale(2048.0, 0.0)
    assert Scale.over(hu, None).per_unit == 4096
