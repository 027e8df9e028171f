"""Every method under every protocol on volumes of four channels with regions and an ignore label, as BraTS has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssl_bench.api.registry import METHODS
from ssl_bench.api.settings import load_preset
from ssl_bench.report.latex_text import latex
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from tests.cli.conftest import Invoke
from tests.data.brats import CHANNELS, head, save, write_brats

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fresh_registry")]

TRAIN = list(load_preset("smoke").protocols)
MEASURE = ["transfer-v1", "register-v1"]
"""Those of the others that any labels of voxels allow."""
NAME = "nnunet-Dataset043_BRATS"
REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3], "ignore": 4}
GRID = [f"--set=data.{name}.spacing_mm=null" for name in (NAME, "corpus")]


def write_set(root: Path) -> None:
    """Eleven heads whose four lowest slices nobody labelled."""
    names = write_brats(root, cases=11, labels=REGIONS, regions_class_order=[1, 2, 3])
    for number, name in enumerate(names):
        _, labels = head(number)
        labels[:4] = 4
        save(root / "labelsTr" / f"{name}.nii.gz", labels)


def write_corpus(root: Path) -> None:
    """Nine other heads without labels."""
    for number in range(20, 29):
        images, _ = head(number)
        for index, channel in enumerate(CHANNELS):
            save(root / f"p{number}_{index:04d}.nii.gz", images[channel])


def short() -> list[str]:
    """A step or two of everything, on windows of 16 voxels, as ranked tables."""
    steps = {name: 2 if name.endswith("v1") else 6 for name in TRAIN}
    return [
        "--set=ranked=true", "--set=crop=16", "--set=pretraining.crop=16", "--set=pretraining.steps=1",
        "--set=pretraining.watch_every=1",
        *(f"--set=protocols.{name}.steps={count}" for name, count in steps.items()),
        *(f"--set=protocols.{name}.validate_every=1" for name in steps),
    ]  # fmt: skip


def test_every_method_and_protocol_on_regions_of_four_channels(invoke: Invoke, tmp_path: Path) -> None:
    root, store = tmp_path / "Dataset043_BRATS", tmp_path / "results"
    write_set(root)
    write_corpus(tmp_path / "corpus")
    checked = invoke("data", "check", f"nnunet:{root}", *GRID, "--workers", 1, "--quiet")
    assert checked.code == 0, checked.err
    assert "4 is ignored" in checked.out
    assert "usable cases: 11, problems: 0" in checked.out
    prepared = invoke("data", "prepare", f"nnunet:{root}", *GRID, "--workers", 1, "--quiet")
    assert (prepared.code, prepared.out) == (0, "11 of 11 cases are ready\n")
    protocols = [*TRAIN, *MEASURE]
    ran = invoke(
        "matrix", "--preset", "smoke", "--methods", "all", "--tasks", f"nnunet:{root}", "--protocols",
        ",".join(protocols), "--corpus", tmp_path / "corpus", f"--set=data.corpus.channels={json.dumps(CHANNELS)}",
        "--results", store, "--threads", 1, "--quiet", *GRID, *short(),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    evaluations = [record for record in Store(store).records() if isinstance(record, EvaluationRecord)]
    records = [record for record in evaluations if not record.spec.control]
    expected = {(method, protocol) for method in METHODS.names() for protocol in protocols}
    assert {(record.spec.method, record.spec.protocol) for record in records} == expected
    for record in records:
        # Scratch was pre-trained on nothing.
        pretrained_on = 1 if record.spec.backbone.pretrains == "nothing" else 4
        assert (record.spec.data.channels, record.spec.backbone.channels, record.spec.stem) == (4, pretrained_on, "")
        assert "ignored voxels count as background" in record.policy
        assert all(list(case["dsc_per_class"]) == ["whole", "core", "enhancing"] for case in record.cases)
        assert record.score is not None
    for kind in ("md", "csv", "statistics-csv", "html", "latex"):
        done = invoke("report", "--results", store, "--format", kind, "--out", store / f"report.{kind}")
        assert done.code == 0, done.err
        text = (store / f"report.{kind}").read_text("utf-8")
        if kind != "latex":  # which has titles for them
            assert all(protocol in text for protocol in protocols), kind
        assert all((latex(method) if kind == "latex" else method) in text for method in METHODS.names()), kind
    page = (store / "report.html").read_text("utf-8")
    assert all(region in page for region in ("whole", "core", "enhancing"))
