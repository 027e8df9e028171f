"""Planning: from names and settings to cells with resolved specifications."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ssl_bench.api.registry import BACKBONES, METHODS, PROTOCOLS, TASKS, plugin_files, resolve_protocol
from ssl_bench.api.settings import Preset, validated
from ssl_bench.data.sources import DataSources
from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.locations import Locations
from ssl_bench.spec.record import Setting
from ssl_bench.spec.specification import NUMERICS_VERSION, EvaluationSpec, ExternalBackbone, Part, PretrainingSpec

if TYPE_CHECKING:
    from ssl_bench.api.method import MethodConfig


class Planner:
    """Resolves cells under one preset and one precision."""

    def __init__(
        self,
        preset: Preset,
        overrides: Sequence[str],
        precision: Literal["float32", "bf16"],
        data: DataSources | None = None,
    ) -> None:
        """`data` are the volumes; real ones are prepared before their cells can be planned."""
        for name in preset.protocols.keys() - PROTOCOLS.names():
            raise UserError(f"--set protocols.{name}: unknown protocol; known: {', '.join(PROTOCOLS.names())}")
        self.preset = preset
        for name in preset.methods:
            self._options(name)  # a wrong one is refused though no cell of that method may be planned
        self.precision = precision
        self.data = data or DataSources(Locations(), preset.cohort)
        BACKBONES.check(preset.backbone)
        # Fields that presets did not always have, while they say nothing.
        silent = {name for name, nothing in (("data", {}), ("backbone", "unet3d")) if getattr(preset, name) == nothing}
        comparable = preset.model_dump(mode="json", exclude={"name", "methods", "ranked"} | silent)
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
        self._cases = functools.cache(lambda task: self.data.task(task).describe())
        self._left_out = functools.cache(lambda task: self.data.task(task).left_out)
        self._leaks = functools.cache(self.data.leaks)
        self._split_by = functools.cache(lambda task: self.data.task(task).split_by)

    def pretraining(self, method: str, seed: int) -> Cell:
        """The pre-training of `method`."""
        spec = self._pretraining_spec(method, seed)
        return Cell(
            kind="pretraining",
            spec=spec,
            setting=self._setting_of(method),
            locations=self.data.locations,
            plugins=plugin_files(method, backbone=self.preset.backbone),
        )

    def evaluation(self, method: str, task: str, protocol: str, seed: int, reset: Part = "") -> Cell:
        """One cell of the matrix; `reset` is the part of the backbone that starts at random again."""
        return self._evaluation(self._pretraining_spec(method, seed), task, protocol, seed, None, reset)

    def external(
        self, file: Path, backbone: ExternalBackbone, task: str, protocol: str, seed: int, reset: Part = ""
    ) -> Cell:
        """The evaluation of a backbone that came in a file."""
        return self._evaluation(backbone, task, protocol, seed, file.resolve(), reset)

    def _evaluation(
        self,
        backbone: PretrainingSpec | ExternalBackbone,
        task: str,
        protocol: str,
        seed: int,
        file: Path | None,
        reset: Part,
    ) -> Cell:
        TASKS.check(task)
        protocol = resolve_protocol(protocol)
        method = None if backbone.is_external else backbone.method
        spec = EvaluationSpec(
            backbone=backbone,
            task=task,
            data=self._cases(task),
            protocol=protocol,
            protocol_settings=self._protocol_settings(protocol, method),
            protocol_source=self._protocol_source(protocol),
            crop=self.preset.crop,
            overlap=self.preset.overlap,
            precision=self.precision,
            seed=seed,
            reset=reset,
            numerics=NUMERICS_VERSION,
        )
        return Cell(
            kind="evaluation",
            spec=spec,
            setting=self._setting_of(method),
            locations=self.data.locations,
            overlap=() if backbone.corpus is None else self._leaks(task),
            left_out=self._left_out(task),
            split_by=self._split_by(task),
            backbone_file=file,
            plugins=plugin_files(method, task, protocol, backbone.network),
        )

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
            settings = settings.model_copy(update={"steps": options.finetune_steps(settings.steps)})
        return settings.model_dump(mode="json", exclude_defaults=True)

    def _resolve_setting(self, method: str | None) -> Setting:
        """The setting without the options of other methods, on which nothing rests in a cell of `method`."""
        kept = []
        for one in self.setting.overrides:
            names = one.partition("=")[0].split(".")
            # An override of `methods` as a whole sets this method's options too.
            if names[0] != "methods" or len(names) == 1 or names[1] == method:
                kept.append(one)
        return self.setting.model_copy(update={"overrides": kept})

    def _options(self, method: str) -> MethodConfig:
        return validated(METHODS.load(method).Config, self.preset.methods.get(method, {}), f"methods.{method}")

    def _resolve_pretraining(self, method: str, seed: int) -> PretrainingSpec:
        plugin = METHODS.load(method)
        options = self._options(method)
        trains = plugin.facts.pretrains != "nothing"
        settings = self.preset.pretraining
        batch = max(settings.batch, plugin.facts.smallest_batch)
        corpus = self.data.corpus.describe() if trains else None
        if corpus and batch > corpus.volumes:
            raise UserError(
                f"method {method!r} needs {batch} volumes a step and the corpus has {corpus.volumes}; "
                "raise --set cohort.corpus, or give a larger --corpus"
            )
        return PretrainingSpec(
            method=method,
            method_version=plugin.facts.version,
            plugin_source=METHODS.source_digest(method),
            options=options.model_dump(mode="json", exclude_defaults=True),
            width=self.preset.width,
            crop=settings.crop if trains else 0,
            steps=settings.steps if trains else 0,
            batch=batch if trains else 0,
            watch_every=settings.watch_every if trains else 0,
            optimiser=settings.optimiser if trains else None,
            corpus=corpus,
            precision=self.precision if plugin.facts.mixed_precision else "float32",
            seed=seed,
            network=self.preset.backbone,
            network_source=BACKBONES.source_digest(self.preset.backbone),
            numerics=NUMERICS_VERSION,
        )
