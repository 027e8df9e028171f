"""The contract of an executor: where the cells of a matrix run.

Adding an executor is adding one file to ``ssl_bench/executors/`` with one subclass of `Executor`. This module imports
no torch, and neither should an executor before it runs something.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ssl_bench.api.settings import Settings
from ssl_bench.errors import UserError


@dataclass(frozen=True)
class ExecutorFacts:
    """What is known about an executor without running anything."""

    title: str


@dataclass(frozen=True)
class Devices:
    """What the command line says of devices; the default of every option."""

    device: str = "auto"
    """``--device``"""
    devices: str | None = None
    """``--devices``, comma-separated."""
    strategy: str = "single"
    """``--strategy``: ``ddp`` where `devices` share each batch of a pre-training."""
    threads: int | None = None
    """``--threads``"""
    precision: str | None = None
    """``--precision``; None for the preset's."""


class ExecutorSettings(Settings):
    """An executor's own options; unknown ones are refused."""


class Executor(ABC):
    """Where the cells of a matrix run. Subclasses set `facts`, may define their own `Settings`, and implement `run`."""

    facts: ClassVar[ExecutorFacts]
    Settings: ClassVar[type[ExecutorSettings]] = ExecutorSettings
    """Its own options, given by ``--executor-set NAME=VALUE``."""

    def __init__(self, settings: ExecutorSettings, asked: Devices) -> None:
        self.settings = settings
        self.asked = asked

    def planned_on(self) -> Devices:
        """The devices that cells are planned for and `run` is told of: their precision is part of a cell's key.

        Called before anything is planned. Raises UserError for options that contradict each other or the machine.
        """
        if self.asked.devices is not None and self.asked.strategy == "single":
            raise UserError(f"--devices {self.asked.devices}: needs --executor local, or --strategy ddp")
        return self.asked

    @abstractmethod
    def run(self, work: Any) -> Any:
        """Have `work`, an `ssl_bench.executors.cells.work.Work`, done: its cells, and all that they need to run.

        Returns the records of its cells in their order, or, where they run later, what to tell the user. A contract
        imports nothing that knows cells, so that the type is not named here. Raises UserError, and Stopped if a
        signal asks for it.
        """

    def dry_run(self, work: Any) -> str:
        """What `run` would hand to a scheduler, as text for the user; empty where there is none.

        Called by ``ssl-bench matrix --dry-run``: nothing is submitted, and nothing stays on disk.
        """
        return ""

    @classmethod
    def queued(cls, results: Path) -> Mapping[str, object]:
        """The cells of the results folder that wait or run elsewhere: by their keys, what prints as how they stand.

        Asked by ``ssl-bench status``. Raises UserError if the scheduler does not answer.
        """
        return {}
