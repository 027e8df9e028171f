"""``--executor slurm``: from options to job arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from ssl_bench.cli.option_groups import PretrainingExecution, Scheduling
from ssl_bench.cli.options import Strategy
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.executors.slurm import SlurmSettings
    from ssl_bench.spec.cell import Cell
    from ssl_bench.store.store import Store
    from ssl_bench.training.runtime import Runtime


def slurm_settings(scheduling: Scheduling) -> SlurmSettings | None:
    """What ``--slurm NAME=VALUE`` says; None under another executor. Raises UserError for an unknown name or value."""
    pairs = scheduling.slurm
    if scheduling.executor != "slurm":
        if pairs:
            raise UserError(f"--slurm {pairs[0]}: needs --executor slurm")
        return None
    from ssl_bench.api.settings import nested, validated
    from ssl_bench.executors.slurm import SlurmSettings

    return validated(SlurmSettings, nested(pairs or [], "--slurm"), "--slurm")


def submit_and_print(
    cells: Sequence[Cell], store: Store, settings: SlurmSettings, runtime: Runtime, asked: PretrainingExecution
) -> None:
    """Submit what is neither done nor queued, and say how to look after it.

    `asked` holds the options as they were given, `runtime` what can be resolved where no GPU need be. Raises UserError
    if several GPUs are to share a batch and cannot.
    """
    from ssl_bench.executors.slurm import submit
    from ssl_bench.planning.graph import with_pretrainings

    store.check_writable()
    device = asked.device
    if device == "auto":
        device = "cuda" if settings.gpus else "cpu"
    runtime = replace(runtime, device=device)
    if asked.strategy is Strategy.ddp:
        if asked.devices is not None or settings.gpus < 2:
            raise UserError("--strategy ddp: under --executor slurm name how many GPUs with --slurm gpus=N, 2 or more")
        runtime = replace(runtime, ranks=tuple(f"cuda:{index}" for index in range(settings.gpus)))
    count = submit(with_pretrainings(cells), store, settings, runtime)
    typer.echo(f"submitted cells: {count}; the same command submits what is left, ssl-bench status says how it stands")
