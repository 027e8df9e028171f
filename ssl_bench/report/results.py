"""A store's records as data frames, from which every report is made and a researcher goes on."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ssl_bench.api.controls import CONTROL_PREFIX
from ssl_bench.errors import UserError
from ssl_bench.report.columns import Columns, case_columns, one_against_the_rest
from ssl_bench.report.parsing import ParsedRecord, parser_of
from ssl_bench.report.record_lines import (
    BESIDE,
    CELL_COLUMNS,
    PRETRAINING_COLUMNS,
    backbone_part,
    evaluation_line,
    paradigm_of,
    pretraining_line,
    subjects_of,
    trained_on,
)
from ssl_bench.report.row_options import row_options
from ssl_bench.report.shifted_lines import Shifted, ShiftedLines
from ssl_bench.report.snapshot_lines import SNAPSHOTS
from ssl_bench.spec.specification import changed_title
from ssl_bench.store.store import Store

CSV_COLUMNS = (
    "preset", "overrides", "setting", "ranked", "data", "paradigm", "method", "options", "row", "task",
    "label_fraction", "split", "fold", "overlap", "scene", "protocol",
    "licence", "trained_on", "seed", "metric", "better", "score", *BESIDE.values(), "cases", "never_predicted",
    "best_step", "steps_made", "converged",
    "learning_rate", "decoder", "shifts", "wall_seconds", "peak_process_mib", "precision", "device", "key",
)  # fmt: skip
_PUBLIC = (*CSV_COLUMNS, "device_seconds", "feature_std", "effective_rank", "network", "commit", "cohort",
           "cases_digest", "corpus", "pretraining", "reset", "subjects", "folds")  # fmt: skip
TYPES: dict[str, type] = {
    **dict.fromkeys(("ranked", "converged", "_trains_everything"), bool),
    **dict.fromkeys(("fold", "overlap", "seed", "cases", "best_step", "steps_made", "volumes_seen", "subjects",
                     "folds", "snapshot"), int),
    **dict.fromkeys(
        ("label_fraction", "score", "wall_seconds", "device_seconds", "peak_process_mib", "feature_std",
         "effective_rank", "loss_first", "loss_last", "never_predicted", "learning_rate", *BESIDE.values()), float,
    ),
}  # fmt: skip
"""The types of the columns that are not text."""
_MEASURES = {"dsc": "dsc_per_class", "hd95_mm": "hd95_mm_per_class", "surface_dice": "surface_dice_per_class"}
"""What is measured of a class in a test case, with its name in a record."""
_OF_CASES = {
    "DSC": ("dsc",),
    "AUC": ("probability", "label"),
    "macro AUC": ("probability", "label"),
    "MAE": ("prediction", "label"),
    "match error": ("error_mm",),
    "mAP": ("average_precision",),
}
"""What a record holds of a test case, by its metric."""


class Results(NamedTuple):
    """The successes of a results folder. Every score is a fraction, an undefined one NaN.

    A frame's ``key`` names the cell: the 16 digits that ``ssl-bench reproduce`` takes.
    """

    cells: pd.DataFrame
    """One line an evaluation, as in ``report --format csv``: what it is (``preset``, ``overrides``, ``setting``,
    ``ranked``, ``data``, ``paradigm``, ``method``, ``options``, ``row``, ``task``, ``label_fraction``, ``split``,
    ``fold``, ``protocol``, ``seed``, ``precision``), how it ended (``metric``, and which is ``better``, higher
    or lower; ``score``: the mean over test cases; ``accuracy``, ``balanced_accuracy``, ``pearson_r`` and ``r_squared``
    beside it, and what measurements show, NaN where they are not of the kind of task or protocol; ``cases``,
    ``best_step``, ``converged``;
    ``never_predicted``: structures or classes of the test cases that are predicted in none, NaN where a record does
    not say; ``steps_made`` by all trainings of the cell, 0 where it does not say; ``learning_rate``, if several were
    tried) and what it took (``wall_seconds``, ``peak_process_mib``).
    ``row`` is the label in the tables. Besides: ``device_seconds``; ``feature_std`` and ``effective_rank`` of pooled
    features before downstream training; ``cohort`` and ``corpus``: digests of the labelled and the unlabelled data;
    ``cases_digest``: that of the voxels and labels which the cell met, empty in old records; ``reset``: the part of the
    backbone that was at its random start, ``encoder`` or ``decoder``, empty for none, and a part of ``options``;
    ``trained_on``: whether weights from elsewhere were made with the task's data set, as their source says: ``yes``,
    ``no`` or ``unknown``, empty for weights made here;
    ``shifts`` under which its test cases were scored besides, empty for none: with and without, a cell has two lines;
    ``subjects`` of its test cases, as far as known; ``folds`` that its own pools with, 1 for none but itself;
    ``pretraining``: the key in `pretrainings`, empty without one."""
    pretrainings: pd.DataFrame
    """One line a pre-training; ``loss_first`` and ``loss_last`` are means over its first 5 and last 20 steps,
    ``collapsed`` names the stages of the backbone that it left collapsed, empty for none."""
    cases: pd.DataFrame
    """One line a test case of an evaluation: ``key``, ``case``, ``subject`` (called as its first case), ``dsc``; or
    ``probability`` and ``label`` (0 or 1); or ``prediction`` and ``label`` in the target's unit; or
    ``average_precision``. A line about a pair of cases has both as ``subject`` and ``partner``, and ``error_mm``. Of
    several classes, one line a case and ``class``: its ``probability``, and 1 as ``label`` where the case is of it."""
    classes: pd.DataFrame
    """One line a structure of a test case: ``key``, ``case``, ``structure``, ``dsc``, ``hd95_mm`` (millimetres) and
    ``surface_dice``. A structure missed, or found where there is none, has the volume's diagonal as ``hd95_mm``; NaN in
    records made before that was so, and where there is nothing to find."""
    curves: pd.DataFrame
    """One line a value of a curve: ``key``, ``curve``, ``step`` (updates made before), ``value``. An evaluation has
    ``validation score`` and ``validation loss``, a pre-training ``training loss``, ``held-out`` losses by name and
    ``rank of`` every stage of the backbone, over voxels: step 0 is the random start."""
    shifted: pd.DataFrame
    """One line a test case of a cell under a grade of a shift: ``key``, ``shift``, ``grade``, ``strength``, and what
    `cases` has; grade 0, without a name, is the case as it is."""
    snapshots: pd.DataFrame
    """One line an evaluation of a snapshot of a pre-training, which is no line of `cells`: ``setting``, ``data``,
    ``pretraining`` (its key), ``options``, ``task``, ``protocol``, ``cohort``, ``fold``, ``seed``, ``snapshot`` (the
    step), ``score`` and ``key``. The cell of the end agrees with it in the first nine."""


def load_results(folder: str | Path) -> Results:
    """The successes of a results folder as data frames.

    Example: ``ssl_bench.load_results("results").cells.groupby(["method", "task"]).score.mean()``

    Records that do not read are set aside as ``.corrupt`` with a warning. Raises UserError if there is no such folder.
    """
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder; name one that ssl-bench run has filled")
    found = read_results(Store(Path(folder)), details=True)
    curves = [_by_key(found.curves, found.cells), _by_key(found.pretraining_curves, found.pretrainings)]
    return Results(
        found.cells[list(_PUBLIC)],
        found.pretrainings[list(PRETRAINING_COLUMNS)],
        _by_key(found.cases, found.cells),
        _by_key(found.classes, found.cells),
        pd.concat(curves, ignore_index=True),
        _by_key(found.shifted.whole(), found.cells),
        found.snapshots,
    )


class StoreFrames(NamedTuple):
    """The frames that reports are made of: those of `Results`, with what a report shows besides.

    Frames of parts of a cell say in ``cell`` at which line of `cells`, or of `pretrainings`, it stands. Columns that
    begin with an underscore hold objects: the setting, the specifications and lists of the records.
    """

    cells: pd.DataFrame
    pretrainings: pd.DataFrame
    cases: pd.DataFrame
    classes: pd.DataFrame
    curves: pd.DataFrame
    pretraining_curves: pd.DataFrame
    snapshots: pd.DataFrame
    """One line an evaluation of a snapshot: what it shares with that of the end, see `SNAPSHOTS`, step and score."""
    shifted: Shifted


def read_results(store: Store, details: bool = False) -> StoreFrames:
    """The successes of `store` as frames; `classes` and both frames of curves are empty unless `details`."""
    with no_collection():
        reader = _Reader(details)
        pretrainings = list(store.read("pretraining", parser_of(reader.pretraining)))
        cells = _frame(list(store.read("evaluation", parser_of(reader.evaluation))), CELL_COLUMNS)
        cells["_options"] = pd.Series(row_options(cells), dtype=object)
        labels = [
            f"{method} ({said})" if said else method
            for method, said in zip(cells["method"], cells["_options"], strict=True)
        ]
        cells["row"] = pd.Series(labels, dtype=object)
        return StoreFrames(
            cells,
            _frame(pretrainings, (*PRETRAINING_COLUMNS, "_held_out", "_collapsed", "_trajectory")),
            reader.cases.frame(),
            reader.classes.frame(),
            reader.curves.frame(),
            reader.pretraining_curves.frame(),
            _frame(reader.snapshots, SNAPSHOTS),
            reader.shifted.frames(),
        )


class _Reader:
    """Takes records apart: a line of `StoreFrames` each, and lines for their cases, classes and curves."""

    def __init__(self, details: bool) -> None:
        self._details = details
        self._evaluations = self._pretrainings = 0
        self._told: dict[int, tuple[Any, ...]] = {}
        self.cases = case_columns()
        self.classes = Columns(list(_MEASURES), ["case", "structure"])
        self.curves = Columns(["step", "value"], ["curve"])
        self.pretraining_curves = Columns(["step", "value"], ["curve"])
        self.snapshots: list[tuple[Any, ...]] = []
        self.shifted = ShiftedLines(_add_cases)

    def evaluation(self, record: ParsedRecord) -> tuple[Any, ...] | None:
        """The line of an evaluation, None for a trial of tuning, or for one of a snapshot, whose lines stand apart.

        Everything is parsed before anything is kept.
        """
        if record.is_trial:
            return None
        backbone, data, downstream, fields = record.evaluation()
        cases, place = record.cases(), self._evaluations
        told = self._told.get(id(backbone))
        if told is None:
            told = self._told[id(backbone)] = backbone_part(backbone)
        options = ", ".join(filter(None, [told[1], changed_title(fields.get("reset", ""), fields.get("stem", ""))]))
        line = (
            *evaluation_line(record, data, fields, paradigm_of(fields, backbone), cases),
            downstream,
            backbone,
            f"{CONTROL_PREFIX}{control}" if (control := fields.get("control")) else told[0],
            options,
            *told[2:],
            trained_on(backbone, fields["task"], data),
        )
        if fields.get("snapshot"):
            said = dict(zip(CELL_COLUMNS, line, strict=True)) | {"snapshot": fields["snapshot"]}
            self.snapshots.append(tuple(said[name] for name in SNAPSHOTS))
            return None
        self._evaluations += 1
        metric = fields.get("metric", "DSC")
        _add_cases(self.cases, place, metric, cases)
        self.shifted.add(place, metric, cases, fields.get("shifted", ()))
        if self._details:
            for case in cases:
                self._add_classes(place, case)
            _add_curves(self.curves, place, "validation", fields.get("validation_curve", ()))
        return line

    def pretraining(self, record: ParsedRecord) -> tuple[Any, ...]:
        """The line of a pre-training."""
        fields = record.pretraining_fields()
        line, place = pretraining_line(record, fields), self._pretrainings
        self._pretrainings += 1
        if self._details:
            losses = [{"step": step, "loss": loss} for step, loss in enumerate(fields.get("loss_curve", ()), 1)]
            _add_curves(self.pretraining_curves, place, "training", losses)
            _add_curves(self.pretraining_curves, place, "held-out", fields.get("held_out_curve", ()))
            _add_curves(self.pretraining_curves, place, "rank of", fields.get("stage_ranks", ()))
        return line

    def _add_classes(self, place: int, case: Mapping[str, Any]) -> None:
        measures = {name: case.get(key) for name, key in _MEASURES.items()}
        known = {name: found for name, found in measures.items() if isinstance(found, dict)}
        structures = list(dict.fromkeys(structure for found in known.values() for structure in found))
        texts = {"case": [str(case.get("case"))] * len(structures), "structure": structures}
        self.classes.add(
            place, texts, {name: [known.get(name, {}).get(one) for one in structures] for name in _MEASURES}
        )


def _add_cases(columns: Columns, place: int, metric: str, cases: Sequence[Mapping[str, Any]]) -> None:
    lines = one_against_the_rest(cases) if metric == "macro AUC" else cases
    names, classes = [str(line.get("case")) for line in lines], [str(line.get("class", "")) for line in lines]
    partners = [str(line.get("partner", "")) for line in lines]
    columns.add(
        place,
        {"case": names, "subject": subjects_of(lines), "partner": partners, "class": classes},
        {name: [line.get(name) for line in lines] for name in _OF_CASES[metric]},
    )


def _add_curves(columns: Columns, place: int, what: str, points: Sequence[Mapping[str, float | None]]) -> None:
    for name in dict.fromkeys(name for point in points for name in point if name != "step"):
        here = [point for point in points if name in point and "step" in point]
        values = {quantity: [point[key] for point in here] for quantity, key in (("step", "step"), ("value", name))}
        columns.add(place, {"curve": [f"{what} {name}"] * len(here)}, values)


def _frame(lines: Sequence[tuple[Any, ...]], names: Sequence[str]) -> pd.DataFrame:
    columns = zip(*lines, strict=True) if lines else [()] * len(names)
    return pd.DataFrame(
        {name: pd.Series(column, dtype=TYPES.get(name, object)) for name, column in zip(names, columns, strict=True)}
    )


def _by_key(frame: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """`frame` with the cells' keys in the place of their lines."""
    named = frame.drop(columns="cell")
    named.insert(0, "key", cells["key"].to_numpy()[frame["cell"].to_numpy()])
    return named


@contextmanager
def no_collection() -> Iterator[None]:
    """No search for cyclic garbage: among records there is none, and looking takes as long as the work. A decorator."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
