"""What another machine made again, and how near it came."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_bench.submission.agreement import reproduced
from ssl_bench.submission.verifying import Verdict, verify
from tests.submission.made_up import Documents, documents, path_of, write


def moved(by: float, processor: str = "another processor") -> Documents:
    """The bundle as another machine makes it, every Dice coefficient `by` so much lower."""
    found = documents()
    for document in found.values():
        document["provenance"]["processor"] = processor
        if document["science"].get("task") == "sbm":
            for row in document["cases"]:
                row["dsc_per_class"] = {name: max(0.2, dice) - by for name, dice in row["dsc_per_class"].items()}
                row["dsc"] = sum(row["dsc_per_class"].values()) / len(row["dsc_per_class"])
            document["score"] = sum(row["dsc"] for row in document["cases"]) / len(document["cases"])
    return found


def verdicts(to: Path, *bundles: Documents) -> list[Verdict]:
    found = [verify(write(to / f"{at}.zip", bundle)) for at, bundle in enumerate(bundles)]
    assert not any(verdict.refusals for verdict in found)
    return found


def test_rows_within_the_tolerance_are_reproduced(tmp_path: Path) -> None:
    rows = reproduced(verdicts(tmp_path, moved(0.0, "one"), moved(0.004)), 0.01)
    assert [row.title for row in rows] == [
        f"{method} {task} linear-v2" for method in ("gvsl", "scratch", "simclr") for task in ("ccc", "sbm")
    ]
    assert all(row.agrees and (row.runs, row.of) == (3, 3) for row in rows)
    assert [row.difference for row in rows] == pytest.approx([0.0, 0.004] * 3)


def test_rows_beyond_it_are_not(tmp_path: Path) -> None:
    rows = reproduced(verdicts(tmp_path, moved(0.0, "one"), moved(0.02)), 0.01)
    assert [row.agrees for row in rows] == [True, False] * 3


def test_a_row_of_which_a_run_is_missing_is_not(tmp_path: Path) -> None:
    found = moved(0.0)
    del found[path_of(found, "gvsl", "sbm", seed=2)]
    row = reproduced(verdicts(tmp_path, moved(0.0, "one"), found), 0.01)[1]
    assert (row.title, row.runs, row.of, row.agrees) == ("gvsl sbm linear-v2", 2, 3, False)


def test_a_copy_reproduces_nothing(tmp_path: Path) -> None:
    assert reproduced(verdicts(tmp_path, documents(), documents()), 0.01) == []


def test_another_kernel_is_no_other_machine(tmp_path: Path) -> None:
    found = documents()
    for document in found.values():
        document["provenance"]["platform"] = "another Linux"
    assert reproduced(verdicts(tmp_path, documents(), found), 0.01) == []
