"""What tuning found: a table to read, and a file to go on with."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_bench.api.settings import Settings, TuningSettings
from ssl_bench.files import atomic_write
from ssl_bench.tuning.halving import best_of
from ssl_bench.tuning.trials import Trials

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Outcome(Settings):
    """What one row ended with."""

    method: str
    options: dict[str, Any] | None
    """The best configuration, empty for the defaults; None where no trial succeeded."""
    score: float | None
    """Its mean validation score over tasks and seeds."""
    default_score: float | None
    """That of the defaults, from trials of the same length."""
    share: float
    """Of the steps that these trials took; below 1 where the budget ended earlier."""
    trials: int
    device_seconds: float
    exhausted: bool
    """Whether the budget ended it."""
    digest: str
    """Of its trials."""


def outcomes(trials: Trials) -> list[Outcome]:
    """What each row ended with, in the order of the search's methods."""
    return [_outcome(trials, method) for method in trials.search.methods]


def _outcome(trials: Trials, method: str) -> Outcome:
    found, sign = trials.standing(method), trials.metric.sign
    scores = found.on(found.deciding_rung)
    best = best_of(scores)
    default = best_of({0: scores[0]} if 0 in scores else {})
    return Outcome(
        method=method,
        options=None if best is None else dict(trials.configurations(method)[best]),
        score=None if best is None else sign * scores[best],
        default_score=None if default is None else sign * scores[0],
        share=float(trials.rungs(method)[found.deciding_rung].share),
        trials=len(found.ended),
        device_seconds=round(found.seconds, 1),
        exhausted=found.exhausted,
        digest=trials.digest(method),
    )


HEADER = ("method", "validation", "defaults", "steps", "trials", "device-seconds", "best configuration")


def line_of(row: Outcome) -> tuple[str, ...]:
    """What a table shows of a row, under `HEADER`."""
    said = ", ".join(f"{name}={value}" for name, value in (row.options or {}).items()) or "the defaults"
    return (
        row.method,
        *("failed" if score is None else f"{score:.4f}" for score in (row.score, row.default_score)),
        f"{row.share:g}",
        str(row.trials),
        f"{row.device_seconds:.0f}{' (used up)' if row.exhausted else ''}",
        "no trial succeeded" if row.options is None else said,
    )


def write_frozen(trials: Trials, found: Sequence[Outcome], file: Path) -> None:
    """Write the winners to `file` as the tables ``[tuning]`` and ``[methods.NAME]`` of a preset, or leave no trace."""
    search, chosen = trials.search, [row for row in found if row.options is not None]
    tuning = TuningSettings(
        preset=trials.planner.preset.name,
        overrides=tuple(trials.planner.setting.overrides),
        protocol=search.protocol,
        tasks=tuple(sorted(search.tasks)),
        seeds=search.seeds,
        configurations=search.configurations,
        device_seconds=search.device_seconds,
        trials={row.method: row.digest for row in chosen},
    )
    lines = ["# Written by ssl-bench tune: give it to --tuned, or put its tables into the preset.", "[tuning]"]
    for name, value in tuning.model_dump(mode="json", exclude={"trials"}, exclude_defaults=True).items():
        lines.append(f"{name} = {json.dumps(value)}")
    lines += ["", "[tuning.trials]", *(f"{_key(name)} = {json.dumps(one)}" for name, one in tuning.trials.items())]
    for row in chosen:
        default = "failed" if row.default_score is None else f"{row.default_score:.4f}"
        lines += ["", f"# Validation {row.score:.4f}, with the defaults {default}; {row.trials} trials, "
                  f"{row.device_seconds:.0f} device-seconds.", f"[methods.{_key(row.method)}]"]  # fmt: skip
        lines += [f"{name} = {json.dumps(value)}" for name, value in (row.options or {}).items()]
    with atomic_write(file) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8")


def _key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else json.dumps(name)
