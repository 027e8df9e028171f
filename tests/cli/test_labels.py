"""Regions, ignored voxels, several classes and numbers: from a folder to a report, through the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from tests.cli.conftest import Invoke
from tests.data.files import save

pytestmark = pytest.mark.usefixtures("fresh_registry")
GROUPS = ("DCM", "HCM", "MINF", "NOR", "RV")
SHAPE = (16, 16, 16)


def scan(seed: int, level: float) -> np.ndarray:
    """Noise about `level` (HU), with a block that is brighter."""
    voxels = np.random.default_rng(seed).normal(level, 100, SHAPE)
    voxels[4:12, 4:12, 4:12] += 200
    return voxels.astype(np.int16)


def write_table(root: Path, column: str, values: list[str], levels: list[float]) -> Path:
    rows = [("image", column, "patient")]
    for number, (value, level) in enumerate(zip(values, levels, strict=True)):
        save(root / f"s{number}.nii", scan(number, level))
        rows.append((f"s{number}.nii", value, f"p{number}"))
    (root / "labels.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    return root


def cells(invoke: Invoke, store: Path, *arguments: object) -> list[EvaluationRecord]:
    """The cells that `arguments` name, a few steps each, as a ranked table."""
    short = ["--set=pretraining.steps=2", "--set=cohort.corpus=4", "--set=cohort.held_out=2", "--set=ranked=true"]
    done = invoke(
        "matrix", "--preset", "smoke", "--seeds", "0", "--quiet", "--results", store, *short, *arguments,
    )  # fmt: skip
    assert done.code == 0, done.err
    return sorted(
        (record for record in Store(store).records() if isinstance(record, EvaluationRecord)),
        key=lambda record: (record.spec.protocol, record.spec.method),
    )


def reports(invoke: Invoke, store: Path) -> dict[str, str]:
    found = {}
    for kind in ("md", "csv", "statistics-csv", "latex", "html"):
        out = store / f"report.{kind}"
        done = invoke("report", "--results", store, "--format", kind, "--out", out)
        assert done.code == 0, done.err
        found[kind] = out.read_text("utf-8")
    return found


def test_five_classes_of_words(invoke: Invoke, tmp_path: Path) -> None:
    names = [GROUPS[number % 5] for number in range(25)]
    root = write_table(tmp_path / "hearts", "label", names, [200.0 * (number % 5) for number in range(25)])
    store = tmp_path / "results"
    checked = invoke("data", "check", f"folder:{root}", "--workers", 1, "--quiet")
    assert [line.split()[-1] for line in checked.out.splitlines()[1:26]] == [GROUPS[number % 5] for number in range(25)]
    found = cells(
        invoke, store, "--protocols", "linear,finetune", "--methods", "scratch,denoising", "--tasks", f"folder:{root}"
    )
    assert [record.spec.protocol for record in found[::2]] == ["finetune-v2", "linear-v2"]
    for record in found:
        assert record.metric == "macro AUC"
        assert record.score is not None
        assert set(record.beside) == {"accuracy", "balanced accuracy"}
        assert record.never_predicted is not None
        assert set(record.never_predicted) <= set(GROUPS)
        for case in record.cases:
            assert list(case["probabilities"]) == list(GROUPS)
            assert sum(case["probabilities"].values()) == pytest.approx(1, abs=1e-5)
            assert case["class"] == GROUPS[case["label"]] == names[int(case["case"][1:])]
    written = reports(invoke, store)
    assert "macro AUC" in written["md"]
    assert "| Method | accuracy [95 %] | balanced accuracy [95 %] |" in written["md"]
    assert "Beside" in written["html"]
    lines = list(csv.DictReader(io.StringIO(written["csv"])))
    assert {float(line["accuracy"]) for line in lines} == {record.beside["accuracy"] for record in found}
    assert {line["better"] for line in lines} == {"higher"}
    assert "macro AUC" in written["latex"]


def test_numbers_lower_errors_are_better_everywhere(invoke: Invoke, tmp_path: Path) -> None:
    ages = [20 + 2.5 * number for number in range(16)]
    root = write_table(tmp_path / "ages", "target", [f"{age:g}" for age in ages], [10.0 * age for age in ages])
    store = tmp_path / "results"
    found = cells(
        invoke, store, "--protocols", "linear,finetune", "--methods", "scratch,denoising", "--tasks", f"folder:{root}"
    )
    for record in found:
        errors = [abs(case["prediction"] - case["label"]) for case in record.cases]
        assert record.metric == "MAE"
        assert record.score == pytest.approx(np.mean(errors))
        assert {case["label"] for case in record.cases} <= set(ages)
        best = min(look["score"] for look in record.validation_curve)
        (chosen,) = [look["score"] for look in record.validation_curve if look["step"] == record.best_step]
        assert chosen == best, "the step with the least validation error is tested"
    written = reports(invoke, store)
    assert "MAE ↓" in written["md"]
    assert "in the unit of the target, lower is better" in written["md"]
    assert "| Method | Pearson r [95 %] | R² [95 %] |" in written["md"]
    assert r"MAE $\downarrow$" in written["latex"]
    assert 'data-sort="smallest first" data-task="folder-ages"' in written["html"]
    statistics = list(csv.DictReader(io.StringIO(written["statistics-csv"])))
    assert {line["better"] for line in statistics} == {"lower"}
    for protocol in ("linear-v2", "finetune-v2"):
        here = {line["row"]: line for line in statistics if line["protocol"] == protocol}
        scores = {record.spec.method: record.score for record in found if record.spec.protocol == protocol}
        (bold,) = [line for line in written["md"].splitlines() if line.startswith("| none | scratch |")][:1]
        assert {name: float(line["score"]) for name, line in here.items()} == pytest.approx(scores)
        place = ["linear-v2", "finetune-v2"].index(protocol)
        assert ("**" in bold.split("|")[3 + place]) == (scores["scratch"] == min(scores.values()))
    lines = list(csv.DictReader(io.StringIO(written["csv"])))
    assert all(line["pearson_r"] for line in lines)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("label", [f"{number}" for number in range(16)], "label holds 16 different numbers: classes or measurements"),
        ("label", [f"{number % 4}.5" for number in range(16)], "some with fractions"),
        ("label", ["a", "b", "1", "2"] * 4, "2 numbers and 2 other texts"),
        ("label", ["a", "b", "c"] * 5 + ["d"], "no case of class 'd' in the"),
        ("target", ["1", "2", "x", "4"] * 4, "line 4: target is 'x', no number"),
    ],
)
def test_what_is_not_guessed_is_refused_in_one_line(
    column: str, values: list[str], said: str, invoke: Invoke, tmp_path: Path
) -> None:
    root = write_table(tmp_path / "odd", column, values, [0.0] * 16)
    done = invoke("run", "--task", f"folder:{root}", "--preset", "smoke", "--method", "scratch", "--quiet")
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_an_option_says_what_labels_are(invoke: Invoke, tmp_path: Path) -> None:
    grades = [f"{number % 3}" for number in range(15)]
    root = write_table(tmp_path / "grades", "label", grades, [100.0 * int(grade) for grade in grades])
    few = ["--set=protocols.linear.steps=1", "--set=protocols.linear.validate_every=1"]
    run = ["run", "--task", f"folder:{root}", "--preset", "smoke", "--method", "scratch", "--protocol", "linear-v1"]
    for kind, metric in (("auto", "macro AUC"), ("regression", "MAE")):
        store = tmp_path / kind
        said = [f"--set=data.folder-grades.kind={kind}"]
        done = invoke(*run, *few, *said, "--quiet", "--results", store)
        assert done.code == 0, done.err
        (record,) = [record for record in Store(store).records() if isinstance(record, EvaluationRecord)]
        assert record.metric == metric
    done = invoke(*run, "--set=data.shc.kind=regression", "--results", tmp_path / "none")
    assert done.code == 2
    assert "--set data.shc.kind=regression: is for the labels of a folder:DIR task" in done.err


def test_a_code_for_nothing_among_numbers_is_warned_of(invoke: Invoke, tmp_path: Path) -> None:
    root = write_table(tmp_path / "ages", "target", [*(f"{40.5 + number}" for number in range(6)), "999"], [0.0] * 7)
    done = invoke("data", "check", f"folder:{root}", "--quiet")
    assert done.code == 0, done.err
    assert "1 of 7 targets are 999, and the others lie from 40.5 to 45.5" in done.err


def write_regions(root: Path, cases: int = 6) -> Path:
    """Tumours in the layout of BraTS: whole, core, enhancing, one within the other, and slices that nobody labelled."""
    for number in range(cases):
        image = scan(number, 0)
        labels = np.zeros(SHAPE, np.int16)
        labels[3:13, 3:13, 3:13], labels[5:11, 5:11, 5:11], labels[6:9, 6:9, 6:9] = 1, 2, 3
        image += (300 * labels).astype(np.int16)
        labels[:4] = 4
        save(root / "imagesTr" / f"t{number}_0000.nii.gz", image)
        save(root / "labelsTr" / f"t{number}.nii.gz", labels)
    described: dict[str, Any] = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3], "ignore": 4},
        "regions_class_order": [1, 2, 3],
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(described))
    return root


def test_regions_and_ignored_voxels(invoke: Invoke, tmp_path: Path) -> None:
    root, store = write_regions(tmp_path / "Tumours"), tmp_path / "results"
    found = cells(
        invoke, store, "--protocols", "linear-v1,finetune", "--methods", "scratch", "--tasks", f"nnunet:{root}"
    )
    for record in found:
        assert record.metric == "DSC"
        assert "ignored voxels count as background" in record.policy
        for case in record.cases:
            assert list(case["dsc_per_class"]) == ["whole", "core", "enhancing"]
            assert list(case["hd95_mm_per_class"]) == ["whole", "core", "enhancing"]
    done = invoke("data", "check", f"nnunet:{root}", "--quiet", "--workers", 1)
    assert done.code == 0, done.err
    assert "4 is ignored (voxels: 1024 of 4096)" in done.out
    done = invoke("data", "show", f"nnunet:{root}", "--out", tmp_path / "tumours.png")
    assert done.code == 0, done.err
