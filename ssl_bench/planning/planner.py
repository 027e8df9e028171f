"""Planning: from names and settings to cells with resolved specifications."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ssl_bench.api.controls import CONTROL_ROWS, Control
from ssl_bench.api.method_facts import PRETRAINING_OPTIONS
from ssl_bench.api.registry import BACKBONES, METHODS, PROTOCOLS, TASKS, plugin_files, resolve_protocol
from ssl_bench.api.settings import Preset, nested, validated
from ssl_bench.data.sources import DataSources
from ssl_bench.errors import UserError
from ssl_bench.planning.pairs import check_pair
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.locations import Locations
from ssl_bench.spec.record import Setting, TunedOn
from ssl_bench.spec.specification import (
    NUMERICS_VERSION,
    CorpusSpec,
    EvaluationSpec,
    ExternalBackbone,
    Part,
    PretrainingSpec,
    ScoredOn,
    Stem,
)
from ssl_bench.weights.stem import wrong_stem

if TYPE_CHECKING:
    from ssl_bench.api.method import MethodConfig


UNTRAINED = "scratch"
"""The row that needs no pre-training."""


class Planner:
    """Resolves cells under one preset and one precision."""

    def __init__(
        self,
        preset: Preset,
        overrides: Sequence[str],
        precision: Literal["float32", "bf16"],
        data: DataSources | None = None,
        stem: Stem = "",
        init: tuple[Path, ExternalBackbone] | None = None,
    ) -> None:
        """`data` are the volumes; real ones are prepared before their cells can be planned.

        `init` are the weights that every pre-training starts from; None for the random start of its seed.

        `stem` says how weights enter where the volumes of a task have another number of channels than those of the
        pre-training; elsewhere it means nothing.
        """
        self._stem = stem
        self._init = init
        for name in preset.protocols.keys() - PROTOCOLS.names():
            raise UserError(f"--set protocols.{name}: unknown protocol; known: {', '.join(PROTOCOLS.names())}")
        self.preset = preset
        self._overrides = overrides
        for name in preset.methods:
            self._options(name)  # a wrong one is refused though no cell of that method may be planned
        self.precision = precision
        self.data = data or DataSources(Locations(), preset.cohort)
        BACKBONES.check(preset.backbone)
        # Fields that presets did not always have are left out while they say nothing, as in a cell's key.
        left_out = {"name", "methods", "ranked", "not_in_all", "tuning"}
        comparable = preset.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
        comparable |= {"precision": precision, "numerics": NUMERICS_VERSION}
        digest = hashlib.sha256(json.dumps(comparable, sort_keys=True).encode()).hexdigest()[:8]
        # Of two changes to one setting the later holds.
        changes = sorted({change.partition("=")[0]: change for change in overrides}.values())
        self.setting = Setting(preset=preset.name, overrides=changes, digest=digest, ranked=preset.ranked)
        # Ten thousand cells share a few of these, and some take a look at files.
        self._setting_of = functools.cache(self._resolve_setting)
        self._pretraining_spec = functools.cache(self._resolve_pretraining)
        self._protocol_settings = functools.cache(self._resolve_protocol_settings)
        self._protocol_source = functools.cache(PROTOCOLS.source_digest)
        self._cases = functools.cache(lambda task, fold: self.data.task(task, fold).describe())
        self._leaks = functools.cache(self.data.leaks)
        self._compare_channels = functools.cache(self._say_if_channels_differ)
        self._window = functools.cache(self.data.window)
        self._locations = functools.cache(self.data.locations_of)
        self._told = functools.cache(self._tell)

    @property
    def start(self) -> str:
        """The network whose weights every pre-training starts from; empty for the random start of its seed."""
        return self._init[1].network if self._init else ""

    def changed(self, overrides: Sequence[str]) -> Planner:
        """This planner with further ``a.b=c`` changes to its preset."""
        values = nested(overrides, "--set", self.preset.model_dump(mode="json"))
        preset = validated(Preset, values, f"preset {self.preset.name}")
        return Planner(preset, [*self._overrides, *overrides], self.precision, self.data, self._stem, self._init)

    def on_backbone(self, name: str) -> Planner:
        """This planner for the network called `name`. Raises UserError for one that is not registered."""
        return self if name == self.preset.backbone else self.changed([f"backbone={name}"])

    def pretraining(self, method: str, seed: int) -> Cell:
        """The pre-training of `method`."""
        spec = self._pretraining_spec(method, seed)
        return Cell(
            kind="pretraining",
            spec=spec,
            setting=self._setting_of(method),
            locations=self.data.locations,
            backbone_file=self._start_of(spec),
            plugins=plugin_files(method, backbone=self.preset.backbone),
        )

    def evaluation(
        self,
        method: str,
        task: str,
        protocol: str,
        seed: int,
        reset: Part = "",
        scored_on: ScoredOn = "test",
        fold: int | None = None,
    ) -> Cell:
        """One cell of the matrix, or a trial of its row, which is scored on the validation cases.

        `reset` is the part of the backbone that starts at random again; `fold` is another fold than that of `data`.
        Raises UserError where the test cases would be met by networks of a seed that options were tuned with, or have
        chosen options in another fold.
        """
        tuning = self.preset.tuning
        if tuning and scored_on == "test" and seed in tuning.seeds:
            raise UserError(
                f"seed {seed}: options of this preset were tuned with it, so it compares nothing; "
                f"use none of {', '.join(map(str, tuning.seeds))}"
            )
        if tuning and scored_on == "test" and method in tuning.trials and task in tuning.tasks:
            TASKS.check(task)
            if self._told(task, fold)["cross_validation"]:
                raise UserError(
                    f"task {task!r}: options of {method} were tuned on validation cases of it, which other folds test; "
                    "give the one split that was tuned on, --split FILE, or leave --tuned out"
                )
        control = CONTROL_ROWS.get(method, "")
        # Of a control nothing is read, so that what it stands beside may be what needs no pre-training.
        backbone = self._pretraining_spec(UNTRAINED if control else method, seed)
        return self._evaluation(
            backbone, task, protocol, seed, None, "" if control else reset, scored_on, fold, control
        )

    def external(
        self, file: Path, backbone: ExternalBackbone, task: str, protocol: str, seed: int, reset: Part = ""
    ) -> Cell:
        """The evaluation of a backbone that came in a file, in the setting of cells of the same network."""
        planner = self.on_backbone(backbone.network)
        return planner._evaluation(backbone, task, protocol, seed, file.resolve(), reset)

    def _evaluation(
        self,
        backbone: PretrainingSpec | ExternalBackbone,
        task: str,
        protocol: str,
        seed: int,
        file: Path | None,
        reset: Part,
        scored_on: ScoredOn = "test",
        fold: int | None = None,
        control: Control = "",
    ) -> Cell:
        TASKS.check(task)
        protocol = resolve_protocol(protocol)
        method = None if backbone.is_external else backbone.method
        data = self._cases(task, fold)
        spec = EvaluationSpec(
            backbone=backbone,
            task=task,
            data=data,
            protocol=protocol,
            protocol_settings=self._protocol_settings(protocol, method),
            protocol_source=self._protocol_source(protocol),
            crop=self._wide_enough(self._window(task, self.preset.crop), "crop"),
            overlap=self.preset.overlap,
            precision=self.precision,
            seed=seed,
            reset=reset,
            stem=self._stem_of(backbone, task, data.channels, reset),
            numerics=NUMERICS_VERSION,
            scored_on=scored_on,
            control=control,
        )
        return Cell(
            kind="evaluation",
            spec=spec,
            setting=self._setting_of(method),
            locations=self._locations(task),
            overlap=() if backbone.corpus is None else self._leaks(task, fold),
            backbone_file=file or self._start_of(backbone),
            plugins=plugin_files(method, task, protocol, backbone.network),
            **self._told(task, fold),
        )

    def _start_of(self, backbone: PretrainingSpec | ExternalBackbone) -> Path | None:
        """Where the weights lie that a pre-training starts from."""
        return self._init[0].resolve() if self._init and backbone.init else None

    def _check_start(self, corpus: CorpusSpec) -> None:
        """Raise UserError unless the weights that pre-trainings start from are of the preset's backbone."""
        start = self._init and self._init[1]
        if not start:
            return
        if (start.network, start.width) != (self.preset.backbone, self.preset.width):
            raise UserError(
                f"--init {start.name}: holds {start.network} of width {start.width}, and {self.preset.backbone} of "
                f"{self.preset.width} is asked for; use --backbone {start.network} --set width={start.width}"
            )
        if start.channels != corpus.channels:
            raise UserError(
                f"--init {start.name}: reads {channels_text(start.channels)}, and the corpus has "
                f"{channels_text(corpus.channels)}; give a corpus of as many"
            )

    def _stem_of(self, backbone: PretrainingSpec | ExternalBackbone, task: str, channels: int, reset: Part) -> Stem:
        """How the weights of `backbone` enter a network for `channels`. Raises UserError if that is not said."""
        if backbone.pretrains == "nothing" or reset == "encoder":
            return ""
        if backbone.channels == channels:
            if backbone.corpus and channels > 1:
                self._compare_channels(task)
            return ""
        if wrong := wrong_stem(self._stem, backbone.channels):
            raise UserError(
                f"task {task!r}: its volumes have {channels_text(channels)}, and {backbone.method} was "
                f"pre-trained on volumes of {channels_text(backbone.channels)}; {wrong}"
            )
        return self._stem

    def _wide_enough(self, crop: int, setting: str) -> int:
        """`crop`, in which the backbone can learn. Raises UserError, naming the `setting`, for a smaller one."""
        smallest = BACKBONES.load(self.preset.backbone).facts.smallest_crop
        if crop < smallest:
            raise UserError(
                f"the backbone {self.preset.backbone} needs windows of {smallest} voxels and has {crop}; "
                f"use --set {setting}={smallest}, or another --backbone"
            )
        return crop

    def _say_if_channels_differ(self, task: str) -> None:
        """Warn where the corpus and `task` have as many channels with other names."""
        both = self.data.corpus.describe(), self._cases(task, None)
        pretrained, met = (data.recipe.get("channels", []) for data in both)
        if pretrained != met:
            self.data.warn(
                f"task {task!r}: its channels are {', '.join(met)}, those of the corpus {', '.join(pretrained)}: they "
                "are taken for each other in this order"
            )

    def _tell(self, task: str, fold: int | None) -> dict[str, Any]:
        """What a plan tells of the cases besides their specification."""
        cases = self.data.task(task, fold)
        return {name: getattr(cases, name) for name in ("left_out", "split_by", "cross_validation")}

    def _resolve_protocol_settings(self, protocol: str, method: str | None) -> dict[str, Any]:
        """The settings of a protocol, on a backbone that `method` made."""
        plugin = PROTOCOLS.load(protocol)
        # A protocol that the preset does not know is trained as the paper's that is most like it.
        like = self.preset.protocols["linear-v1" if plugin.facts.frozen_backbone else "finetune-v1"]
        required = [name for name, field in plugin.Settings.model_fields.items() if field.is_required()]
        values = {name: like[name] for name in required if name in like} | self.preset.protocols.get(protocol, {})
        settings = validated(plugin.Settings, values, f"protocols.{protocol}")
        if method is not None and not plugin.facts.frozen_backbone:
            options = self._options(method)
            steps = options.finetune_steps(settings.steps)
            optimiser = options.finetune_optimiser(settings.optimiser, steps)
            settings = settings.model_copy(update={"steps": steps, "optimiser": optimiser})
        return settings.model_dump(mode="json", exclude_defaults=True)

    def _resolve_setting(self, method: str | None) -> Setting:
        """The setting without the options of other methods, on which nothing rests in a cell of `method`."""
        kept = []
        for one in self.setting.overrides:
            names = one.partition("=")[0].split(".")
            # An override of `methods` as a whole sets this method's options too.
            if names[0] != "methods" or len(names) == 1 or names[1] == method:
                kept.append(one)
        return self.setting.model_copy(update={"overrides": kept, "tuned_on": self._tuned_on(method, kept)})

    def _tuned_on(self, method: str | None, overrides: Sequence[str]) -> TunedOn | None:
        tuning = self.preset.tuning
        if tuning is None or method not in tuning.trials or any(one.startswith("methods") for one in overrides):
            return None
        shared = tuning.model_dump(include={"overrides", "protocol", "tasks", "seeds", "configurations"})
        return TunedOn(**shared, trials=tuning.trials[method])

    def _options(self, method: str) -> MethodConfig:
        plugin, given = METHODS.load(method), self.preset.methods.get(method, {})
        options = validated(plugin.Config, given, f"methods.{method}")
        facts, batch = plugin.facts, options.batch
        if facts.pretrains == "nothing" and (idle := [name for name in given if name in PRETRAINING_OPTIONS]):
            raise UserError(f"methods.{method}: {idle[0]}: is of pre-training, which it has none of; leave it out")
        if batch and (batch < facts.smallest_batch or batch % facts.grouped):
            least = f"at least {facts.smallest_batch}" + (
                f", a multiple of {facts.grouped}" if facts.grouped > 1 else ""
            )
            raise UserError(f"methods.{method}: batch: {batch} is no batch of this method; use {least}")
        return options

    def _resolve_pretraining(self, method: str, seed: int) -> PretrainingSpec:
        plugin = METHODS.load(method)
        options = self._options(method)
        check_pair(method, self.preset.backbone)
        trains = plugin.facts.pretrains != "nothing"
        settings = self.preset.pretraining
        batch = options.batch or max(settings.batch, plugin.facts.smallest_batch)
        corpus = self.data.corpus.describe() if trains else None
        if corpus and batch > corpus.volumes:
            raise UserError(
                f"method {method!r} needs {batch} volumes a step and the corpus has {corpus.volumes}; "
                "raise --set cohort.corpus, or give a larger --corpus"
            )
        if corpus:
            self._check_start(corpus)
        return PretrainingSpec(
            method=method,
            method_version=plugin.facts.version,
            plugin_source=METHODS.source_digest(method),
            options=options.model_dump(mode="json", exclude_defaults=True),
            width=self.preset.width,
            crop=self._wide_enough(self._window("corpus", settings.crop), "pretraining.crop") if trains else 0,
            steps=settings.steps if trains else 0,
            batch=batch if trains else 0,
            watch_every=settings.watch_every if trains else 0,
            optimiser=options.pretraining_optimiser(settings.optimiser, settings.steps) if trains else None,
            corpus=corpus,
            precision=self.precision if plugin.facts.mixed_precision else "float32",
            seed=seed,
            network=self.preset.backbone,
            network_source=BACKBONES.source_digest(self.preset.backbone),
            numerics=NUMERICS_VERSION,
            init=self._init[1] if self._init and trains else None,
        )


def channels_text(count: int) -> str:
    """So many channels, in words."""
    return "one channel" if count == 1 else f"{count} channels"
