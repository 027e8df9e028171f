"""``--store``: how prepared images lie on disk, by which no score changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_bench.store.store import Store
from tests.cli.conftest import Invoke
from tests.cli.test_channels import NAME, SHORT
from tests.data.brats import write_brats
from tests.data.files import ct, save

pytestmark = pytest.mark.usefixtures("fresh_registry")


def endings(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "cache" / "prepared").glob("*/image.*")}


def test_data_prepare_compresses_a_cache_and_lays_it_out_plainly_again(invoke: Invoke, tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path / "scans" / f"{number}.nii.gz", ct(number))
    prepare = ("data", "prepare", "corpus", "--data-root", tmp_path / "scans", "--workers", 1, "--quiet")
    for option, found in (
        ((), "image.npy"),
        (("--store", "compressed"), "image.b2nd"),
        ((), "image.b2nd"),
        (("--store", "plain"), "image.npy"),
    ):
        done = invoke(*prepare, *option)
        assert (done.code, done.out) == (0, "2 of 2 cases are ready\n")
        assert endings(tmp_path) == {found}
    refused = invoke(*prepare, "--store", "zip")
    assert refused.code == 2


def test_a_run_from_compressed_images_has_the_key_and_the_scores_of_one_from_plain_ones(
    invoke: Invoke, tmp_path: Path
) -> None:
    write_brats(tmp_path / "Dataset001_BRATS", cases=6)
    resampled = f"--set=data.{NAME}.spacing_mm=1.3"
    found = []
    for store in ("plain", "compressed"):
        chosen = ("--store", store, "--results", tmp_path / store, "--precision", "float32", "--quiet")
        cell = ("--task", f"nnunet:{tmp_path / 'Dataset001_BRATS'}", "--method", "scratch", "--protocol", "linear-v1")
        done = invoke("run", *cell, "--preset", "smoke", *SHORT, resampled, *chosen)
        assert done.code == 0, done.err
        assert endings(tmp_path) == {"image.npy" if store == "plain" else "image.b2nd"}
        (record,) = Store(tmp_path / store).evaluations()
        found.append((record.key, record.score, record.cases))
    assert found[0] == found[1]
