"""Planning a cell again from its plan, to see whether it still is the same cell."""

from __future__ import annotations

from ssl_bench.api.settings import load_preset
from ssl_bench.data.sources import DataSources
from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.planning.registration import register
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.specification import EvaluationSpec, PretrainingSpec


def plan_again(cell: Cell) -> Cell | None:
    """What this installation plans for `cell`; None where folders of data would have to be prepared first.

    Raises UserError where it cannot be planned: a plugin, a setting or a file is gone.
    """
    from ssl_bench.weights.loading import describe_external

    spec, overrides = cell.spec, cell.setting.overrides
    backbone = spec.backbone if isinstance(spec, EvaluationSpec) else spec
    if any(data is not None and data.is_real for data in (spec.data, backbone.corpus)):
        return None
    register(cell)
    preset = load_preset(cell.setting.preset, overrides)
    fraction = spec.data.label_fraction if isinstance(spec, EvaluationSpec) else 1.0
    data = DataSources(cell.locations, preset.cohort, preset.data, label_fraction=fraction)
    planner = Planner(preset, overrides, spec.precision, data)
    if isinstance(spec, PretrainingSpec):
        return planner.pretraining(spec.method, spec.seed)
    if isinstance(spec.backbone, PretrainingSpec):
        return planner.evaluation(spec.backbone.method, spec.task, spec.protocol, spec.seed)
    if cell.backbone_file is None:
        raise UserError("the file of its weights is not recorded")
    external = describe_external(cell.backbone_file)
    return planner.external(cell.backbone_file, external, spec.task, spec.protocol, spec.seed)
