"""Records: how a cell ended, one immutable JSON document each, schema 1."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

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


class Setting(BaseModel):
    """From what a cell was resolved: cells of one `digest` may stand in one table."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    preset: str
    overrides: list[str]
    digest: str
    ranked: bool


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, validate_by_name=True, serialize_by_alias=True)

    schema_version: int = SCHEMA
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


class EvaluationRecord(_Record):
    """How a cell ended, with the scores of every test case."""

    kind: ClassVar[Literal["evaluation"]] = "evaluation"
    spec: EvaluationSpec = Field(validation_alias="science", serialization_alias="science")
    paradigm: str = "external"
    """The paradigm of the method; ``external`` for weights from a file."""
    scene: Literal["inner", "inter", "unknown", "none"] = "none"
    """Whether the pre-training corpus shows the same anatomy as the task; ``none`` without pre-training."""
    metric: Literal["DSC", "AUC"] = "DSC"
    score: float | None = None
    """The ranked number: mean DSC over cases, or AUC; None where it is undefined."""
    cases: list[dict[str, Any]] = []
    """Per test case: per-class DSC, HD95 (mm) and surface Dice, centreline Dice; or label and probability."""
    policy: str = ""
    """How classes absent from a case are scored. Without `COUNTS_MISSES` in it, HD95 leaves out classes missed."""
    validation_curve: Curve = []
    best_step: int = 0
    learning_rate: float | None = None
    """The one chosen on validation, under a protocol that tries several."""
    converged: bool = False
    """False where the best validation score lies in the last tenth of the steps."""
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


AnyRecord = PretrainingRecord | EvaluationRecord
