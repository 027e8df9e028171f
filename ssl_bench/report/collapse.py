"""Which rows rest on a backbone with a collapsed stage, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ssl_bench.report.table import Row, Table
from ssl_bench.spec.collapse import COLLAPSED_SHARE


def collapse_notes(table: Table, text: Callable[[str], str]) -> Iterator[str]:
    """One sentence about the collapsed stages behind `table`, if there are any; `text` writes what records hold."""
    every = table.frames.pretrainings
    here = every[every["key"].isin(table.pretraining_keys) & every["_collapsed"].map(bool)]
    found = []
    for line, (worst, *others) in zip(here.itertuples(), here["_collapsed"], strict=True):
        label = Row("", str(line.method), str(line.options)).label
        more = f" and {len(others)} more stage{'s' if len(others) > 1 else ''}" if others else ""
        found.append(f"{text(label)}, seed {line.seed}: {text(str(worst))}{more}")
    if found:
        yield (
            f"Collapsed in pre-training, to below {COLLAPSED_SHARE:.0%} of the effective rank over voxels that a stage "
            f"of the backbone began with: {'; '.join(sorted(found))}."
        )
