"""Records: how a cell ended, one immutable JSON document each, schema 1."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ssl_bench.api.metric import MetricName
from ssl_bench.spec.collapse import CollapsedStage, collapsed_stages
from ssl_bench.spec.folds import CrossValidation
from ssl_bench.spec.specification import CorpusSpec, DataSpec, EvaluationSpec, PretrainingSpec


def _undefined_for_null(value: Any) -> Any:
    if isinstance(value, list):
        return [_undefined_for_null(entry) for entry in value]
    if isinstance(value, dict):
        return {name: math.nan if number is None else number for name, number in value.items()}
    return value


Curve = Annotated[list[dict[str, float]], BeforeValidator(_undefined_for_null)]
"""Numbers by name at some steps. JSON has no NaN: an undefined number is null there."""
Numbers = Annotated[dict[str, float], BeforeValidator(_undefined_for_null)]

SCHEMA = 1
TRACEBACK_CHARACTERS = 16_000
"""The innermost calls and the error stand at the end of a traceback."""
SEMI_REAL = "semi-real (1 anatomy)"
"""What data grown from the embedded anatomies are called."""


def kind_of_data(spec: CorpusSpec | DataSpec | None) -> str:
    """``real`` for volumes out of a folder, else `SEMI_REAL`."""
    return "real" if spec is not None and spec.is_real else SEMI_REAL


def has_converged(best_step: int, steps: int) -> bool:
    """Whether the best validation score lies before the last tenth of a training's steps."""
    return best_step <= 0.9 * steps


class TunedOn(BaseModel):
    """What the options of a row were chosen by, before it was compared: see `TuningSettings`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    overrides: tuple[str, ...] = ()
    """Changes to the preset under which they were chosen."""
    protocol: str
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    configurations: int
    trials: str
    """A digest of the row's trials."""


class Setting(BaseModel):
    """From what a cell was resolved: cells of one `digest` may stand in one table."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    preset: str
    overrides: list[str]
    digest: str
    ranked: bool
    tuned_on: TunedOn | None = None
    """None where the row was not tuned, or where its tuned options were changed again."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, validate_by_name=True, serialize_by_alias=True)

    schema_version: int = Field(default=SCHEMA, le=SCHEMA)
    key: str
    status: Literal["ok", "failed"]
    reason: str | None = None
    """Why a failed cell failed: the error's last line."""
    traceback: str = ""
    """Where in the code a failed cell failed: the last `TRACEBACK_CHARACTERS` of Python's traceback."""
    setting: Setting
    data: str
    """``real``, or `SEMI_REAL`."""
    cost: Numbers = {}
    provenance: dict[str, Any]


class Snapshot(BaseModel):
    """A backbone that was kept in the midst of its pre-training."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    step: int
    """Updates made before."""
    sha256: str
    """Of the bytes of its tensors."""
    stage_ranks: Numbers = {}
    """The effective rank of its stages, as in `PretrainingRecord.stage_ranks`."""


class PretrainingRecord(_Record):
    """How a pre-training ended."""

    kind: ClassVar[Literal["pretraining"]] = "pretraining"
    spec: PretrainingSpec = Field(validation_alias="science", serialization_alias="science")
    volumes_seen: int = 0
    loss_curve: list[float] = []
    """Training loss of every step."""
    held_out_curve: Curve = []
    """Pretext losses on the fixed held-out volumes; ``step`` counts the updates made before."""
    backbone_sha256: str = ""
    """SHA-256 of the bytes of the backbone's tensors; empty in records made before it was kept."""
    health: Numbers = {}
    stage_ranks: Curve = []
    """The effective rank of every stage of the backbone, by `ssl_bench.training.collapse.channel_rank`, on fixed
    volumes, outside the corpus where there are any; ``step`` counts the updates made before. Empty in older records."""
    trained_stages: dict[str, int] = {}
    """Channels of the stages that the method pre-trains, in the order in which volumes pass them."""
    snapshots: list[Snapshot] = []
    """Those that were asked for, by their steps; empty in older records."""

    @property
    def collapsed(self) -> list[CollapsedStage]:
        """The pre-trained stages that have collapsed, as `collapsed_stages` judges them."""
        return collapsed_stages(self.stage_ranks, self.trained_stages)


