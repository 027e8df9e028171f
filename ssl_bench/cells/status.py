"""How the planned cells of a store stand, told from its files alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel

from ssl_bench.cells.lease import holder
from ssl_bench.cells.plan import Cell
from ssl_bench.cells.store import Store

State = Literal["done", "running", "interrupted", "failed", "to do"]


class CellStatus(BaseModel):
    """How one planned cell stands."""

    key: str
    title: str
    state: State
    detail: str = ""
    """Why it failed last, who works on it since when, or when its checkpoint was written."""


def status_of(store: Store) -> list[CellStatus]:
    """How each planned cell of `store` stands, pre-trainings first."""
    cells = sorted(store.plans(), key=lambda cell: (cell.kind == "evaluation", cell.title))
    return [_status(cell, store) for cell in cells]


def _status(cell: Cell, store: Store) -> CellStatus:
    state, detail = _state(cell, store)
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
