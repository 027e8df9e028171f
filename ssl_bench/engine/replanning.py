"""Planning a cell again from its plan, to see whether it still is the same cell."""

from __future__ import annotations

from ssl_bench.cells.plan import Cell, Planner
from ssl_bench.cells.science import EvaluationScience, FolderCorpusScience, FolderDataScience, PretrainingScience
from ssl_bench.datasets.user_data import UserData
from ssl_bench.errors import UserError
from ssl_bench.settings import load_preset


def plan_again(cell: Cell) -> Cell | None:
    """What this installation plans for `cell`; None where folders of data would have to be prepared first.

    Raises UserError where it cannot be planned: a plugin, a setting or a file is gone.
    """
    from ssl_bench.engine.weights import describe_external

    science, overrides = cell.science, cell.setting.overrides
    backbone = science.backbone if isinstance(science, EvaluationScience) else science
    if isinstance(getattr(science, "data", None), FolderDataScience):
        return None
    if isinstance(getattr(backbone, "corpus", None), FolderCorpusScience):
        return None
    cell.register()
    preset = load_preset(cell.setting.preset, overrides)
    fraction = science.data.label_fraction if isinstance(science, EvaluationScience) else 1.0
    data = UserData(cell.sources, preset.data, label_fraction=fraction)
    planner = Planner(preset, overrides, science.precision, data)
    if isinstance(science, PretrainingScience):
        return planner.pretraining(science.method, science.seed)
    if isinstance(science.backbone, PretrainingScience):
        return planner.evaluation(science.backbone.method, science.task, science.protocol, science.seed)
    if cell.backbone_file is None:
        raise UserError("the file of its weights is not recorded")
    external = describe_external(cell.backbone_file)
    return planner.external(cell.backbone_file, external, science.task, science.protocol, science.seed)
