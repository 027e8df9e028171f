"""The lines of `StoreFrames` that one record becomes, and their columns."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from ssl_bench.api.metric import METRICS
from ssl_bench.report.columns import as_float
from ssl_bench.report.parsing import EvaluationFields, ParsedRecord, PretrainingFields
from ssl_bench.report.row_options import changed_options
from ssl_bench.report.snapshot_lines import trajectory_of
from ssl_bench.spec.collapse import collapsed_stages
from ssl_bench.spec.specification import DataSpec, ExternalBackbone, PretrainingSpec, protocol_title
from ssl_bench.weights.trained_on import Answer, trained_on_task

BESIDE = {
    "accuracy": "accuracy",
    "balanced accuracy": "balanced_accuracy",
    "Pearson r": "pearson_r",
    "R²": "r_squared",
    "within 2 voxels": "within_2_voxels",
    "coarse-to-fine error": "coarse_to_fine_error_mm",
    "one-shot DSC": "one_shot_dsc",
    "TRE": "tre_mm",
    "folded": "folded",
    "own map DSC": "own_dsc",
    "own map TRE": "own_tre_mm",
    "own map folded": "own_folded",
}
"""What is shown beside some metrics, with the name of its column."""
PRETRAINING_COLUMNS = (
    "key", "preset", "setting", "data", "method", "options", "seed", "volumes_seen", "loss_first", "loss_last",
    "feature_std", "effective_rank", "wall_seconds", "device_seconds", "device", "commit", "corpus", "collapsed",
)  # fmt: skip
CELL_COLUMNS = (
    "preset", "overrides", "setting", "ranked", "data", "paradigm", "task", "label_fraction", "split", "fold",
    "overlap", "scene", "protocol", "licence", "seed", "metric", "better", "score",
    *BESIDE.values(), "cases", "never_predicted", "best_step",
    "steps_made", "converged", "learning_rate", "decoder",
    "wall_seconds", "peak_process_mib", "precision", "device", "key", "device_seconds", "feature_std",
    "effective_rank", "commit", "cohort",
    "_setting", "_data", "_overlap", "_left_out", "_split_by", "_trains_everything", "_rate_at_edge", "_provenance",
    "cases_digest", "reset", "_policy", "shifts", "_trained_on", "subjects", "folds", "_pool",
    "_downstream", "_backbone", "method", "options", "network", "corpus", "pretraining", "_version",
    "trained_on",
)  # fmt: skip
"""Those of `evaluation_line`, of the specification beside it, and of `backbone_part`."""
_CORRECTED_PARADIGMS = {("rotation", "centroid-absolute"): "centroid-hidden"}
"""By built-in method and what records say that were made before its facts were corrected: what they say now."""


def paradigm_of(fields: EvaluationFields, backbone: PretrainingSpec | ExternalBackbone) -> str:
    """The paradigm of a record's method: a record stays as it is, but old and new ones must share a row."""
    recorded = fields.get("paradigm", "external")
    if isinstance(backbone, ExternalBackbone) or backbone.plugin_source:
        return recorded
    return _CORRECTED_PARADIGMS.get((backbone.method, recorded), recorded)


