"""Pre-training: from a corpus and a method to a backbone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import Method, Windows
from ssl_bench.api.registry import BACKBONES, METHODS
from ssl_bench.api.rng import Draws, numpy_generator, seeded_initialisation, stream_seed
from ssl_bench.data.sources import source_of
from ssl_bench.data.windows import Corpus
from ssl_bench.files import atomic_write
from ssl_bench.nn.distributed import alone, mean_over_ranks, own_share, rank
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import PretrainingRecord, kind_of_data
from ssl_bench.spec.specification import PretrainingSpec
from ssl_bench.training.attempt import Attempt, State
from ssl_bench.training.collapse import RANKED_VOLUMES, Stage, collapse_of_backbone, stages_of, unchanged_buffers
from ssl_bench.training.examples import keep_pretraining_examples
from ssl_bench.training.loss_curve import LossCurve
from ssl_bench.training.optimisation import build_optimiser, build_schedule, descend, learning_rate, require_finite
from ssl_bench.training.progress import Progress
from ssl_bench.training.run_log import SILENT, RunLog
from ssl_bench.training.runtime import Runtime, Stopwatch, provenance
from ssl_bench.training.snapshots import Snapshots
from ssl_bench.weights.loading import origin_of, shown_by, start_from
from ssl_bench.weights.origin import KEY_ENTRY, ORIGIN_ENTRY, SPEC_ENTRY

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LAST_STEPS = 20
"""After each of the last steps there is an evaluation, so that the mean of the last is more than one number."""


def build_backbone(width: int, seed: int, network: str = "unet3d", channels: int = 1) -> Backbone:
    """The backbone that every method of this seed starts from, for volumes of so many `channels`.

    Raises UserError for one that is not registered, or does not read as many.
    """
    plugin = BACKBONES.load(network)
    with seeded_initialisation(stream_seed(seed, "backbone")):
        return plugin.reading(channels, width).to(memory_format=torch.channels_last_3d)


def build_method(spec: PretrainingSpec, init: Path | None = None) -> Method:
    """The method around a fresh backbone, or one with the weights in `init` where the specification names them."""
    plugin = METHODS.load(spec.method)
    backbone = build_backbone(spec.width, spec.seed, spec.network, spec.channels)
    if spec.init:
        start_from(backbone, spec.init, init)
    # Before a method copies it.
    backbone.modality = shown_by(spec.corpus)[0] or "CT"
    with seeded_initialisation(stream_seed(spec.seed, "heads")):
        method = plugin(backbone, plugin.Config.model_validate(spec.options), spec.crop)
    return method.to(memory_format=torch.channels_last_3d)


def pretrain(
    fabric: Fabric, cell: Cell, runtime: Runtime, progress: Progress, weights: Path, attempt: Attempt
) -> PretrainingRecord | None:
    """Run the pre-training `cell`, from where `attempt` stands, and write its backbone to `weights` as safetensors.

    Every rank of `fabric` calls this and works on its share of each batch; what is evaluated, kept and written is the
    first's, and the others get None. Raises FloatingPointError if the loss is no longer finite.
    """
    spec = cell.pretraining_spec
    scans = source_of(cell).load()
    watch = Stopwatch(runtime, attempt.earlier_cost)
    method = build_method(spec, cell.backbone_file)
    method.backbone.checkpointing = runtime.checkpointing
    corpus, held_out = (
        Corpus([case.image for case in scans[part]], method.region, fabric.device) for part in ("corpus", "held-out")
    )
    with RunLog(attempt.events, attempt.state["step"] if attempt.state else 0) as log:
        training = PretextTraining(fabric, spec, method, corpus, held_out, log, attempt.state)
        snapshots, save = Snapshots(cell, attempt), partial(save_backbone, method.backbone, cell)
        with progress.track(cell.title, spec.steps) as advance:
            for _ in range(training.done):
                advance("resumed")
            while training.done < spec.steps:
                training.step()
                snapshots.step_done(training.done, training.stages, save)
                advance(str(training.losses))
                attempt.step_done(training.state, watch.read)
        require_finite(method, spec.steps)
        if rank() > 0:
            return None
        parts = (part.of_side(spec.crop) for part in (held_out, corpus))
        batches = (batch for part in parts for batch in part.batches(_centred(len(part))))
        collapse = collapse_of_backbone(fabric, method.backbone, batches)
        log.add("collapse", collapse, spec.steps)
    record = PretrainingRecord(
        key=cell.key,
        status="ok",
        setting=cell.setting,
        data=kind_of_data(spec.corpus),
        spec=spec,
        volumes_seen=spec.steps * spec.batch,
        loss_curve=training.losses.read(),
        held_out_curve=training.evaluations,
        health={**collapse, **method.measures()},
        stage_ranks=training.ranks,
        trained_stages=training.trained_stages,
        snapshots=snapshots.kept(),
        cost=watch.read(),
        provenance=provenance(runtime, spec.precision),
    )
    save(weights)
    if method.matching_modules:
        attempt.keep_matching(partial(save_matching, method, cell))
    keep_pretraining_examples(attempt.examples, fabric, method, held_out)
    return record


class PretextTraining:
    """The training of a method step by step, with evaluations on held-out volumes."""

    def __init__(
        self,
        fabric: Fabric,
        spec: PretrainingSpec,
        method: Method,
        corpus: Corpus,
        held_out: Corpus,
        log: RunLog = SILENT,
        state: State | None = None,
    ) -> None:
        """It goes on from `state`, which an earlier attempt saved; None to start anew."""
        assert spec.optimiser is not None
        self.fabric = fabric
        self.spec = spec
        self.method = method
        self.corpus = corpus
        self.held_out = held_out
        self.log = log
        self.share = own_share(spec.batch)
        self.gradient_clip = spec.optimiser.gradient_clip
        optimiser = build_optimiser(method.optimised_parameters(), spec.optimiser)
        self.schedule = build_schedule(optimiser, spec.optimiser, spec.steps)
        if method.facts.pretrains == "encoder":
            # Data parallelism waits for the gradient of whatever asks for one.
            for name in method.backbone.decoder_modules:
                getattr(method.backbone, name).requires_grad_(False)
        self.wrapped, self.optimiser = fabric.setup(method, optimiser)
        self.wrapped.mark_forward_method("training_step")
        self.wrapped.train()
        self.done = 0
        """Steps that have been made."""
        self.losses = LossCurve("pre-training", log=log)
        self.evaluations: list[dict[str, float]] = []
        """Pretext losses on the held-out volumes; ``step`` counts the updates made before."""
        self.ranks: list[dict[str, float]] = []
        """The effective rank of every stage of the backbone, at the steps of `evaluations` but the last ones."""
        self.trained_stages: dict[str, int] = {}
        """Channels of the stages that the method pre-trains."""
        if state:
            method.load_state_dict(state["method"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.done, self.evaluations = state["step"], state["evaluations"]
            self.losses = LossCurve("pre-training", state["losses"], log)
            self.ranks, self.trained_stages = state["ranks"], state["trained_stages"]
            log.add_all("held_out", self.evaluations)
            log.add_all("stage_rank", self.ranks)

    def state(self) -> State:
        """All that going on from here needs."""
        return {
            "step": self.done,
            "method": self.method.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "losses": self.losses.read(),
            "evaluations": self.evaluations,
            "ranks": self.ranks,
            "trained_stages": self.trained_stages,
        }

    def step(self) -> None:
        """One update, and what is due before and after it."""
        step, spec, method = self.done, self.spec, self.method
        if step % spec.watch_every == 0:
            self._evaluate(step)
            self._look_at_stages(step)
        if method.refresh_every and step % method.refresh_every == 0:
            with torch.no_grad(), self.fabric.autocast():
                method.refresh(self.corpus, step, numpy_generator(spec.seed, "refresh", step))
        generator = numpy_generator(spec.seed, "pretraining windows", step)
        windows = method.choose_windows(len(self.corpus), spec.batch, generator)
        samples = range(step * spec.batch, (step + 1) * spec.batch)[self.share]
        draws = Draws.keyed(spec.seed, "pretraining", samples=samples, device=self.fabric.device)
        own = Windows(windows.volumes[self.share], windows.positions[self.share])
        loss = self._noted(pretext_losses(self.fabric, self.wrapped, self.corpus.read(own), draws))
        descend(self.fabric, self.wrapped, self.optimiser, loss, self.gradient_clip)
        self.schedule.step_update(step + 1)
        method.after_step(step, spec.steps)
        if step + 1 > spec.steps - LAST_STEPS:
            self._evaluate(step + 1)
        if step + 1 == spec.steps:
            self._look_at_stages(step + 1)
        self.done = step + 1

    def _noted(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The loss of a step, which is kept; its parts are computed further only where a log is written."""
        watched = losses if self.log.folder else {"loss": losses["loss"]}
        means = {name: mean_over_ranks(torch.as_tensor(value)) for name, value in watched.items()}
        self.losses.add(means.pop("loss"), means)
        self.log.add("training", {"learning_rate": learning_rate(self.schedule)}, self.done)
        return losses["loss"]

    def _evaluate(self, step: int) -> None:
        """The pretext losses on held-out volumes, always the same windows and draws; running statistics stay."""
        if len(self.held_out) < 2 or rank() > 0:
            # A small folder spares no scan; nearly every pretext needs two.
            return
        draws = Draws.keyed("held-out", samples=range(len(self.held_out)), device=self.held_out.device)
        with torch.no_grad(), self.fabric.autocast(), alone(), unchanged_buffers(self.method):
            losses = self.method.held_out_step(self.held_out.read(_centred(len(self.held_out))), draws)
        if losses is not None:
            self.evaluations.append({"step": step, **{name: float(value) for name, value in losses.items()}})
            self.log.add_all("held_out", self.evaluations[-1:])

    def _look_at_stages(self, step: int) -> None:
        """The ranks of the backbone's stages, always for the same windows."""
        if rank() > 0:
            return
        backbone, found = self.method.backbone, self.stages()
        trains_decoder = self.method.facts.pretrains == "encoder and decoder"
        trained = (*backbone.encoder_modules, *(backbone.decoder_modules if trains_decoder else ()))
        self.trained_stages = {name: found[name].channels for name in trained if name in found}
        self.ranks.append({"step": step, **{name: stage.rank for name, stage in found.items()}})
        self.log.add_all("stage_rank", self.ranks[-1:])

    def stages(self) -> dict[str, Stage]:
        """What the stages of the backbone give now, on volumes outside the corpus where there are any."""
        shown = (self.held_out if len(self.held_out) else self.corpus).of_side(self.spec.crop)
        return stages_of(self.fabric, self.method.backbone, shown.read(_centred(min(RANKED_VOLUMES, len(shown)))))


