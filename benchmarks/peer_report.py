"""Results read and averaged, and reported, beside JSON files read into pandas."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.commands import COMMAND, process
from benchmarks.peer_rows import rows
from benchmarks.report import write_store
from benchmarks.tables import Row
from benchmarks.timing import Options
from ssl_bench.report.results import load_results

CELL = ["method", "task", "protocol", "setting"]


def reports(options: Options) -> list[Row]:
    records = 400 if options.quick else 2000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_store(folder, records)

        def by_load_results() -> pd.DataFrame:
            return _averaged(load_results(folder).cells)

        def by_pandas() -> pd.DataFrame:
            return _averaged(_read(folder))

        ours, theirs = by_load_results(), by_pandas()
        assert len(ours) == len(theirs)
        np.testing.assert_allclose(np.sort(ours["mean"]), np.sort(theirs["mean"]))
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        report = process(COMMAND, "report", "--results", name, "--out", f"{name}/report.md")
        table = process(TABLE, name)
        read = rows(
            f"{records:,} records read and averaged", by_load_results, {"json and pandas": by_pandas}, options, "means"
        )
        same = "the means, and much else in ours"
        return read + rows(f"report of {records:,} records", report, {"json and pandas": table}, options, same)


def _read(folder: Path) -> pd.DataFrame:
    found = []
    for path in sorted(folder.glob("records/*/*/*/*.json")):
        record = json.loads(path.read_text("utf-8"))
        science = record["science"]
        names = (science["backbone"]["method"], science["task"], science["protocol"], record["setting"]["digest"])
        found.append(dict(zip(CELL, names, strict=True)) | {"seed": science["seed"], "score": record["score"]})
    return pd.DataFrame(found)


def _averaged(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.groupby(CELL).score.agg(["mean", "std"])


TABLE = """
import sys
from pathlib import Path
from benchmarks.peer_report import _averaged, _read
print(_averaged(_read(Path(sys.argv[1]))).unstack().to_string())
"""
