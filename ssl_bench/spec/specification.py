"""What a cell is: everything that decides its scores, hashed into its key.

Fields of today have no default, so every key holds them. A field added later, or one that only some cells have, gets a
neutral default and is left out of the hash while it has it: old keys stay as they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from ssl_bench.api.controls import CONTROL_PREFIX, Control
from ssl_bench.api.method_facts import Pretrains
from ssl_bench.api.registry import METHODS
from ssl_bench.api.settings import OptimiserSettings, Settings, SplitCounts
from ssl_bench.spec.contract import InputContract

NUMERICS_VERSION = 2
"""Raised whenever the numbers of code that all cells share may change: kernels, networks, losses, transforms, the order
of windows, training loops. A method, a task and a protocol have versions of their own.

1: records that name none. 2: the faster kernels for processors, windows that are padded and drawn evenly, and all that
was mended before this version was kept.
"""

ScoredOn = Literal["test", "validation"]
"""The cases that give a cell its score; of validation, a trial of ``ssl-bench tune``, which never reads a test case."""

DataOrigin = Literal["embedded", "folder"]
"""Grown from the embedded anatomies, or read from a folder of the user's."""

Part = Literal["", "encoder", "decoder"]
"""A part of a backbone; empty for none."""

Stem = Literal["", "copy", "mean", "new"]
"""How weights enter a backbone for other channels, see `ssl_bench.weights.stem`; empty where they are the same."""


SHARED_NETWORK = "unet3d"
"""The backbone of cells that name none."""