def pretext_losses(fabric: Fabric, method: Any, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
    """The loss of `method`, wrapped by `fabric`, on `volumes` (B, C, D, H, W), as ``loss``, and its parts."""
    # Fabric autocasts `forward` alone, so that the precision of other methods is asked for here.
    with fabric.autocast():
        losses: dict[str, Tensor] = method.training_step(volumes, draws)
    return losses


def save_backbone(
    backbone: Backbone, cell: Cell, path: Path, further: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write the backbone's weights, float32, with the spec that made them and what is `further` to say as metadata."""
    made_by = {SPEC_ENTRY: cell.spec.model_dump_json(), ORIGIN_ENTRY: origin_of(cell).model_dump_json()}
    _save(backbone, cell, path, {**made_by, **further})


def save_matching(method: Method, cell: Cell, path: Path) -> None:
    """Write the heads by which `method` matches, float32; `ssl_bench.training.own_map` reads them."""
    _save(matching_heads(method), cell, path, {})


def matching_heads(method: Method) -> nn.ModuleDict:
    """The modules by which `method` matches, without its backbone; they stay its own."""
    return nn.ModuleDict({name: getattr(method, name) for name in method.matching_modules})


def _save(module: nn.Module, cell: Cell, path: Path, metadata: Mapping[str, str]) -> None:
    from safetensors.torch import save_file

    tensors = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, {"format": "pt", KEY_ENTRY: cell.key, **metadata})


def _centred(count: int) -> Windows:
    return Windows(np.arange(count), np.full((count, 3), 0.5))
