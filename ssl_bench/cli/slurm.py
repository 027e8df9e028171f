"""``--executor slurm``: from options to job arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.cells.plan import Cell
    from ssl_bench.engine.runtime import Runtime
    from ssl_bench.engine.slurm import SlurmSettings


def slurm_settings(pairs: Sequence[str] | None, executor: str) -> SlurmSettings | None:
    """What ``--slurm NAME=VALUE`` says; None under another executor. Raises UserError for an unknown name or value."""
    if executor != "slurm":
        if pairs:
            raise UserError(f"--slurm {pairs[0]}: needs --executor slurm")
        return None
    from ssl_bench.engine.slurm import SlurmSettings
    from ssl_bench.settings import nested, validated

    return validated(SlurmSettings, nested(pairs or [], "--slurm"), "--slurm")


def submit_and_print(
    cells: Sequence[Cell], results: Path | None, settings: SlurmSettings, runtime: Runtime, device: str
) -> None:
    """Submit what is neither done nor queued, and say how to look after it."""
    from ssl_bench.cells.store import Store, results_folder
    from ssl_bench.engine.inline import with_pretrainings
    from ssl_bench.engine.slurm import submit

    store = Store(results_folder(results))
    store.check_writable()
    if device == "auto":
        device = "cuda" if settings.gpus else "cpu"
    count = submit(with_pretrainings(cells), store, settings, replace(runtime, device=device))
    typer.echo(f"submitted cells: {count}; the same command submits what is left, ssl-bench status says how it stands")
