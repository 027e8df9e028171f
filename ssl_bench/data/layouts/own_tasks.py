"""Tasks that a folder defines: no code, a data set in a known format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from ssl_bench.api.registry import TASKS
from ssl_bench.api.task import Task
from ssl_bench.data.layouts.labelled_folder import labelled_folder_task
from ssl_bench.data.layouts.nnunet import nnunet_task
from ssl_bench.data.layouts.table_labels import TableKind
from ssl_bench.errors import UserError
from ssl_bench.spec.locations import Locations

Kind = Literal["nnunet", "folder"]
BUILDERS = {"nnunet": nnunet_task, "folder": labelled_folder_task}


def is_own(task: str) -> bool:
    """Whether `task` names a folder, as in ``nnunet:DIR``, and not a registered task."""
    return task.partition(":")[0] in BUILDERS and ":" in task


def add_own(task: str) -> tuple[str, Kind, Path]:
    """Register the task of ``nnunet:DIR`` or ``folder:DIR``; its name, format and folder.

    Raises UserError if the folder does not define one.
    """
    kind, _, text = task.partition(":")
    folder = Path(text).resolve()
    if not text or not folder.is_dir():
        raise UserError(f"--task {task}: no such folder; use {kind}:DIR")
    name = _register(kind, folder)  # type: ignore[arg-type]
    return name, kind, folder  # type: ignore[return-value]


def register_own(locations: Locations, declared: Mapping[str, str] = MappingProxyType({})) -> None:
    """Register the tasks that a cell's folders define; `declared` says by task what its labels are.

    Raises UserError if a folder no longer defines its task, or where something else than a `folder:` is declared.
    """
    for name, kind in declared.items():
        if locations.own_tasks.get(name) != "folder" or kind not in ("auto", *get_args(TableKind)):
            known = ", ".join(get_args(TableKind))
            raise UserError(f"--set data.{name}.kind={kind}: is for the labels of a folder:DIR task; use {known}")
    for name, kind in locations.own_tasks.items():
        if _register(kind, locations.data_roots[name], declared.get(name, "auto")) != name:
            raise UserError(f"{locations.data_roots[name]}: no longer defines task {name!r}; plan its cells again")


def _register(kind: Kind, folder: Path, labels: str = "auto") -> str:
    task: type[Task] = labelled_folder_task(folder, labels) if kind == "folder" else BUILDERS[kind](folder)
    assert task.dataset is not None
    name = f"{kind}-{task.dataset.title}"
    TASKS.add_from_folder(name, task, folder)
    return name
