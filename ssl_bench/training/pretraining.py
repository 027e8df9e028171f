"""Pre-training: from a corpus and a method to a backbone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

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
from ssl_bench.training.collapse import backbone_health
from ssl_bench.training.examples import keep_pretraining_examples
from ssl_bench.training.loss_curve import LossCurve
from ssl_bench.training.optimisation import build_optimiser, build_schedule, descend, require_finite
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, Stopwatch, provenance
from ssl_bench.weights.loading import origin_of, shown_by
from ssl_bench.weights.origin import KEY_ENTRY, ORIGIN_ENTRY, SPEC_ENTRY

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LAST_STEPS = 20
"""The held-out loss is watched after each of the last steps, so that its mean is more than one number."""


def build_backbone(width: int, seed: int, network: str = "unet3d") -> Backbone:
    """The backbone that every method of this seed starts from. Raises UserError for one that is not registered."""
    plugin = BACKBONES.load(network)
    with seeded_initialisation(stream_seed(seed, "backbone")):
        return plugin(width).to(memory_format=torch.channels_last_3d)


def build_method(spec: PretrainingSpec) -> Method:
    """The method around a fresh backbone."""
    plugin = METHODS.load(spec.method)
    backbone = build_backbone(spec.width, spec.seed, spec.network)
    # Before a method copies it.
    backbone.modality = shown_by(spec.corpus)[0] or "CT"
    with seeded_initialisation(stream_seed(spec.seed, "heads")):
        method = plugin(backbone, plugin.Config.model_validate(spec.options), spec.crop)
    return method.to(memory_format=torch.channels_last_3d)


def pretrain(
    fabric: Fabric, cell: Cell, runtime: Runtime, progress: Progress, weights: Path, attempt: Attempt
) -> PretrainingRecord | None:
    """Run the pre-training `cell`, from where `attempt` stands, and write its backbone to `weights` as safetensors.

    Every rank of `fabric` calls this and works on its share of each batch; what is watched, kept and written is the
    first's, and the others get None. Raises FloatingPointError if the loss is no longer finite.
    """
    spec = cell.pretraining_spec
    assert spec.optimiser is not None
    scans = source_of(cell).load()
    corpus, held_out = (
        Corpus([case.image for case in scans[part]], spec.crop, fabric.device) for part in ("corpus", "held-out")
    )
    watch = Stopwatch(runtime, attempt.earlier_cost)
    method = build_method(spec)
    method.backbone.checkpointing = runtime.checkpointing
    optimiser = build_optimiser(method.optimised_parameters(), spec.optimiser)
    schedule = build_schedule(optimiser, spec.optimiser, spec.steps)
    if method.facts.pretrains == "encoder":
        # Data parallelism waits for the gradient of whatever asks for one.
        for name in method.backbone.decoder_modules:
            getattr(method.backbone, name).requires_grad_(False)
    wrapped, optimiser = fabric.setup(method, optimiser)
    wrapped.mark_forward_method("training_step")
    wrapped.train()

    share = own_share(spec.batch)
    first = 0
    losses = LossCurve("pre-training")
    looks: list[dict[str, float]] = []
    if attempt.state:
        method.load_state_dict(attempt.state["method"])
        optimiser.load_state_dict(attempt.state["optimiser"])
        first, looks = attempt.state["step"], attempt.state["looks"]
        losses = LossCurve("pre-training", attempt.state["losses"])

    def state() -> State:
        return {
            "step": step + 1,
            "method": method.state_dict(),
            "optimiser": optimiser.state_dict(),
            "losses": losses.read(),
            "looks": looks,
        }

    with progress.track(cell.title, spec.steps) as advance:
        for _ in range(first):
            advance("resumed")
        for step in range(first, spec.steps):
            if step % spec.watch_every == 0:
                looks += _look(fabric, method, held_out, step)
            if method.refresh_every and step % method.refresh_every == 0:
                _refresh(fabric, method, corpus, step, spec.seed)
            generator = numpy_generator(spec.seed, "pretraining windows", step)
            windows = method.choose_windows(len(corpus), spec.batch, generator)
            samples = range(step * spec.batch, (step + 1) * spec.batch)[share]
            draws = Draws.keyed(spec.seed, "pretraining", samples=samples, device=fabric.device)
            own = Windows(windows.volumes[share], windows.positions[share])
            loss = pretext_loss(fabric, wrapped, corpus.read(own), draws)
            losses.add(mean_over_ranks(loss))
            descend(fabric, wrapped, optimiser, loss, spec.optimiser.gradient_clip)
            schedule.step_update(step + 1)
            method.after_step(step, spec.steps)
            if step + 1 > spec.steps - LAST_STEPS:
                looks += _look(fabric, method, held_out, step + 1)
            advance(str(losses))
            attempt.step_done(state, watch.read)
    require_finite(method, spec.steps)
    if rank() > 0:
        return None
    looked_at = (batch for scans in (held_out, corpus) for batch in scans.batches(_centred(len(scans))))
    record = PretrainingRecord(
        key=cell.key,
        status="ok",
        setting=cell.setting,
        data=kind_of_data(spec.corpus),
        spec=spec,
        volumes_seen=spec.steps * spec.batch,
        loss_curve=losses.read(),
        held_out_curve=looks,
        health=backbone_health(fabric, method.backbone, looked_at),
        cost=watch.read(),
        provenance=provenance(runtime, spec.precision),
    )
    save_backbone(method.backbone, weights, cell)
    keep_pretraining_examples(attempt.examples, fabric, method, held_out)
    return record


def pretext_loss(fabric: Fabric, method: Any, volumes: Tensor, draws: Draws) -> Tensor:
    """The loss of `method`, wrapped by `fabric`, on `volumes` (B, 1, D, H, W)."""
    # Fabric autocasts `forward` alone, so that the precision of other methods is asked for here.
    with fabric.autocast():
        loss: Tensor = method.training_step(volumes, draws)["loss"]
    return loss


def save_backbone(backbone: Backbone, path: Path, cell: Cell) -> None:
    """Write the backbone's weights, float32, with the spec that made them as metadata."""
    from safetensors.torch import save_file

    tensors = {name: value.detach().cpu().contiguous() for name, value in backbone.state_dict().items()}
    metadata = {
        "format": "pt",
        KEY_ENTRY: cell.key,
        SPEC_ENTRY: cell.spec.model_dump_json(),
        ORIGIN_ENTRY: origin_of(cell).model_dump_json(),
    }
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata)


def _look(fabric: Fabric, method: Method, held_out: Corpus, step: int) -> list[dict[str, float]]:
    """The pretext losses on held-out volumes, always the same windows and the same draws; running statistics stay."""
    if len(held_out) < 2 or rank() > 0:
        # A small folder spares no scan; nearly every pretext needs two.
        return []
    buffers = [(buffer, buffer.clone()) for buffer in method.buffers()]
    draws = Draws.keyed("held-out", samples=range(len(held_out)), device=held_out.device)
    with torch.no_grad(), fabric.autocast(), alone():
        losses = method.held_out_step(held_out.read(_centred(len(held_out))), draws)
    for buffer, before in buffers:
        buffer.copy_(before)
    return [] if losses is None else [{"step": step, **{name: float(value) for name, value in losses.items()}}]


def _refresh(fabric: Fabric, method: Method, corpus: Corpus, step: int, seed: int) -> None:
    with torch.no_grad(), fabric.autocast():
        method.refresh(corpus, step, numpy_generator(seed, "refresh", step))


def _centred(count: int) -> Windows:
    return Windows(np.arange(count), np.full((count, 3), 0.5))
