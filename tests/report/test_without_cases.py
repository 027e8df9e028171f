"""A report without some test cases is that of records which never had them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ssl_bench.errors import UserError
from ssl_bench.report.cells_csv import write_csv
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.results import read_results
from ssl_bench.report.without_cases import WithoutCases, names_in
from ssl_bench.store.store import Store
from tests.cli.conftest import Invoke
from tests.cli.conftest import invoke as invoke
from tests.report.test_comparison import ALIKE, BASE, BETTER, keep

OUT = [2, 5, 11]
NAMES = [f"test-{case:03}" for case in OUT]


def test_every_number_is_that_of_records_which_never_had_the_cases(tmp_path: Path) -> None:
    whole, less = Store(tmp_path / "whole"), Store(tmp_path / "less")
    for seed, shift in enumerate((0.0, 0.01, -0.02)):
        for method, scores in (("scratch", BASE), ("gvsl", BETTER), ("simclr", ALIKE)):
            keep(whole, method, list(scores + shift), seed, score=float((scores + shift).mean()))
            left = [{"case": f"test-{case:03}", "dsc": scores[case] + shift} for case in range(12) if case not in OUT]
            keep(less, method, [], seed, cases=left, score=float(np.mean([case["dsc"] for case in left])))
    found, expected = write_markdown(WithoutCases(whole, NAMES)), write_markdown(less)
    assert found.replace(", changed by `without 3 test cases`", "") == expected
    assert "changed by `without 3 test cases`" in found
    assert "without 3 test cases" in write_csv(WithoutCases(whole, NAMES))
    assert len(read_results(whole).cases) == 9 * 12


def test_an_auc_is_computed_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, "scratch", list(ALIKE), task="ccc", score=0.5)
    kept = np.setdiff1d(np.arange(12), OUT)
    (score,) = read_results(WithoutCases(store, NAMES)).cells["score"]
    assert score == pytest.approx(roc_auc_score(kept >= 6, ALIKE[kept]))


def test_a_pair_goes_with_either_side_and_a_shift_with_its_case(tmp_path: Path) -> None:
    store = Store(tmp_path)
    pairs = [
        {"case": f"{a}:{b}", "subject": a, "partner": b, "dsc": dsc, "tre_mm": 10 * dsc}
        for a, b, dsc in (("a", "b", 0.5), ("b", "c", 0.6), ("c", "d", 0.7), ("d", "a", 0.9))
    ]
    shifted = [{"shift": "noise-v1", "grade": 1, "strength": 1.0, "score": 0.1, "cases": [
        {"case": pair["case"], "dsc": 0.1 + pair["dsc"]} for pair in pairs]}]  # fmt: skip
    keep(store, "scratch", [], protocol="register", cases=pairs, shifted=shifted, never_predicted=["aorta"])
    (record,) = WithoutCases(store, ["b"]).evaluations()
    assert [case["case"] for case in record.cases] == ["c:d", "d:a"]
    assert (record.score, record.beside["TRE"]) == (pytest.approx(0.8), pytest.approx(8.0))
    assert (record.shifted[0].score, record.never_predicted) == (pytest.approx(0.9), None)
    assert list(WithoutCases(store, ["a", "c"]).evaluations()) == []


def test_names_that_are_in_no_record_and_files_that_name_nothing_are_refused(tmp_path: Path, invoke: Invoke) -> None:
    store, names = Store(tmp_path / "results"), tmp_path / "names.txt"
    keep(store, "scratch", list(BASE))
    names.write_text("test-001\n\n test-002 \n")
    assert names_in(names) == ["test-001", "test-002"]
    done = invoke("report", "--results", store.folder, "--leave-out", names)
    assert done.code == 0
    assert "without 2 test cases" in done.out
    with pytest.raises(UserError, match="--leave-out: nobody and 1 more are in no record of"):
        WithoutCases(store, ["test-001", "someone", "nobody"])
    for content, reason in (("", "names nothing"), ("test-999", "test-999 is in no record")):
        names.write_text(content)
        done = invoke("report", "--results", store.folder, "--leave-out", names)
        assert (done.code, done.out) == (2, "")
        assert reason in done.err
    done = invoke("report", "--results", store.folder, "--leave-out", tmp_path / "missing.txt")
    assert "missing.txt: does not read as text" in done.err
