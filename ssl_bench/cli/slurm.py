"""``--executor slurm``: from options to job arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from ssl_bench.cli.option_groups import Scheduling
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.cells.plan import Cell
    from ssl_bench.cells.store import Store
    from ssl_bench.engine.runtime import Runtime
    from ssl_bench.engine.slurm import SlurmSettings


def slurm_settings(scheduling: Scheduling) -> SlurmSettings | None:
    """What ``--slurm NAME=VALUE`` says; None under another executor. Raises UserError for an unknown name or value."""
    pairs = scheduling.slurm
    if scheduling.executor != "slurm":
        if pairs:
            raise UserError(f"--slurm {pairs[0]}: needs --executor slurm")
        return None
    from ssl_bench.engine.slurm import SlurmSettings
    from ssl_bench.settings import nested, validated

    return validated(SlurmSettings, nested(pairs or [], "--slurm"), "--slurm")


def submit_and_print(
    cells: Sequence[Cell], store: Store, settings: SlurmSettings, runtime: Runtime, device: str
) -> None:
    """Submit what is neither done nor queued, and say how to look after it."""
    from ssl_bench.engine.graph import with_pretrainings
    from ssl_bench.engine.slurm import submit

    store.check_writable()
    if device == "auto":
        device = "cuda" if settings.gpus else "cpu"
    count = submit(with_pretrainings(cells), store, settings, replace(runtime, device=device))
    typer.echo(f"submitted cells: {count}; the same command submits what is left, ssl-bench status says how it stands")
