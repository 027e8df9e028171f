"""The store: plans, records and pre-trained backbones as plain files under one results folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ValidationError

from ssl_bench.errors import UserError
from ssl_bench.files import TEMPORARY_SUFFIX, atomic_write, clear_temporaries, publish_first, set_aside
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import SCHEMA, AnyRecord, EvaluationRecord, PretrainingRecord
from ssl_bench.store.snapshots import has_snapshots, matching_file, snapshot_file
from ssl_bench.weights.digest import tensors_digest

CELL_KEY = re.compile(r"[0-9a-f]{16}")
RECORD_BYTES = 1 << 20
"""No record is larger."""
Kind = Literal["pretraining", "evaluation"]
Parsed = TypeVar("Parsed")
_FOLDERS: dict[Kind, tuple[str, int]] = {"pretraining": ("pretrained", 1), "evaluation": ("records", 3)}
"""Where the records of a kind lie, and how many folders deep."""
_PARSERS: dict[Kind, Callable[[bytes], AnyRecord]] = {
    "pretraining": PretrainingRecord.model_validate_json,
    "evaluation": EvaluationRecord.model_validate_json,
}


class Store:
    """Plans in ``cells/``, evaluations in ``records/``, backbones with their own records in ``pretrained/``.

    ``checkpoints/`` holds the state of cells that have not ended, ``leases/`` who works on them, ``logs/`` what they
    print in a process of their own and write for TensorBoard, ``examples/`` what the report's pictures show of them.
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

    def check_room(self) -> None:
        """Raise OSError, before a cell is computed, where there is no room for its record."""
        if shutil.disk_usage(self.folder).free < RECORD_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def plan(self, cell: Cell) -> None:
        """Write the cell's plan, from which ``ssl-bench cell KEY`` runs it."""
        path = self._plan_path(cell.key)
        content = cell.model_dump_json(indent=1).encode()
        if not path.exists() or path.read_bytes() != content:
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)

    def plans(self) -> Iterator[Cell]:
        """Every planned cell whose plan reads."""
        for path in sorted((self.folder / "cells").glob("*.json")):
            with contextlib.suppress(UserError):
                yield self.load_plan(path.stem)

    def load_plan(self, key: str) -> Cell:
        """The planned cell called `key`. Raises UserError if there is none or its plan does not read."""
        if not CELL_KEY.fullmatch(key):
            raise UserError(
                f"cell {key!r}: a key is 16 hexadecimal digits; see the file names in {self.folder / 'cells'}"
            )
        path = self._plan_path(key)
        if not path.exists():
            raise UserError(f"cell {key}: no plan in {path.parent}; plan it with ssl-bench run or ssl-bench matrix")
        try:
            cell = Cell.model_validate_json(path.read_text("utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            set_aside(path, "plan", "its cell has to be planned again")
            raise UserError(f"cell {key}: its plan did not read; plan it again with ssl-bench run or matrix") from error
        if cell.key != key:
            raise UserError(f"{path}: holds the plan of cell {cell.key}; delete it and plan the cell again")
        return cell

    def find_plan(self, key: str) -> Cell | None:
        """The planned cell called `key`; None where there is no plan, or one that does not read, which stays there."""
        with contextlib.suppress(OSError, ValueError):
            cell = Cell.model_validate_json(self._plan_path(key).read_bytes())
            return cell if cell.key == key else None
        return None

    def record(self, cell: Cell) -> AnyRecord | None:
        """The cell's success, or None; a pre-training without snapshots that `cell` asks for has none yet."""
        path = self.record_path(cell)
        found = _read(path, _PARSERS[cell.kind]) if path.exists() else None
        lacks = found is not None and not has_snapshots(found, cell.snapshots, self.snapshots_folder(cell.key))
        return None if lacks else found

    def has_succeeded(self, cell: Cell) -> bool:
        """Whether there is a record of the cell's success; quicker than reading it."""
        return self.record_path(cell).exists()

    def last_failure(self, cell: Cell) -> AnyRecord | None:
        """The latest failed attempt at the cell."""
        path = self.record_path(cell)
        latest = sorted(path.parent.glob(f"{path.stem}.failed-*.json"), key=lambda file: file.stat().st_mtime)
        return _read(latest[-1], _PARSERS[cell.kind]) if latest else None

    def has_failed(self, cell: Cell) -> bool:
        """Whether an attempt at the cell failed and none succeeded."""
        path = self.record_path(cell)
        return not path.exists() and any(path.parent.glob(f"{path.stem}.failed-*.json"))

    def publish(
        self,
        cell: Cell,
        record: AnyRecord,
        replace: bool = False,
        weights: Path | None = None,
        examples: Path | None = None,
    ) -> bool:
        """Keep `record`, and what its attempt wrote besides; True unless there was a success before.

        The first success of a cell wins unless `replace`; a failure takes a name of its own. What lies beside a record
        always belongs to it, wherever this is interrupted: examples of an earlier success are removed before the record
        is written, and the `weights` of a pre-training and the `examples` take their places after it, so that an
        attempt that comes too late touches neither. Raises OSError.
        """
        path, text = self.record_path(cell), record.model_dump_json(indent=1) + "\n"
        if record.status == "failed":
            return publish_first(path.with_name(f"{path.stem}.failed-{uuid.uuid4().hex[:8]}.json"), text)
        # A cell lacks pictures without examples, nothing else.
        if replace or not path.exists():
            with contextlib.suppress(OSError):
                self.examples_path(cell.key).unlink(missing_ok=True)
        if replace:
            with atomic_write(path) as temporary:
                temporary.write_text(text, "utf-8")
        elif not publish_first(path, text):
            return False
        if weights is not None and record.kind == "pretraining":
            weights.replace(self.backbone_path(cell.key))
        if examples is not None:
            with contextlib.suppress(OSError):
                examples.replace(self.examples_path(cell.key))
        return True

    def is_whole(self, record: AnyRecord) -> bool:
        """Whether the weights are there that a pre-training's `record` speaks of; a file of others is set aside."""
        if record.kind == "evaluation":
            return True
        path = self.backbone_path(record.key)
        try:
            found = tensors_digest(path)
        except FileNotFoundError:
            return False
        except ValueError:
            found = None
        if found and record.backbone_sha256 in (found, ""):
            return True
        set_aside(path, "weights", "its pre-training will run again")
        return False

    def clear_remains(self, cell: Cell) -> None:
        """Remove what killed attempts at the cell were writing; call it only while holding its lease."""
        for path in (
            self.checkpoint_path(cell.key),
            self.record_path(cell),
            self.backbone_path(cell.key),
            self.examples_path(cell.key),
            matching_file(self.backbone_path(cell.key).parent),
            *(snapshot_file(self.snapshots_folder(cell.key), step) for step in cell.snapshots),
        ):
            clear_temporaries(path)

    def backbone_path(self, key: str) -> Path:
        """Where the pre-training called `key` keeps its weights."""
        return self.folder / "pretrained" / key / "backbone.safetensors"

    def snapshots_folder(self, key: str) -> Path:
        """Where the pre-training called `key` keeps its snapshots."""
        return self.folder / "pretrained" / key / "snapshots"

    def attempt_weights_path(self, key: str) -> Path:
        """Where one attempt at the pre-training called `key` writes weights that are not published yet."""
        return _of_one_attempt(self.backbone_path(key))

    def checkpoint_path(self, key: str) -> Path:
        """Where the cell called `key` keeps its state while it runs."""
        return self.folder / "checkpoints" / f"{key}.pt"

    def examples_path(self, key: str) -> Path:
        """Where the cell called `key` keeps examples for the report's pictures."""
        return self.folder / "examples" / f"{key}.npz"

    def attempt_examples_path(self, key: str) -> Path:
        """Where one attempt at the cell called `key` writes examples that are not published yet."""
        return _of_one_attempt(self.examples_path(key))

    def lease_path(self, key: str) -> Path:
        """Where the process that works on the cell called `key` keeps its lease."""
        return self.folder / "leases" / f"{key}.json"

    def log_path(self, key: str) -> Path:
        """Where a process that works on the cell called `key` prints."""
        return self.folder / "logs" / f"{key}.log"

    def events_path(self, cell: Cell) -> Path:
        """The folder into which the cell writes its numbers as they come."""
        return self.folder.joinpath("logs", "tensorboard", *_names(cell), cell.key)

    def records(self) -> Iterator[AnyRecord]:
        """Every success in the store, pre-trainings first, in the order of their paths."""
        yield from self.pretrainings()
        yield from self.evaluations()

    def pretrainings(self) -> Iterator[PretrainingRecord]:
        """Every pre-training that succeeded, in the order of their paths."""
        return self.read("pretraining", PretrainingRecord.model_validate_json)

    def evaluations(self) -> Iterator[EvaluationRecord]:
        """Every evaluation that succeeded, in the order of their paths."""
        return self.read("evaluation", EvaluationRecord.model_validate_json)

    def read(self, kind: Kind, parse: Callable[[bytes], Parsed | None]) -> Iterator[Parsed]:
        """What `parse` makes of the JSON of every success of that kind, in the order of their paths; no None.

        A record for which `parse` raises ValueError is set aside as ``.corrupt`` with a warning.
        """
        folder, depth = _FOLDERS[kind]
        for path in _json_files(self.folder / folder, depth):
            name = path.rpartition(os.sep)[2]
            if name == "record.json" if kind == "pretraining" else ".failed-" not in name:
                parsed = _read(path, parse)
                if parsed is not None:
                    yield parsed

    def keys(self, prefix: str) -> list[str]:
        """The keys of all plans and successes that begin with `prefix`, hexadecimal digits, sorted."""
        patterns = (f"cells/{prefix}*.json", f"pretrained/{prefix}*/record.json", f"records/*/*/*/{prefix}*.json")
        found = [
            path.parent.name if path.name == "record.json" else path.stem
            for pattern in patterns
            for path in self.folder.glob(pattern)
        ]
        return sorted({key for key in found if CELL_KEY.fullmatch(key)})

    def find_record(self, key: str) -> AnyRecord | None:
        """The success called `key`, whether or not it was planned here."""
        path = self.folder / "pretrained" / key / "record.json"
        if path.exists():
            return _read(path, PretrainingRecord.model_validate_json)
        found = sorted(self.folder.glob(f"records/*/*/*/{key}.json"))
        return _read(found[0], EvaluationRecord.model_validate_json) if found else None

    def failures(self) -> Iterator[AnyRecord]:
        """Every failed attempt whose cell has no success."""
        for kind, (folder, depth) in _FOLDERS.items():
            for path in _json_files(self.folder / folder, depth):
                success, failed, _ = path.rpartition(".failed-")
                if failed and not os.path.exists(f"{success}.json"):  # noqa: PTH110 - a hundred thousand paths
                    record = _read(path, _PARSERS[kind])
                    if record is not None:
                        yield record

    def _plan_path(self, key: str) -> Path:
        return self.folder / "cells" / f"{key}.json"

    def record_path(self, cell: Cell) -> Path:
        """Where the record of the cell's success lies."""
        if cell.kind == "pretraining":
            return self.folder / "pretrained" / cell.key / "record.json"
        return self.folder.joinpath("records", *_names(cell), f"{cell.key}.json")


def results_folder(option: Path | None) -> Path:
    """``--results``, then ``$SSL_BENCH_RESULTS``, then ``./results``."""
    return option or Path(os.environ.get("SSL_BENCH_RESULTS") or "results")


def _json_files(folder: str | Path, depth: int) -> Iterator[str]:
    """The JSON files that lie `depth` folders below `folder`, in the order of their paths."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if depth:
            yield from _json_files(entry.path, depth - 1)
        elif entry.name.endswith(".json"):
            yield entry.path


def _read(path: str | Path, parse: Callable[[bytes], Parsed]) -> Parsed | None:
    """What `parse` makes of the file at `path`; one that does not read is set aside as ``.corrupt`` with a warning.

    Raises UserError for one of a later schema, which stays where it is.
    """
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a hundred thousand paths
        content = file.read()
    try:
        return parse(content)
    except ValueError:
        path = Path(path)
        _check_schema(path, content)
        aside = path.with_name(f"{path.name}.corrupt")
        try:
            path.replace(aside)
            print(f"warning: {path} does not read; set aside as {aside.name}, its cell will run again", file=sys.stderr)  # noqa: T201
        except OSError:
            print(f"warning: {path} does not read and is ignored", file=sys.stderr)  # noqa: T201
        return None


def _check_schema(path: Path, content: bytes) -> None:
    """Raise UserError if `content`, which does not read, is the record of a later version of ssl-bench."""
    try:
        schema = json.loads(content)["schema_version"]
    except (ValueError, LookupError, TypeError):
        return
    if isinstance(schema, int) and schema > SCHEMA:
        raise UserError(
            f"{path}: a record of schema {schema}, and this version knows {SCHEMA}; update ssl-bench, or name another "
            "folder of results"
        )


def _names(cell: Cell) -> list[str]:
    """Method, task and protocol of an evaluation, method and ``pretraining`` of a pre-training, as folders."""
    if cell.kind == "pretraining":
        return [_file_name(cell.pretraining_spec.method), "pretraining"]
    return [_file_name(name) for name in (cell.evaluation.method, cell.evaluation.task, cell.evaluation.protocol)]


def _of_one_attempt(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")


def _file_name(name: str) -> str:
    """`name` as one path component: nothing in it can leave its folder."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip(".") or "-"
