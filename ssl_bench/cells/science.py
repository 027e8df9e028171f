"""The science of a cell: everything that decides its scores, hashed into its key.

Fields of today have no default, so every key holds them. A field added later gets a neutral default and is left out
of the hash while it has it: old keys stay as they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field

from ssl_bench.method_facts import Pretrains
from ssl_bench.settings import OptimiserSettings, Settings, SplitCounts


class _Keyed(Settings):
    """Science with a key of its own, which ten thousand cells ask for again and again."""

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits that stand for it."""
        canonical = json.dumps(
            self.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(f"{type(self).__name__}:{canonical}".encode()).hexdigest()[:16]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, without the key: what was changed has another."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("key", None)
        return copied


class FolderCorpusScience(Settings):
    """The unlabelled scans in a folder of the user's."""

    source: Literal["folder"]
    fingerprint: str
    """Of every file's content and the recipe; a file's name is nobody's business."""
    recipe: dict[str, Any]
    volumes: int
    held_out: int


class CorpusScience(Settings):
    """The embedded unlabelled volumes."""

    name: str
    fingerprint: str
    detail: float
    volumes: int
    held_out: int


class PretrainingScience(_Keyed):
    """One pre-training. A method that pre-trains nothing has neither corpus nor optimiser, and zero steps."""

    method: str
    method_version: int
    plugin_source: str | None
    """SHA-256 of a third-party plugin's file; None for a built-in method, whose declared version counts."""
    options: dict[str, Any]
    width: int
    crop: int
    steps: int
    batch: int
    watch_every: int
    optimiser: OptimiserSettings | None
    corpus: CorpusScience | FolderCorpusScience | None
    precision: Literal["float32", "bf16"]
    seed: int


class Origin(Settings):
    """How a backbone in a file was pre-trained, as far as the file says so; the defaults are for one that does not."""

    pretrains: Pretrains = "encoder and decoder"
    modality: Literal["", "CT", "MR"] = ""
    """Of the corpus; empty where it is not known."""
    region: str = Field(default="", max_length=100)
    """What the corpus shows, in the words of the tasks: heart, lungs or brain; empty where it is not known."""


class ExternalBackbone(Settings):
    """Weights that came in a file."""

    name: str
    sha256: str
    width: int
    """Channels at full resolution."""
    network: Literal["unet3d", "models_genesis"] = "unet3d"
    origin: Origin = Origin()


class DataScience(Settings):
    """The labelled cases of a task's embedded cohort."""

    source: Literal["embedded"]
    fingerprint: str
    detail: float
    counts: SplitCounts
    label_fraction: float = 1.0
    """Of the training cases."""

    @property
    def column(self) -> str:
        """What cells must share to stand in one column."""
        return self.fingerprint if self.label_fraction == 1 else f"{self.fingerprint}@{self.label_fraction:g}"


class FolderDataScience(Settings):
    """The labelled cases of a data set in a folder of the user's."""

    source: Literal["folder"]
    fingerprint: str
    """Of every case's files, its identifier, and how its label is read."""
    recipe: dict[str, Any]
    split: str
    """Digest of which case is in which split."""
    fold: int
    counts: SplitCounts
    """Cases in each split; of the training cases, those whose labels are used."""
    label_fraction: float = 1.0

    @property
    def column(self) -> str:
        """What cells must share to stand in one column."""
        whole = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()[:16]


class EvaluationScience(_Keyed):
    """One cell: a backbone, a task, a protocol and a seed."""

    backbone: PretrainingScience | ExternalBackbone
    task: str
    data: DataScience | FolderDataScience
    protocol: str
    protocol_settings: dict[str, Any]
    crop: int
    overlap: float
    precision: Literal["float32", "bf16"]
    seed: int

    @property
    def method(self) -> str:
        """The row this cell belongs to."""
        if isinstance(self.backbone, PretrainingScience):
            return self.backbone.method
        return f"external:{self.backbone.name}"
