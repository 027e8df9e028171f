"""What a plan names is made known before its cell runs, and compared with what the cell was planned from."""

from __future__ import annotations

from ssl_bench.api.registry import METHODS, add_plugin_file
from ssl_bench.api.settings import load_preset
from ssl_bench.data.embedded import corpus_spec, data_spec
from ssl_bench.data.layouts.own_tasks import register_own
from ssl_bench.errors import UserError
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.specification import PretrainingSpec


def register(cell: Cell) -> None:
    """Make the cell's plugin files known, and the task that its folder defines.

    Raises UserError if one is gone, or if the method or the embedded volumes are not those of the plan, which may come
    from another installation. Folders, and files of weights, are compared when they are read.
    """
    for file in cell.plugins:
        add_plugin_file(file)
    register_own(cell.sources)
    backbone, cohort = cell.backbone, load_preset("smoke").cohort  # Its sizes are no part of a fingerprint.
    if isinstance(backbone, PretrainingSpec):
        facts, source = METHODS.load(backbone.method).facts, METHODS.source_digest(backbone.method)
        if (facts.version, source) != (backbone.method_version, backbone.plugin_source):
            raise _another(cell, f"method {backbone.method!r}")
    corpus, data = backbone.corpus, cell.evaluation.data if cell.kind == "evaluation" else None
    if corpus and not corpus.is_real and corpus.fingerprint != corpus_spec(cohort).fingerprint:
        raise _another(cell, "the embedded corpus")
    if data and not data.is_real:
        task = cell.evaluation.task
        if data.fingerprint != data_spec(task, cohort, cell.sources.anatomy).fingerprint:
            raise _another(cell, f"the cohort of task {task!r}")


def _another(cell: Cell, what: str) -> UserError:
    return UserError(
        f"cell {cell.key}: {what} is another one here than in its plan; install the versions that ssl-bench reproduce "
        "names, or plan it again with ssl-bench run"
    )