class ModuleReport(BaseModel):
    """What happened to each part of the network."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    pretrained: list[str]
    """Modules whose weights come from pre-training."""
    random: list[str]
    """Modules whose weights come from the seed alone."""
    frozen: list[str]
    """Modules that the protocol does not train."""
    decoder: str
    """The decoder in words: pre-trained or random, frozen or trained, or unused."""
    tensors_matched: int
    tensors_missing: int
    tensors_left_over: int


COUNTS_MISSES = "HD95 version 2"
"""What the policy of a segmentation record says since HD95 counts classes that are missed, or found where none are.

Version 1 left them out (null), so that whoever missed most came nearest.
"""


class ShiftedScores(BaseModel):
    """What a cell scores on its test cases under one grade of one shift, with the network that it has."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    shift: str
    """Its versioned name."""
    grade: int
    strength: float
    """In the unit of the shift, see `ssl_bench.api.shift.SHIFTS`."""
    score: float | None
    """As the record's own."""
    cases: list[dict[str, Any]]
    """Per test case, or pair, in the order of the record's own: what the score is made of, classes taken together."""


class EvaluationRecord(_Record):
    """How a cell ended, with the scores of every test case."""

    kind: ClassVar[Literal["evaluation"]] = "evaluation"
    spec: EvaluationSpec = Field(validation_alias="science", serialization_alias="science")
    paradigm: str = "external"
    """The paradigm of the method; ``external`` for weights from a file."""
    scene: Literal["inner", "inter", "unknown", "none"] = "none"
    """Whether the pre-training corpus shows the same anatomy as the task; ``none`` without pre-training."""
    metric: MetricName = "DSC"
    score: float | None = None
    """The ranked number: the mean DSC over test cases, the AUC, the macro AUC or the mean absolute error; None where it
    is undefined. Of a trial, the best on validation cases."""
    beside: Numbers = {}
    """What is shown beside it, by the names of `METRICS`; empty for kinds of tasks with nothing more."""
    cases: list[dict[str, Any]] = []
    """Per test case: per-class DSC, HD95 (mm) and surface Dice, centreline Dice; or label and probability, or
    probabilities of all classes, or prediction. A trial has none. Where another test case is of the same subject,
    ``subject`` is the first of them."""
    policy: str = ""
    """How classes absent from a case are scored. Without `COUNTS_MISSES` in it, HD95 leaves out classes missed."""
    validation_curve: Curve = []
    best_step: int = 0
    steps_made: int = 0
    """Updates of all trainings of the cell, the losing learning rates' too; 0 in records made before it was kept."""
    learning_rate: float | None = None
    """The one chosen on validation, under a protocol that tries several."""
    learning_rate_interior: bool | None = None
    """Whether a lower and a higher rate were tried too; None where one alone was, or before it was kept."""
    converged: bool = False
    """Whether validation had stopped to gain before the budget was spent; under a protocol with a fixed number of
    steps, whether the best validation score lies before their last tenth."""
    never_predicted: list[str] | None = None
    """Structures that some test case holds and that are predicted in none, or classes that some test case is of and no
    test case is taken for; None before it was kept."""
    shifted: list[ShiftedScores] = []
    """By shift and grade, where the specification asks for shifts."""
    trained_on_shifts: list[str] | None = None
    """The names of the shifts of whose kind the pretext shows the backbone some; None where that is not known, and in
    records without shifts."""
    volumes_seen_in_pretraining: int = 0
    modules: ModuleReport | None = None
    licence: str = ""
    """The licence of weights from a file; empty for weights made here."""
    health: Numbers = {}
    cases_digest: str = ""
    overlap: list[str] = []
    """Validation and test cases that the pre-training corpus holds too, or another scan of the same patient, which the
    user allowed."""
    left_out: list[str] = []
    """What the user's data set holds and could not be used, by file, with the reason."""
    split_by: Literal["", "patient", "case"] = ""
    """By what the user's data set is split: ``case`` where nothing says who was scanned; empty for the embedded cohort,
    and in records made before it was kept."""
    cross_validation: CrossValidation | None = None
    """The folds of which the cell's is one; None for the only fold, and in records made before it was kept."""


AnyRecord = PretrainingRecord | EvaluationRecord
