"""One record in words: how it ended, what it cost, how it went, and on what configuration it rests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import Generic, NamedTuple, TypeVar

from markupsafe import Markup

from ssl_bench.api.metric import METRICS
from ssl_bench.report.page.cases import case_dots, case_facts
from ssl_bench.report.page.configuration import Blocks
from ssl_bench.report.page.curves import curve
from ssl_bench.report.page.model import Detail, Facts
from ssl_bench.spec.record import EvaluationRecord, PretrainingRecord
from ssl_bench.spec.specification import PretrainingSpec

COSTS = {
    "wall_seconds": ("s wall", 1),
    "device_seconds": ("s device", 1),
    "processor_seconds": ("s processor", 1),
    "peak_process_mib": ("MiB memory at its peak", 0),
    "peak_device_mib": ("MiB device memory at its peak", 0),
}
SCENES = {
    "inner": "the corpus shows the task's anatomy",
    "inter": "the corpus shows another anatomy than the task's",
}


Record = TypeVar("Record", EvaluationRecord, PretrainingRecord)


class Described(NamedTuple, Generic[Record]):
    """What the page says of one record, and the record without its cases and curves, so that no whole one is kept."""

    record: Record
    facts: Facts
    curves: Sequence[Markup]


def evaluation_detail(described: Described[EvaluationRecord], blocks: Blocks, table: str) -> Detail:
    """All that the page says of an evaluation; `table` is the id of the table it stands in."""
    record, facts, curves = described
    backbone, title, pretraining = record.spec.backbone, f"Seed {record.spec.seed}", ""
    title += f", fold {record.spec.data.fold}" if record.cross_validation else ""
    if isinstance(backbone, PretrainingSpec):
        title += f", backbone of seed {backbone.seed}" if backbone.seed != record.spec.seed else ""
        pretraining = f"{table}-{backbone.key}" if backbone.steps else ""
    return Detail(record.key, title, facts, curves, blocks.of_evaluation(record), pretraining)


def pretraining_detail(described: Described[PretrainingRecord], blocks: Blocks) -> Detail:
    """All that the page says of a pre-training."""
    record, facts, curves = described
    found = [blocks.of_backbone(record.spec), blocks.of_environment(record)]
    return Detail(record.key, record.spec.title, facts, curves, found)


def describe_evaluation(record: EvaluationRecord) -> Described[EvaluationRecord]:
    """`record` in facts and curves."""
    return Described(
        record.model_copy(update={"cases": [], "validation_curve": []}),
        facts=_present(
            ("Score", _score(record)),
            ("Beside it", _beside(record)),
            *case_facts(record),
            ("Selection", _selection(record)),
            ("Backbone", _backbone(record)),
            ("Features", _health(record.health)),
            ("Cost", _cost(record.cost)),
            ("Made", _made(record)),
            ("Split", f"by {record.split_by}" if record.split_by else ""),
            ("Left out", ", ".join(record.left_out)),
            ("Overlap with the corpus", ", ".join(record.overlap)),
        ),
        curves=_drawn(
            case_dots(record),
            curve(f"Validation {record.metric}", _points(record.validation_curve, "score"), record.best_step),
            curve("Validation loss", _points(record.validation_curve, "loss"), record.best_step),
        ),
    )


def describe_pretraining(record: PretrainingRecord) -> Described[PretrainingRecord]:
    """`record` in facts and curves."""
    looks = record.held_out_curve
    names = [name for name in looks[0] if name != "step"] if looks else []
    return Described(
        record.model_copy(update={"loss_curve": [], "held_out_curve": [], "stage_ranks": []}),
        facts=_present(
            ("Volumes seen", str(record.volumes_seen)),
            ("Features", _health(record.health)),
            ("Ranks of stages", _ranks(record)),
            ("Collapsed stages", "; ".join(map(str, record.collapsed))),
            ("Cost", _cost(record.cost)),
            ("Made", _made(record)),
        ),
        curves=_drawn(
            curve("Training loss", list(enumerate(record.loss_curve, 1))),
            *(curve(f"Held-out {name}", _points(looks, name)) for name in names),
        ),
    )


def _score(record: EvaluationRecord) -> str:
    metric = METRICS[record.metric]
    if record.score is None:
        return "undefined"
    unit = {"%": ", x 100", "": " in the unit of the target"}.get(metric.unit, f" in {metric.unit}")
    unit += "" if metric.higher_is_better else ", lower is better"
    return f"{metric.text(record.score)} {record.metric}{unit}"


def _beside(record: EvaluationRecord) -> str:
    said = {name: "undefined" if isnan(value) else METRICS[name].text(value) for name, value in record.beside.items()}
    return ", ".join(f"{name} {text}" for name, text in said.items())


def _selection(record: EvaluationRecord) -> str:
    last = max((look.get("step", 0) for look in record.validation_curve), default=0)
    converged = "converged" if record.converged else "not converged (still gaining when the steps were spent)"
    said = [f"step {record.best_step}{f' of {last:.0f}' if last else ''}", converged]
    if record.learning_rate is not None:
        edge = " (the edge of those tried)" if record.learning_rate_interior is False else ""
        said.append(f"learning rate {record.learning_rate:g}{edge}")
    if record.steps_made > last:
        said.append(f"{record.steps_made} steps under all learning rates")
    if record.never_predicted:
        said.append(f"never predicted: {', '.join(record.never_predicted)}")
    return ", ".join(said)


def _backbone(record: EvaluationRecord) -> str:
    seen = record.volumes_seen_in_pretraining
    said = [
        f"decoder {record.modules.decoder}" if record.modules else "",
        f"{seen} volumes seen in pre-training" if seen else "",
        SCENES.get(record.scene, ""),
        f"licence of the weights: {record.licence}" if record.licence else "",
    ]
    return "; ".join(filter(None, said))


def _health(health: Mapping[str, float]) -> str:
    said = [f"{name.replace('_', ' ')} {value:.3g}" for name, value in health.items()]
    return ", ".join(said)


def _ranks(record: PretrainingRecord) -> str:
    """The effective rank of every stage at the end, after the random start's."""
    if not record.stage_ranks:
        return ""
    first, last = record.stage_ranks[0], record.stage_ranks[-1]
    return ", ".join(
        f"{name} {first[name]:.1f} → {last[name]:.1f}" for name in first if name != "step" and name in last
    )


def _cost(cost: Mapping[str, float]) -> str:
    known = [f"{cost[name]:,.{digits}f} {unit}" for name, (unit, digits) in COSTS.items() if name in cost]
    return ", ".join([*known, *(f"{name} {value:g}" for name, value in cost.items() if name not in COSTS)])


def _made(record: EvaluationRecord | PretrainingRecord) -> str:
    created, commit = (record.provenance.get(name) for name in ("created", "commit"))
    return ", ".join(filter(None, [str(created or ""), f"commit {commit}" if commit else ""]))


def _points(looks: Iterable[Mapping[str, float]], name: str) -> list[tuple[float, float]]:
    return [(look["step"], look[name]) for look in looks if "step" in look and name in look]


def _present(*facts: tuple[str, str]) -> Facts:
    return [(name, text) for name, text in facts if text]


def _drawn(*curves: Markup | None) -> Sequence[Markup]:
    return [drawn for drawn in curves if drawn is not None]
