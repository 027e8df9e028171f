"""Which rows rest on a backbone with a collapsed stage, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ssl_bench.report.table import Table
from ssl_bench.spec.collapse import COLLAPSED_SHARE


def collapse_notes(table: Table, text: Callable[[str], str]) -> Iterator[str]:
    """One sentence about the collapsed stages behind `table`, if there are any; `text` writes what records hold."""
    here = table.pretrainings[table.pretrainings["_collapsed"].astype(bool)]
    several = table.pretrainings["seed"].nunique() > 1
    found = []
    for line, (worst, *others) in zip(here.itertuples(), here["_collapsed"], strict=True):
        seed = f", seed {line.seed}" if several else ""
        more = f" and {len(others)} more" if others else ""
        found.append(f"{text(str(line.row))}{seed}: {text(worst.name)} {worst.rank:.1f} from {worst.start:.1f}{more}")
    if found:
        yield (
            f"Collapsed in pre-training, to below {COLLAPSED_SHARE:.0%} of the effective rank over voxels that a stage "
            f"of the backbone began with, the worst stage of each: {'; '.join(sorted(found))}."
        )
