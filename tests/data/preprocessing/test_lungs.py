"""Finding lungs: in a phantom whose lungs are known, in the real chest that ships, and through lungmask."""

import sys
from importlib import resources
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ssl_bench.data.io.formats import read_volume
from ssl_bench.data.preprocessing import lungs
from ssl_bench.data.preprocessing.lungs import lung_mask
from ssl_bench.errors import UserError

SIZE_MM = (200, 160, 220)


def ellipsoid(spacing: tuple[float, float, float], centre: tuple[float, ...], radius: tuple[float, ...]) -> np.ndarray:
    """Where (z, y, x) in mm from the middle is inside."""
    axes = [(np.arange(round(n / s)) + 0.5) * s - n / 2 for n, s in zip(SIZE_MM, spacing, strict=True)]
    grids = np.meshgrid(*axes, indexing="ij", sparse=True)
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grids, centre, radius, strict=True)) < 1


def phantom(spacing: tuple[float, float, float] = (2.0, 1.5, 1.5), tall: float = 70) -> tuple[np.ndarray, np.ndarray]:
    """A body in air with two lungs, vessels in them, a windpipe to the top and gas in the bowel; and its lungs."""
    body = ellipsoid(spacing, (0, 0, 0), (1e6, 70, 100))
    truth = ellipsoid(spacing, (0, 0, -45), (tall, 45, 30)) | ellipsoid(spacing, (0, 0, 45), (tall, 45, 30))
    voxels = np.where(body, 40, -1000).astype(np.int16)
    voxels[truth] = -850
    voxels[ellipsoid(spacing, (0, 0, 45), (50, 3, 3))] = 200
    voxels[ellipsoid(spacing, (80, 0, 0), (60, 7, 7))] = -1000
    voxels[ellipsoid(spacing, (-85, 20, 0), (12, 18, 18))] = -1000
    voxels += np.random.default_rng(0).normal(0, 30, voxels.shape).astype(np.int16)
    return voxels, truth


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


@pytest.mark.parametrize("spacing", [(2.0, 1.5, 1.5), (0.9, 0.8, 0.8), (5.0, 0.7, 0.7)])
def test_both_lungs_are_found_with_their_vessels_and_nothing_else(spacing: tuple[float, float, float]) -> None:
    voxels, truth = phantom(spacing)
    found, found_by, litres, both, cut = lung_mask(voxels, spacing, "threshold")
    assert (found_by, both, cut) == ("threshold", True, False)
    assert litres == pytest.approx(0.79, abs=0.03)
    assert found.shape == voxels.shape
    assert found.dtype == bool
    assert overlap(found, truth) > 0.97
    assert found[ellipsoid(spacing, (0, 0, 45), (50, 3, 3))].mean() > 0.99
    assert not found[ellipsoid(spacing, (-85, 20, 0), (12, 18, 18))].any()
    assert not found[~ellipsoid(spacing, (0, 0, 0), (1e6, 70, 100))].any()


def test_lungs_may_leave_the_picture_at_its_top_and_bottom() -> None:
    voxels, truth = phantom(tall=300)
    assert overlap(lung_mask(voxels, (2.0, 1.5, 1.5), "threshold")[0], truth) > 0.95


def test_values_may_be_fractions() -> None:
    voxels, truth = phantom()
    assert overlap(lung_mask(voxels.astype(np.float32), (2.0, 1.5, 1.5), "threshold")[0], truth) > 0.97


def test_a_lung_alone_is_found_and_bowel_gas_is_no_second_one() -> None:
    voxels, truth = phantom()
    middle = voxels.shape[2] // 2
    voxels[:, :, middle:] = 40
    truth[:, :, middle:] = False
    lungs = lung_mask(voxels, (2.0, 1.5, 1.5), "threshold")
    found = lungs.mask
    assert overlap(found, truth) > 0.95
    assert lungs.note == "lungs by threshold: 0.4 l, one lung"
    assert [doubt.what for doubt in lungs.doubts] == ["one lung alone was found", "the lungs hold less than 1 l"]
    assert not found[ellipsoid((2.0, 1.5, 1.5), (-85, 20, 0), (12, 18, 18))].any()


@pytest.mark.parametrize("value", [40, -1000])
def test_a_scan_without_lungs_is_refused_with_a_way_out(value: int) -> None:
    with pytest.raises(UserError, match=r"threshold found 0\.0\d l of lung and at least 0\.1.*intensity_offset"):
        lung_mask(np.full((50, 60, 70), value, np.int16), (2.0, 2.0, 2.0), "threshold")


def test_the_lungs_of_a_real_chest_leave_out_its_heart() -> None:
    with resources.as_file(resources.files("ssl_bench.data.synthetic.anatomies")) as folder:
        image = read_volume(folder / "chest_ct.nii.gz")
        heart = read_volume(folder / "heart_labels.nii.gz").voxels > 0
    found, _, litres, both, cut = lung_mask(image.voxels, image.spacing_mm, "threshold")
    assert litres == pytest.approx(found.sum() * np.prod(image.spacing_mm) / 1e6)
    assert 3.5 < litres < 4.5
    assert (both, cut) == (True, False)
    assert (found & heart).sum() < 0.02 * heart.sum()
    assert (image.voxels[found] < -500).mean() > 0.9


