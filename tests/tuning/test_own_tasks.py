"""Options tuned on data of one's own: on one split, and never by cases that another fold tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ssl_bench.cli import app
from tests.data.files import save

pytestmark = pytest.mark.usefixtures("fresh_registry")

SHORT = [
    f"--set={change}"
    for change in (
        "protocols.finetune-v1.steps=2", "protocols.finetune-v1.validate_every=1", "crop=16",
        "data.folder-ages.spacing_mm=null",
    )
]  # fmt: skip
CELLS = ("--methods", "scratch", "--preset", "smoke", "--quiet", *SHORT)


@pytest.fixture
def ages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of fifteen scans and a number of each."""
    monkeypatch.setenv("SSL_BENCH_CACHE", str(tmp_path / "cache"))
    rows = ["image,target,patient"]
    for number in range(15):
        voxels = np.random.default_rng(number).normal(20 * number, 100, (16, 16, 16)).astype(np.int16)
        save(tmp_path / "ages" / f"s{number}.nii", voxels)
        rows.append(f"s{number}.nii,{20 + number},p{number}")
    (tmp_path / "ages" / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "ages"


def ssl_bench(*arguments: object) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)))


def tune(root: Path, *more: object) -> Any:
    own = ("--tasks", f"folder:{root}", "--protocol", "finetune-v1", "--seeds", "1000", "--configurations", "2")
    return ssl_bench("tune", *own, *CELLS, "--results", root.parent / "results", *more)


def test_a_number_of_ones_own_is_tuned_for_the_smallest_error(ages: Path) -> None:
    file = ages.parent / "tuned.toml"
    done = tune(ages, "--freeze", file, "--json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert 0 < row["score"] <= row["default_score"]
    evaluated = ("matrix", "--tasks", f"folder:{ages}", "--protocols", "finetune-v1", "--tuned", file, *CELLS)
    planned = ssl_bench(*evaluated, "--dry-run")
    assert planned.exit_code == 0, planned.output
    folds = ssl_bench(*evaluated, "--cross-validation", 3)
    assert "task 'folder-ages': options of scratch were tuned on validation cases of it" in str(folds.exception)


def test_cross_validated_tasks_choose_no_options(ages: Path) -> None:
    done = tune(ages, "--cross-validation", 3)
    assert "--tasks folder-ages: is cross-validated" in str(done.exception)
    assert not (ages.parent / "results").exists()