class _Keyed(Settings):
    """A specification with a key of its own, which ten thousand cells ask for again and again."""

    hashed_as: ClassVar[str]
    """The name that begins what is hashed: keys stay the same whatever the class is called."""

    @cached_property
    def key(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of all fields that differ from their defaults."""
        canonical = json.dumps(
            self.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(f"{self.hashed_as}:{canonical}".encode()).hexdigest()[:16]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy as pydantic does, without the cached key, which the change may alter."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("key", None)
        return copied


class CorpusSpec(Settings):
    """The unlabelled volumes of a pre-training."""

    source: DataOrigin = "embedded"
    name: str = ""
    """The name of the embedded corpus; empty for a folder, whose name is not hashed."""
    fingerprint: str
    """Digest of the generator, or of every file's content and how it is preprocessed."""
    detail: float = 0.0
    """Resolution of the embedded corpus; 0 for a folder."""
    recipe: dict[str, Any] = Field(default={})
    """How a folder's scans are preprocessed."""
    volumes: int
    held_out: int
    channels: int = 1
    """Of every volume."""

    @property
    def is_real(self) -> bool:
        """Whether its volumes come from a folder."""
        return self.source == "folder"


class DataSpec(Settings):
    """The labelled cases of a task."""

    source: DataOrigin
    fingerprint: str
    """Digest of the generator, or of every case's files, its identifier, and how its label is read."""
    detail: float = 0.0
    """Resolution of the embedded cohort; 0 for a folder."""
    recipe: dict[str, Any] = Field(default={})
    """How a folder's scans are preprocessed."""
    split: str = ""
    """Digest of which of a folder's cases is in which split."""
    fold: int | None = None
    """Which fold of a folder's split; None for the embedded cohort."""
    counts: SplitCounts
    """Cases in each split; of a folder's training cases, those whose labels are used."""
    label_fraction: float = 1.0
    """The fraction of the training cases whose labels are used."""
    channels: int = 1
    """Of every volume."""

    @property
    def is_real(self) -> bool:
        """Whether its cases come from a folder."""
        return self.source == "folder"

    @property
    def column(self) -> str:
        """What cells must share to stand in one column."""
        if not self.is_real:
            return self.fingerprint if self.label_fraction == 1 else f"{self.fingerprint}@{self.label_fraction:g}"
        # What came later says nothing at its default, so that the columns of old records keep their names.
        later = {"channels"} if self.channels == 1 else set()
        whole = json.dumps(self.model_dump(mode="json", exclude={"detail", *later}), sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()[:16]

    def pooled_column(self, folds: str) -> str:
        """What cells of all folds share that stand in one column; `folds` is the digest of those."""
        shared = self.model_dump(mode="json", include={"fingerprint", "recipe", "label_fraction"})
        return hashlib.sha256(json.dumps([shared, folds], sort_keys=True).encode()).hexdigest()[:16]


class Origin(Settings):
    """How a backbone in a file was pre-trained, as far as the file says so; the defaults are for one that does not."""

    pretrains: Pretrains = "encoder and decoder"
    modality: Literal["", "CT", "MR"] = ""
    """The modality of the corpus; empty where it is not known."""
    region: str = Field(default="", max_length=100)
    """What the corpus shows, in the words of the tasks: heart, lungs or brain; empty where it is not known."""
    trained_on: tuple[str, ...] = ()
    """The data sets that the weights were made with, as their source says; empty where it says nothing."""


class HubFile(Settings):
    """Where on a hub a file of weights lies, for ever: a commit never changes."""

    repository: str
    commit: str
    file: str
    licence: str = ""
    """As the repository's card says; empty where none is stated."""

    def __str__(self) -> str:
        return f"hf:{self.repository}@{self.commit}:{self.file}"


class ExternalBackbone(Settings):
    """Weights that came in a file; it answers the questions that a pre-training's specification answers."""

    is_external: ClassVar[bool] = True
    paradigm: ClassVar[str] = "external"
    corpus: ClassVar[None] = None
    plugin_source: ClassVar[None] = None
    options: ClassVar[Mapping[str, Any]] = {}
    steps: ClassVar[int] = 0
    init: ClassVar[None] = None
    trains_on: ClassVar[None] = None
    """Nothing says which shifts it met."""

    name: str
    sha256: str
    width: int
    """Channels at full resolution."""
    network: str = "unet3d"
    """The backbone's name."""
    network_source: str | None = None
    """SHA-256 of a third-party backbone's file; None for a built-in one."""
    origin: Origin = Origin()
    weights: str = ""
    """Which of several networks in the file it is; empty if none had to be named."""
    channels: int = 1
    """Those of the volumes that it reads."""
    contract: InputContract = InputContract()
    """What the weights expect of volumes."""
    hub: HubFile | None = None
    """Where the file came from; None for one on this machine."""

    @property
    def method(self) -> str:
        """The row it belongs to."""
        return f"external:{self.name}"

    @property
    def given(self) -> ExternalBackbone | None:
        """The weights that came from elsewhere."""
        return self

    @property
    def pretrains(self) -> Pretrains:
        """What of the backbone was pre-trained."""
        return self.origin.pretrains

    @property
    def version(self) -> str:
        """What tells apart rows of one name."""
        # Records of before it was asked for say nothing of the origin, and may stand beside others of the same file.
        origin = "" if self.origin == Origin() else f", {self.origin.pretrains}"
        origin += f", {self.contract}" if self.contract.changes else ""
        return f"file {self.sha256[:6]}{origin}{_backbone_code(self.network_source)}"


class PretrainingSpec(_Keyed):
    """One pre-training. A method that pre-trains nothing has neither corpus nor optimiser, and zero steps."""

    hashed_as = "PretrainingScience"
    kind: ClassVar[Literal["pretraining"]] = "pretraining"
    is_external: ClassVar[bool] = False
    contract: ClassVar[InputContract] = InputContract()

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
    corpus: CorpusSpec | None
    precision: Literal["float32", "bf16"]
    seed: int
    network: str = "unet3d"
    """The backbone's name."""
    network_source: str | None = None
    """SHA-256 of a third-party backbone's file; None for a built-in one."""
    numerics: int = 1
    """`NUMERICS_VERSION` of the code that it was planned with."""
    init: ExternalBackbone | None = None
    """The weights that it starts from; None for the random start of the seed."""

    @property
    def channels(self) -> int:
        """Those of the volumes that it reads."""
        return self.corpus.channels if self.corpus else 1

    @property
    def title(self) -> str:
        """The cell in words."""
        start = f" from {self.init.name}" if self.init else ""
        return f"{on_network(self.method, self.network)} pre-training{start}, seed {self.seed}"

    @property
    def data(self) -> CorpusSpec | None:
        """The volumes that the cell works on."""
        return self.corpus

    @property
    def given(self) -> ExternalBackbone | None:
        """The weights that came from elsewhere; None where the seed drew the start."""
        return self.init

    @property
    def pretrains(self) -> Pretrains:
        """What of the backbone the method pre-trains, or was pre-trained before it started."""
        if self.init and self.init.pretrains == "encoder and decoder":
            return "encoder and decoder"
        return METHODS.load(self.method).facts.pretrains

    @property
    def paradigm(self) -> str:
        """The paradigm of the method."""
        return METHODS.load(self.method).facts.paradigm

    @property
    def trains_on(self) -> tuple[str, ...]:
        """The shifts of whose kind the method's pretext shows the backbone some."""
        return METHODS.load(self.method).facts.trains_on

    @property
    def version(self) -> str:
        """What tells apart rows of one method and options."""
        code = f", code {self.plugin_source[:6]}" if self.plugin_source else ""
        code += f", from {self.init.version}" if self.init else ""
        return f"version {self.method_version}{code}{_backbone_code(self.network_source)}"


class EvaluationSpec(_Keyed):
    """One cell: a backbone, a task, a protocol and a seed."""

    hashed_as = "EvaluationScience"
    kind: ClassVar[Literal["evaluation"]] = "evaluation"

    backbone: PretrainingSpec | ExternalBackbone
    task: str
    data: DataSpec
    protocol: str
    protocol_settings: dict[str, Any]
    protocol_source: str | None = None
    """SHA-256 of a third-party protocol's file; None for a built-in one, whose version counts."""
    crop: int
    overlap: float
    precision: Literal["float32", "bf16"]
    seed: int
    reset: Part = ""
    """The part of the backbone that goes back to the random start of the cell's seed before it is evaluated."""
    stem: Stem = ""
    """How the backbone's weights enter where the task's volumes have another number of channels."""
    numerics: int = 1
    """`NUMERICS_VERSION` of the code that it was planned with."""
    scored_on: ScoredOn = "test"
    shifts: tuple[str, ...] = ()
    """Shifts under which the test cases are scored besides, by their versioned names, in the order of `SHIFTS`."""
    snapshot: int | None = None
    """The step of the pre-training after which the backbone is evaluated; None for its end."""
    control: Control = ""
    """What stands in for the features of the backbone, which is then that of scratch and not read; empty for none."""

    @property
    def method(self) -> str:
        """The method of the row this cell belongs to; of a control, its name."""
        return f"{CONTROL_PREFIX}{self.control}" if self.control else self.backbone.method

    @property
    def paradigm(self) -> str:
        """That of the row this cell belongs to."""
        return "none" if self.control else self.backbone.paradigm

    @property
    def row(self) -> str:
        """The row in words: the method, its network, and what of its backbone is reset or enters by a stem."""
        start = self.backbone.init
        changed = ", ".join(filter(None, [f"from {start.name}" if start else "", changed_title(self.reset, self.stem)]))
        made = on_network(self.method, self.backbone.network)
        return f"{made} ({changed})" if changed else made

    @property
    def title(self) -> str:
        """The cell in words."""
        trial = "" if self.scored_on == "test" else ", trial"
        fold = f", fold {self.data.fold}" if self.data.fold else ""
        step = f", snapshot at step {self.snapshot}" if self.snapshot else ""
        return f"{self.row} {self.task} {self.protocol}{fold}, seed {self.seed}{step}{trial}"


def on_network(method: str, network: str) -> str:
    """The method, and which backbone it is about where that is not the shared one."""
    return method if network == SHARED_NETWORK else f"{method} on {network}"


def changed_title(reset: Part, stem: Stem = "") -> str:
    """What stands in a row's label for a part that is reset and for a stem; empty for neither."""
    return ", ".join(filter(None, [f"reset {reset}" if reset else "", f"stem {stem}" if stem else ""]))


def protocol_title(protocol: str, source: str | None) -> str:
    """The protocol, and which code it is where it is not built in: scores by two codes are not one column."""
    return f"{protocol} ({source[:6]})" if source else protocol


def _backbone_code(source: str | None) -> str:
    return f", backbone code {source[:6]}" if source else ""


CellSpec = EvaluationSpec | PretrainingSpec
