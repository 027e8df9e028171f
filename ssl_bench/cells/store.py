"""The store: plans, records and pre-trained backbones as plain files under one results folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from ssl_bench.cells.plan import Cell
from ssl_bench.cells.record import AnyRecord, EvaluationRecord, PretrainingRecord
from ssl_bench.errors import UserError
from ssl_bench.files import atomic_write, publish_first

KEY = re.compile(r"[0-9a-f]{16}")


class Store:
    """Plans in ``cells/``, evaluations in ``records/``, backbones with their own records in ``pretrained/``.

    ``checkpoints/`` holds the state of cells that have not ended, ``leases/`` who works on them, ``logs/`` what they
    print in a process of their own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check_writable(self) -> None:
        """Raise UserError, before any work is done, if results could not be kept."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"--results {self.folder}: cannot be written ({error.strerror}); choose a folder you may write to"
            ) from error

    def plan(self, cell: Cell) -> None:
        """Write the cell's plan, from which ``ssl-bench cell KEY`` runs it."""
        path = self._plan_path(cell.key)
        text = cell.model_dump_json(indent=1)
        if not path.exists() or path.read_text("utf-8") != text:
            with atomic_write(path) as temporary:
                temporary.write_text(text, "utf-8")

    def plans(self) -> Iterator[Cell]:
        """Every planned cell whose plan reads."""
        for path in sorted((self.folder / "cells").glob("*.json")):
            with contextlib.suppress(UserError):
                yield self.load_plan(path.stem)

    def load_plan(self, key: str) -> Cell:
        """The planned cell called `key`. Raises UserError if there is none or its plan does not read."""
        if not KEY.fullmatch(key):
            raise UserError(
                f"cell {key!r}: a key is 16 hexadecimal digits; see the file names in {self.folder / 'cells'}"
            )
        path = self._plan_path(key)
        if not path.exists():
            raise UserError(f"cell {key}: no plan in {path.parent}; plan it with ssl-bench run or ssl-bench matrix")
        try:
            cell = Cell.model_validate_json(path.read_text("utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: corrupt plan; delete it and plan the cell again with ssl-bench run") from error
        if cell.key != key:
            raise UserError(f"{path}: holds the plan of cell {cell.key}; delete it and plan the cell again")
        return cell

    def record(self, cell: Cell) -> AnyRecord | None:
        """The cell's success, or None."""
        path = self._record_path(cell)
        return _read(path) if path.exists() else None

    def has_succeeded(self, cell: Cell) -> bool:
        """Whether there is a record of the cell's success; quicker than reading it."""
        return self._record_path(cell).exists()

    def last_failure(self, cell: Cell) -> AnyRecord | None:
        """The latest failed attempt at the cell."""
        path = self._record_path(cell)
        latest = sorted(path.parent.glob(f"{path.stem}.failed-*.json"), key=lambda file: file.stat().st_mtime)
        return _read(latest[-1]) if latest else None

    def has_failed(self, cell: Cell) -> bool:
        """Whether an attempt at the cell failed and none succeeded."""
        path = self._record_path(cell)
        return not path.exists() and any(path.parent.glob(f"{path.stem}.failed-*.json"))

    def publish(self, cell: Cell, record: AnyRecord, replace: bool = False) -> None:
        """Keep `record`. The first success of a cell wins unless `replace`; a failure takes a name of its own."""
        path, text = self._record_path(cell), record.model_dump_json(indent=1) + "\n"
        if record.status == "failed":
            path = path.with_name(f"{path.stem}.failed-{uuid.uuid4().hex[:8]}.json")
        if replace and record.status == "ok":
            with atomic_write(path) as temporary:
                temporary.write_text(text, "utf-8")
        else:
            publish_first(path, text)

    def backbone_path(self, key: str) -> Path:
        """Where the pre-training called `key` keeps its weights."""
        return self.folder / "pretrained" / key / "backbone.safetensors"

    def checkpoint_path(self, key: str) -> Path:
        """Where the cell called `key` keeps its state while it runs."""
        return self.folder / "checkpoints" / f"{key}.pt"

    def lease_path(self, key: str) -> Path:
        """Where whoever works on the cell called `key` says so."""
        return self.folder / "leases" / f"{key}.json"

    def log_path(self, key: str) -> Path:
        """Where a process that works on the cell called `key` prints."""
        return self.folder / "logs" / f"{key}.log"

    def records(self) -> Iterator[AnyRecord]:
        """Every success in the store, pre-trainings first, in the order of their paths."""
        for pattern in ("pretrained/*/record.json", "records/*/*/*/*.json"):
            for path in sorted(self.folder.glob(pattern)):
                if ".failed-" not in path.name:
                    record = _read(path)
                    if record is not None:
                        yield record

    def failures(self) -> Iterator[AnyRecord]:
        """Every failed attempt whose cell has no success."""
        for path in sorted(self.folder.glob("**/*.failed-*.json")):
            if not path.with_name(f"{path.name.partition('.failed-')[0]}.json").exists():
                record = _read(path)
                if record is not None:
                    yield record

    def _plan_path(self, key: str) -> Path:
        return self.folder / "cells" / f"{key}.json"

    def _record_path(self, cell: Cell) -> Path:
        if cell.kind == "pretraining":
            return self.folder / "pretrained" / cell.key / "record.json"
        names = (cell.evaluation.method, cell.evaluation.task, cell.evaluation.protocol)
        return self.folder.joinpath("records", *map(_file_name, names), f"{cell.key}.json")


def results_folder(option: Path | None) -> Path:
    """``--results``, then ``$SSL_BENCH_RESULTS``, then ``./results``."""
    return option or Path(os.environ.get("SSL_BENCH_RESULTS") or "results")


def _read(path: Path) -> AnyRecord | None:
    """The record at `path`; one that does not read is set aside as ``.corrupt`` with a warning."""
    model = PretrainingRecord if "pretrained" in path.parts[-3:] else EvaluationRecord
    try:
        return model.model_validate(json.loads(path.read_text("utf-8")))
    except (ValueError, UnicodeDecodeError):
        aside = path.with_name(f"{path.name}.corrupt")
        try:
            path.replace(aside)
            print(f"warning: {path} does not read; set aside as {aside.name}, its cell will run again", file=sys.stderr)  # noqa: T201
        except OSError:
            print(f"warning: {path} does not read and is ignored", file=sys.stderr)  # noqa: T201
        return None


def _file_name(name: str) -> str:
    """`name` as one path component: nothing in it can leave its folder."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip(".") or "-"
