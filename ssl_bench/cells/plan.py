"""Planning: from names and settings to cells with resolved science."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from ssl_bench.cells.record import Setting
from ssl_bench.cells.science import (
    CorpusScience,
    DataScience,
    EvaluationScience,
    ExternalBackbone,
    FolderCorpusScience,
    FolderDataScience,
    PretrainingScience,
)
from ssl_bench.datasets.sources import Sources
from ssl_bench.datasets.user_data import UserData
from ssl_bench.errors import UserError
from ssl_bench.registry import METHODS, PROTOCOLS, TASKS, add_plugin_file, plugin_files, resolve_protocol
from ssl_bench.settings import Preset, validated

if TYPE_CHECKING:
    from ssl_bench.method import MethodConfig


class Cell(BaseModel):
    """One planned unit of work: a pre-training or an evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["pretraining", "evaluation"]
    science: EvaluationScience | PretrainingScience
    setting: Setting
    sources: Sources = Sources()
    """Where its volumes lie."""
    overlap: tuple[str, ...] = ()
    """Scans of the pre-training corpus that are validation or test cases too, by their names in both."""
    left_out: tuple[str, ...] = ()
    """Of the user's data set, by file, with the reason."""
    backbone_file: Path | None = None
    """Where an external backbone's weights lie."""
    plugins: tuple[Path, ...] = ()
    """Files named by ``--plugin`` that define the cell's method or task."""

    @property
    def key(self) -> str:
        """The cell's name in the store."""
        return self.science.key

    @property
    def evaluation(self) -> EvaluationScience:
        """The science of an evaluation. Raises TypeError for a pre-training."""
        if not isinstance(self.science, EvaluationScience):
            raise TypeError(f"cell {self.key} is a pre-training")
        return self.science

    @property
    def pretraining(self) -> Cell | None:
        """The pre-training this evaluation rests on; None if it needs none."""
        if not isinstance(self.science, EvaluationScience):
            return None
        backbone = self.science.backbone
        if isinstance(backbone, ExternalBackbone) or backbone.steps == 0:
            return None
        return Cell(
            kind="pretraining", science=backbone, setting=self.setting, sources=self.sources, plugins=self.plugins
        )

    def register(self) -> None:
        """Make its plugin files known, and the task that its folder defines. Raises UserError if one is gone."""
        from ssl_bench.datasets.formats.own_tasks import register_own

        for file in self.plugins:
            add_plugin_file(file)
        register_own(self.sources)

    @property
    def title(self) -> str:
        """The cell in words."""
        science = self.science
        if isinstance(science, PretrainingScience):
            return f"{science.method} pre-training, seed {science.seed}"
        return f"{science.method} {science.task} {science.protocol}, seed {science.seed}"


