"""What a SLURM job asks for."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveInt

from ssl_bench.api.executor import ExecutorSettings

Memory = Annotated[PositiveInt | None, BeforeValidator(lambda value: None if value == "none" else value)]
"""In GiB; ``none`` says nothing of memory, since TOML has no word for it."""


class SlurmSettings(ExecutorSettings):
    """The ``[slurm]`` table of a matrix, or ``--slurm NAME=VALUE``."""

    partition: str | None = None
    account: str | None = None
    minutes: PositiveInt = 60 * 24
    """Time limit. A cell that needs longer saves its state and is queued again."""
    gpus: int = Field(default=1, ge=0)
    cpus: PositiveInt = 8
    memory_gb: Memory = 32
    """None where the site decides, or forbids to ask."""
    array_size: PositiveInt | None = None
    """Tasks of one array at most; None for what the cluster allows."""
    at_once: PositiveInt = 256
    """Tasks of one array that run at the same time."""
    warning_seconds: PositiveInt = 120
    """How long before the time limit a cell is told to save its state."""
    extra: dict[str, str | int | bool] = Field(default={})
    """Any further option of sbatch, without its dashes; it takes the place of one that ssl-bench would give."""
