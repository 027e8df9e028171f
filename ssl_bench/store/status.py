"""How the planned cells of a store stand, told from its files alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel

from ssl_bench.spec.cell import Cell
from ssl_bench.store.lease import holder
from ssl_bench.store.store import Store

State = Literal["done", "running", "queued", "interrupted", "failed", "to do"]


class CellStatus(BaseModel):
    """How one planned cell stands."""

    key: str
    title: str
    state: State
    detail: str = ""
    """Why it failed last, who works on it since when, when its checkpoint was written, or how its job stands."""


def status_of(store: Store, jobs: Mapping[str, object] = MappingProxyType({})) -> list[CellStatus]:
    """How each planned cell of `store` stands, pre-trainings first.

    `jobs` says how those stand that a batch system has, by their keys. It does not decide what is done or running: a
    job may run whose cell has not begun.
    """
    cells = sorted(store.plans(), key=lambda cell: (cell.kind == "evaluation", cell.title))
    return [_status(cell, store, jobs.get(cell.key)) for cell in cells]


def _status(cell: Cell, store: Store, job: object | None) -> CellStatus:
    state, detail = _state(cell, store)
    if job is not None and state != "done":
        state = state if state == "running" else "queued"
        detail = "; ".join(filter(None, (str(job), detail)))
    return CellStatus(key=cell.key, title=cell.title, state=state, detail=detail)


def _state(cell: Cell, store: Store) -> tuple[State, str]:
    if store.has_succeeded(cell):
        return "done", ""
    lease = store.lease_path(cell.key)
    if lease.exists() and (found := holder(lease)):
        return "running", f"{found}, since {_time(found.since)}"
    checkpoint = store.checkpoint_path(cell.key)
    if checkpoint.exists():
        return "interrupted", f"goes on from its checkpoint of {_time(checkpoint.stat().st_mtime)}"
    if failure := store.last_failure(cell):
        return "failed", failure.reason or ""
    return "to do", ""


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