def evaluation_line(
    record: ParsedRecord,
    data: DataSpec,
    fields: EvaluationFields,
    paradigm: str,
    cases: Sequence[Mapping[str, Any]],
) -> tuple[Any, ...]:
    """What the record of an evaluation says besides its backbone."""
    setting, modules, made = record.setting(), record.modules(), record.provenance()
    cost, health = fields.get("cost", {}), fields.get("health", {})
    overlap, left_out, metric = fields.get("overlap", []), fields.get("left_out", []), fields.get("metric", "DSC")
    folds = record.cross_validation()
    return (
        setting.preset,
        " ".join(setting.overrides),
        setting.digest,
        setting.ranked,
        fields["data"],
        paradigm,
        fields["task"],
        data.label_fraction,
        data.split,
        data.fold or 0,
        len(overlap),
        fields.get("scene", "none"),
        protocol_title(fields["protocol"], fields.get("protocol_source")),
        fields.get("licence", ""),
        fields["seed"],
        metric,
        METRICS[metric].better,
        fields.get("score"),
        *(fields.get("beside", {}).get(name) for name in BESIDE),
        len(cases),
        len(dropped) if (dropped := fields.get("never_predicted")) is not None else nan,
        fields.get("best_step", 0),
        fields.get("steps_made", 0),
        fields.get("converged", False),
        fields.get("learning_rate"),
        modules.decoder if modules else "",
        cost.get("wall_seconds"),
        cost.get("peak_process_mib"),
        fields["precision"],
        made.get("device"),
        fields["key"],
        cost.get("device_seconds"),
        health.get("feature_std"),
        health.get("effective_rank"),
        made.get("commit"),
        data.column,
        setting,
        data,
        overlap,
        left_out,
        fields.get("split_by", ""),
        bool(modules and not modules.frozen),
        fields.get("learning_rate_interior") is False,
        made,
        fields.get("cases_digest", ""),
        fields.get("reset", ""),
        fields.get("policy", ""),
        " ".join(dict.fromkeys(one["shift"] for one in fields.get("shifted", ()))),
        fields.get("trained_on_shifts"),
        len({*subjects_of(cases), *(str(case["partner"]) for case in cases if "partner" in case)}),
        folds.folds if folds else 1,
        data.pooled_column(folds.digest) if folds else "",
    )  # fmt: skip


def subjects_of(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the subject of each case is called: as one of its cases."""
    return [str(case.get("subject", case.get("case"))) for case in cases]


def trained_on(backbone: PretrainingSpec | ExternalBackbone, task: str, data: DataSpec) -> Answer:
    """Whether the weights that came from elsewhere were made with the task's data set; empty where none came."""
    given = backbone.given
    return trained_on_task(given.origin.trained_on, task, data.is_real) if given else ""


def backbone_part(backbone: PretrainingSpec | ExternalBackbone) -> tuple[Any, ...]:
    """What the line of an evaluation says of its backbone, which many share."""
    return (
        backbone.method,
        changed_options({**backbone.options, **({"init": backbone.init.name} if backbone.init else {})}),
        backbone.network,
        backbone.corpus.fingerprint if backbone.corpus else "",
        backbone.key if isinstance(backbone, PretrainingSpec) and backbone.steps else "",
        backbone.version,
    )


def pretraining_line(record: ParsedRecord, fields: PretrainingFields) -> tuple[Any, ...]:
    """What the record of a pre-training says."""
    setting, spec, made = record.setting(), record.pretraining(), record.provenance()
    cost, health, losses = fields.get("cost", {}), fields.get("health", {}), fields.get("loss_curve", [])
    collapsed = collapsed_stages(fields.get("stage_ranks", []), fields.get("trained_stages", {}))
    return (
        fields["key"], setting.preset, setting.digest, fields["data"], spec.method, changed_options(spec.options),
        spec.seed, fields.get("volumes_seen", 0), statistics.fmean(losses[:5]) if losses else nan,
        statistics.fmean(losses[-20:]) if losses else nan, health.get("feature_std"), health.get("effective_rank"),
        cost.get("wall_seconds"), cost.get("device_seconds"), made.get("device"), made.get("commit"),
        spec.corpus.fingerprint if spec.corpus else "", ", ".join(stage.name for stage in collapsed),
        _held_out(fields.get("held_out_curve", [])), collapsed,
        trajectory_of(losses, fields.get("snapshots", []), fields.get("stage_ranks", []),
                      fields.get("trained_stages", {})),
    )  # fmt: skip


def _held_out(points: Sequence[Mapping[str, float | None]]) -> list[tuple[str, float, float]]:
    """Each held-out loss: before the first step, and its mean after each of the last 20."""
    if not points:
        return []
    start = max(0, as_float(points[-1].get("step", 0)) - 20)
    ended = [point for point in points if as_float(point.get("step", 0)) > start]
    found = []
    for name in (name for name in points[0] if name != "step"):
        last = [as_float(point[name]) for point in ended if name in point]
        found.append((name, as_float(points[0][name]), statistics.fmean(last) if last else nan))
    return found
