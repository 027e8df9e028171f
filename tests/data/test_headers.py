"""A grid chosen by headers: the shapes that cases get, told before any of them is prepared."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ssl_bench.api.cases import SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.settings import Sizing, load_preset
from ssl_bench.data.headers import shapes_by_headers
from ssl_bench.data.layouts.own_tasks import add_own
from ssl_bench.data.preprocessing.arrays import prepare_case
from ssl_bench.data.sources import DataSources
from ssl_bench.spec.locations import Locations
from tests.data.files import ct, save

WHOLE = Preprocessing(intensity="mr", region="whole")


def case_of(path: Path) -> SourceCase:
    return SourceCase(path.name, path, 0, path.name)


def write(path: Path, axes: str, spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> SourceCase:
    """Noise whose axes run as `axes` says; gzipped if the name says so."""
    start, end = (nib.orientations.axcodes2ornt(codes) for codes in ("RAS", axes))
    turn = nib.orientations.inv_ornt_aff(nib.orientations.ornt_transform(start, end), shape)
    voxels = np.random.default_rng(0).integers(0, 200, shape).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, turn @ np.diag([*spacing, 1.0])), path)
    return case_of(path)


@pytest.mark.parametrize("spacing_mm", [None, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAR", "ASL", "PIR"])
def test_headers_say_the_shape_that_preparing_gives(axes: str, spacing_mm: float | None, tmp_path: Path) -> None:
    recipe = WHOLE.model_copy(update={"spacing_mm": spacing_mm})
    cases = [
        write(tmp_path / "a.nii.gz", axes, (0.7, 1.5, 2.2), (12, 17, 9)),
        write(tmp_path / "b.nii", axes, (8.0, 1.5, 1.5), (5, 20, 31)),
    ]
    assert shapes_by_headers(cases, recipe) == [prepare_case(case, recipe, None)[0].size for case in cases]


def test_what_only_voxels_tell_is_left_to_them(tmp_path: Path) -> None:
    case = write(tmp_path / "a.nii.gz", "RAS", (1, 1, 1), (8, 8, 8))
    assert shapes_by_headers([case], WHOLE) == [(8, 8, 8)]
    for region in ("label", "lungs"):
        assert shapes_by_headers([case], WHOLE.model_copy(update={"region": region})) is None
    (tmp_path / "broken.nii.gz").write_bytes(b"\x1f\x8bno header")
    (tmp_path / "other.mha").write_bytes(b"")
    for name in ("broken.nii.gz", "other.mha", "nobody.nii"):
        assert shapes_by_headers([case, case_of(tmp_path / name)], WHOLE) is None


@pytest.mark.usefixtures("fresh_registry")
def test_a_set_is_prepared_once_at_the_spacing_that_its_size_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_BENCH_CACHE", str(tmp_path / "cache"))
    rows = ["image,target"]
    for number in range(6):
        save(tmp_path / "set" / f"s{number}.nii.gz", ct(number, (40, 40, 40)))
        rows.append(f"s{number}.nii.gz,{number}")
    (tmp_path / "set" / "labels.csv").write_text("\n".join(rows) + "\n")
    name, kind, root = add_own(f"folder:{tmp_path / 'set'}")
    locations = Locations(data_roots={name: root}, own_tasks={name: kind})
    sizing, cohort = Sizing(voxels=9_000, folds=3, folds_below=2), load_preset("smoke").cohort
    data = DataSources(locations, cohort, sizing=sizing)
    assert data.task(name).describe().recipe["spacing_mm"] == 2
    prepared = (tmp_path / "cache" / "prepared").glob("*/image.npy")
    assert [np.load(file, mmap_mode="r").shape for file in prepared] == [(20, 20, 20)] * 6