def chest(width: int = 76) -> tuple[np.ndarray, np.ndarray]:
    """A chest in air on a table, int16 at 5 mm, of which the picture shows `width` columns; and its lungs of 3.8 l."""
    z, y, x = (axis * 5.0 for axis in np.mgrid[:56, :64, :width])
    sides = [((z - 140) / 105) ** 2 + ((y - 170) / 75) ** 2 + ((x - 190 - side) / 60) ** 2 < 1 for side in (-78, 78)]
    heart = ((z - 110) / 50) ** 2 + ((y - 200) / 45) ** 2 + ((x - 215) / 50) ** 2 < 1
    lungs = (sides[0] | sides[1]) & ~heart
    voxels = np.where(((y - 170) / 105) ** 2 + ((x - 190) / 160) ** 2 < 1, 40.0, -1000)
    voxels[lungs] = -830
    voxels[(y > 10) & (y < 50)] = 0  # a table of foam in a shell
    voxels[(y > 16) & (y < 44)] = -950
    return (voxels + np.random.default_rng(0).normal(0, 20, voxels.shape)).round().astype(np.int16), lungs


def circle(radius: float) -> np.ndarray:
    """The field of view of that radius in mm around the chest's middle."""
    _, y, x = (axis * 5.0 for axis in np.mgrid[:56, :64, :76])
    return (y - 170) ** 2 + (x - 190) ** 2 < radius**2


@pytest.mark.parametrize("width", [66, 60])
def test_a_lung_that_a_side_of_the_picture_cuts_is_kept_and_said(width: int) -> None:
    voxels, truth = chest(width)
    lungs = lung_mask(voxels, (5.0, 5.0, 5.0), "threshold")
    assert overlap(lungs.mask, truth) > 0.97
    assert lungs.note.endswith("two lungs, cut by the edge of the picture")
    assert [doubt.what for doubt in lungs.doubts] == ["the edge of the picture cuts a lung"]
    assert "--set data.TASK.lungs=lungmask" in lungs.doubts[0].way_out


@pytest.mark.parametrize("filler", [-1024, -2000, 0])
@pytest.mark.parametrize(("radius", "cut"), [(150, False), (128, True), (110, True)])
def test_what_fills_up_a_round_field_of_view_is_its_edge(filler: int, radius: float, cut: bool) -> None:
    voxels, truth = chest()
    voxels[~circle(radius)] = filler
    lungs = lung_mask(voxels, (5.0, 5.0, 5.0), "threshold")
    assert overlap(lungs.mask, truth & circle(radius)) > 0.97
    assert (lungs.both, lungs.cut) == (True, cut)


def test_air_and_foam_beside_the_body_are_no_lung() -> None:
    voxels, truth = chest()
    voxels[:, :, 5] = voxels[:, :, -6] = voxels[:, 60] = -300  # cloth, which closes the air around the body in
    lungs = lung_mask(voxels, (5.0, 5.0, 5.0), "threshold")
    assert overlap(lungs.mask, truth) > 0.99
    assert lungs.note == "lungs by threshold: 3.8 l, two lungs"
    assert not lungs.doubts


def test_half_a_chest_has_one_lung() -> None:
    voxels, truth = (volume[..., 38:] for volume in chest())
    lungs = lung_mask(voxels, (5.0, 5.0, 5.0), "threshold")
    assert overlap(lungs.mask, truth) > 0.97
    assert not lungs.both


class Network:
    """In place of lungmask's: the right lung where the image is bright at the back and on the left."""

    made: dict[str, object]

    def __init__(self, **options: object) -> None:
        Network.made = options

    def apply(self, voxels: np.ndarray) -> np.ndarray:
        return np.where(voxels < -500, 2, 0).astype(np.uint8) * (np.arange(voxels.shape[2]) < voxels.shape[2] // 2)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    module = ModuleType("lungmask")
    module.LMInferer = Network  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lungmask", module)
    monkeypatch.setattr(lungs, "find_spec", lambda name: True)
    lungs._network.cache_clear()
    weights = tmp_path / "r231.pth"
    weights.touch()
    monkeypatch.setenv(lungs.WEIGHTS_VARIABLE, str(weights))
    return weights


def test_where_the_network_and_its_weights_are_at_hand_it_finds_the_lungs(network: Path) -> None:
    voxels, truth = phantom()
    found, found_by, _, both, _ = lung_mask(voxels, (2.0, 1.5, 1.5), "auto")
    assert not both
    assert found_by == "lungmask"
    assert Network.made == {"modelname": "R231", "modelpath": str(network), "force_cpu": True, "tqdm_disable": True}
    # What came first along the network's columns, which run to the left, comes last along ours.
    middle = voxels.shape[2] // 2
    assert not found[:, :, :middle].any()
    assert found[:, :, middle:][truth[:, :, middle:]].mean() > 0.9


def test_without_weights_at_hand_the_threshold_finds_them(network: Path) -> None:
    network.unlink()
    assert lungs.chosen("auto") == "threshold"
    assert lungs.chosen("lungmask") == "lungmask"


def test_weights_that_are_not_there_are_named(network: Path) -> None:
    network.unlink()
    with pytest.raises(UserError, match=rf"SSL_BENCH_LUNGMASK_WEIGHTS={network}: no such file"):
        lung_mask(phantom()[0], (2.0, 1.5, 1.5), "lungmask")


def test_a_package_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(lungs.WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "lungmask", None)
    lungs._network.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'ssl-bench\[lungs\]'"):
        lung_mask(phantom()[0], (2.0, 1.5, 1.5), "lungmask")


def test_weights_that_do_not_load_are_refused(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(sys.modules["lungmask"], "LMInferer", broken)
    with pytest.raises(UserError, match="cannot be loaded"):
        lung_mask(phantom()[0], (2.0, 1.5, 1.5), "lungmask")