class Planner:
    """Resolves cells under one preset and one precision."""

    def __init__(
        self,
        preset: Preset,
        overrides: Sequence[str],
        precision: Literal["float32", "bf16"],
        data: UserData | None = None,
    ) -> None:
        """`data` is what the user brings; real data are prepared before their cells can be planned."""
        bare = {name.rpartition("-v")[0] for name in PROTOCOLS.names()}
        for name in preset.protocols.keys() - bare:
            raise UserError(f"--set protocols.{name}: unknown protocol; known: {', '.join(sorted(bare))}")
        self.preset = preset
        for name in preset.methods:
            self._options(name)  # a wrong one is refused though no cell of that method may be planned
        self.precision = precision
        self.data = data or UserData(Sources())
        unlike = {"name", "methods", "ranked"} if preset.data else {"name", "methods", "ranked", "data"}
        comparable = preset.model_dump(mode="json", exclude=unlike) | {"precision": precision}
        digest = hashlib.sha256(json.dumps(comparable, sort_keys=True).encode()).hexdigest()[:8]
        # Of two changes to one setting the later holds.
        changes = sorted({change.partition("=")[0]: change for change in overrides}.values())
        self.setting = Setting(preset=preset.name, overrides=changes, digest=digest, ranked=preset.ranked)
        # Ten thousand cells share a few of these, and some take a look at files.
        self._setting_of = functools.cache(self._resolve_setting)
        self._pretraining_science = functools.cache(self._resolve_pretraining)
        self._protocol_settings = functools.cache(self._resolve_protocol_settings)
        self._cases = functools.cache(self._resolve_cases)
        self._left_out = functools.cache(self._find_left_out)

    def pretraining(self, method: str, seed: int) -> Cell:
        """The pre-training of `method`."""
        science = self._pretraining_science(method, seed)
        return Cell(
            kind="pretraining",
            science=science,
            setting=self._setting_of(method),
            sources=self.data.sources,
            plugins=plugin_files(method, None),
        )

    def evaluation(self, method: str, task: str, protocol: str, seed: int) -> Cell:
        """One cell of the matrix."""
        return self._evaluation(self._pretraining_science(method, seed), task, protocol, seed, None)

    def external(self, file: Path, backbone: ExternalBackbone, task: str, protocol: str, seed: int) -> Cell:
        """The evaluation of a backbone that came in a file."""
        return self._evaluation(backbone, task, protocol, seed, file.resolve())

    def _evaluation(
        self,
        backbone: PretrainingScience | ExternalBackbone,
        task: str,
        protocol: str,
        seed: int,
        file: Path | None,
    ) -> Cell:
        TASKS.check(task)
        protocol = resolve_protocol(protocol)
        method = backbone.method if isinstance(backbone, PretrainingScience) else None
        science = EvaluationScience(
            backbone=backbone,
            task=task,
            data=self._cases(task),
            protocol=protocol,
            protocol_settings=self._protocol_settings(protocol, method),
            crop=self.preset.crop,
            overlap=self.preset.overlap,
            precision=self.precision,
            seed=seed,
        )
        return Cell(
            kind="evaluation",
            science=science,
            setting=self._setting_of(method),
            sources=self.data.sources,
            overlap=self._overlap(task, backbone),
            left_out=self._left_out(task),
            backbone_file=file,
            plugins=plugin_files(method, task),
        )

    def _resolve_protocol_settings(self, protocol: str, method: str | None) -> dict[str, Any]:
        """The settings of a protocol, on a backbone that `method` made."""
        plugin, bare = PROTOCOLS.load(protocol), protocol.rpartition("-v")[0]
        settings = validated(plugin.Settings, self.preset.protocols.get(bare, {}), f"protocols.{bare}")
        if method is not None and not plugin.facts.frozen_backbone:
            options = self._options(method)
            settings = settings.model_copy(update={"steps": options.finetune_steps(settings.steps)})
        return settings.model_dump(mode="json", exclude_defaults=True)

    def _resolve_setting(self, method: str | None) -> Setting:
        """The setting without the options of other methods, on which nothing rests in a cell of `method`."""
        kept = []
        for one in self.setting.overrides:
            names = one.partition("=")[0].split(".")
            # Whoever sets `methods` as a whole set this method's with it.
            if names[0] != "methods" or len(names) == 1 or names[1] == method:
                kept.append(one)
        return self.setting.model_copy(update={"overrides": kept})

    def _options(self, method: str) -> MethodConfig:
        return validated(METHODS.load(method).Config, self.preset.methods.get(method, {}), f"methods.{method}")

    def _resolve_pretraining(self, method: str, seed: int) -> PretrainingScience:
        plugin = METHODS.load(method)
        options = self._options(method)
        trains = plugin.facts.pretrains != "nothing"
        settings = self.preset.pretraining
        batch = max(settings.batch, plugin.facts.smallest_batch)
        corpus = self._corpus() if trains else None
        if corpus and batch > corpus.volumes:
            raise UserError(
                f"method {method!r} needs {batch} volumes a step and the corpus has {corpus.volumes}; "
                "raise --set cohort.corpus, or give a larger --corpus"
            )
        return PretrainingScience(
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
        )

    def _corpus(self) -> CorpusScience | FolderCorpusScience:
        from ssl_bench.data import corpus_science

        folder = self.data.corpus
        return folder.science(self.preset.cohort.held_out) if folder else corpus_science(self.preset.cohort)

    def _resolve_cases(self, task: str) -> DataScience | FolderDataScience:
        from ssl_bench.data import data_science

        folder = self.data.task(task)
        if folder:
            return folder.science(self.data.fold, self.data.label_fraction)
        return data_science(task, self.preset.cohort, self.data.sources.anatomy, self.data.label_fraction)

    def _find_left_out(self, task: str) -> tuple[str, ...]:
        folder = self.data.task(task)
        return folder.left_out if folder else ()

    def _overlap(self, task: str, backbone: PretrainingScience | ExternalBackbone) -> tuple[str, ...]:
        """Raises UserError for an overlap that is not allowed."""
        if isinstance(backbone, PretrainingScience) and backbone.corpus is not None:
            return self.data.overlap(task)
        return ()
