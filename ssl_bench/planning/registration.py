"""What a plan names is made known before its cell runs, and compared with what the cell was planned from."""

from __future__ import annotations

from ssl_bench.api.registry import METHODS, add_plugin_file
from ssl_bench.api.settings import load_preset
from ssl_bench.data.embedded import corpus_spec, data_spec
from ssl_bench.data.layouts.own_tasks import register_own
from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell


def register(cell: Cell) -> None:
    """Make the cell's plugin files known, and the task that its folder defines.

    Raises UserError if one is gone, or if the method or the embedded volumes are not those of the plan, which may come
    from another installation. Folders, and files of weights, are compared when they are read.
    """
    for file in cell.plugins:
        add_plugin_file(file)
    register_own(cell.sources)
    # Sizes are no part of a fingerprint.
    spec, cohort, planned_and_here = cell.spec, load_preset("smoke").cohort, {}
    backbone = getattr(spec, "backbone", spec)
    if not backbone.is_external:
        version, source = METHODS.load(backbone.method).facts.version, METHODS.source_digest(backbone.method)
        planned = (backbone.method_version, backbone.plugin_source)
        planned_and_here[f"method {backbone.method!r}"] = (planned, (version, source))
    if backbone.corpus and not backbone.corpus.is_real:
        planned_and_here["the embedded corpus"] = (backbone.corpus.fingerprint, corpus_spec(cohort).fingerprint)
    if cell.kind == "evaluation" and not cell.evaluation.data.is_real:
        task, data = cell.evaluation.task, cell.evaluation.data
        here = data_spec(task, cohort, cell.sources.anatomy).fingerprint
        planned_and_here[f"the cohort of task {task!r}"] = (data.fingerprint, here)
    for what, (planned, here) in planned_and_here.items():
        if planned != here:
            raise UserError(
                f"cell {cell.key}: {what} is another one here than in its plan; install the versions that ssl-bench "
                "reproduce names, or plan it again with ssl-bench run"
            )
