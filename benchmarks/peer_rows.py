"""A row of the comparison with peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.tables import Row
from benchmarks.timing import Options, at_least, interleaved, ratio, spread


def rows(
    work: str,
    ours: Callable[[], Any],
    peers: dict[str, Callable[[], Any]],
    options: Options,
    same: str,
    wanted: float = 1.0,
    seconds: float = 8.0,
) -> list[Row]:
    """One row for each of `peers`; `same` says how alike the results are."""
    times = interleaved({"ours": ours} | peers, options, seconds)
    found: list[Row] = []
    for name in peers:
        faster = ratio(times[name], times["ours"])
        found.append({
            "work and peer": f"{work}: {name}",
            "seconds": spread(times["ours"]),
            "its seconds": spread(times[name]),
            "times as fast": faster,
            **at_least(wanted, faster),
            "results": same,
        })  # fmt: skip
    return found
