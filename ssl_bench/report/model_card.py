"""The card of a published backbone: what made it, with what, under which terms, how it scored, how to load it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version

from ssl_bench.api.registry import BACKBONES, METHODS
from ssl_bench.report.cell_text import cases_text, interval_text
from ssl_bench.report.comparison import summarise
from ssl_bench.report.markdown_table import code, escaped, markdown_table
from ssl_bench.report.notes import SEMI_REAL
from ssl_bench.report.results import no_collection, read_results
from ssl_bench.report.row_options import changed_options
from ssl_bench.report.scores import column_scores
from ssl_bench.report.table import column_title, tables_of
from ssl_bench.spec.record import PretrainingRecord
from ssl_bench.spec.specification import PretrainingSpec
from ssl_bench.store.store import Store

WEIGHTS, CARD, CONFIG, RECORD = "model.safetensors", "README.md", "config.json", "record.json"
"""What is published."""
EMBEDDED_TERMS = (
    "the corpus is grown from one real chest CT under Apache-2.0, see LICENSES.md of ssl-bench's embedded anatomies"
)


@dataclass(frozen=True)
class Statement:
    """What the publisher says, which no record knows."""

    licence: str = ""
    """Of the weights; empty for none stated."""
    data_licence: str = ""
    """Of the corpus."""
    trained_on: tuple[str, ...] = ()
    """The names of the data sets in the corpus."""


@no_collection()
def model_card(store: Store, record: PretrainingRecord, said: Statement) -> str:
    """Markdown with a head in YAML, as hubs read it, of the pre-training that `record` is of."""
    spec = record.spec
    facts = METHODS.load(spec.method).facts
    head = {"license": said.licence, "library_name": "pytorch", "datasets": [*said.trained_on]}
    tags = ["ssl-bench", "medical-imaging", "self-supervised-learning", "3d"]
    # JSON is YAML: nothing that a name holds can leave its place.
    lines = [f"{name}: {json.dumps(value)}" for name, value in {**head, "tags": tags}.items() if value]
    scores = _scores(store, record.key)
    return "\n".join(
        [
            *("---", *lines, "---", ""),
            f"# {escaped(facts.title)}, {spec.network} of width {spec.width}\n",
            f"A backbone for 3D medical images, pre-trained by ssl-bench {version('ssl-bench')} without labels.\n",
            *[f"- {line}" for line in _facts(record, said)],
            "",
            "## Load it\n",
            f"```python\n{load_lines(spec)}\n```\n",
            f"{_volumes(spec)}\n",
            "## Scores\n",
            *([f"{SEMI_REAL}\n"] if record.data.startswith("semi-real") or scores.semi_real else []),
            scores.text,
        ]
    )


def load_lines(spec: PretrainingSpec) -> str:
    """Three lines of Python that give the network with its weights; torch, safetensors and the network's own code."""
    network = BACKBONES.load(spec.network)
    size = f"width={spec.width}" + (f", channels_in={spec.channels}" if spec.channels > 1 else "")
    return (
        "from safetensors.torch import load_file\n"
        f"from {network.__module__} import {network.__name__}  # a torch.nn.Module\n"
        f'network = {network.__name__}({size}); network.load_state_dict(load_file("{WEIGHTS}"))'
    )


def _facts(record: PretrainingRecord, said: Statement) -> list[str]:
    spec = record.spec
    facts, corpus = METHODS.load(spec.method).facts, spec.corpus
    assert corpus is not None
    options = changed_options(spec.options)
    terms = said.data_licence or ("not stated" if corpus.is_real else EMBEDDED_TERMS)
    start = f", from the weights {code(str(spec.init.hub or spec.init.name))}" if spec.init else ""
    return [
        f"Method: {escaped(facts.title)} ({escaped(facts.paper)}), version {spec.method_version}"
        f"{f', options {code(options)}' if options else ''}; it pre-trains: {facts.pretrains}.",
        f"Pre-training: {spec.steps} steps of {spec.batch} volumes, windows of {spec.crop} voxels a side, seed "
        f"{spec.seed}, {spec.precision}{start}.",
        f"Corpus: {escaped(', '.join(said.trained_on)) or 'not named'}; {corpus.volumes} volumes, digest "
        f"{code(corpus.fingerprint)}.",
        f"Licence of the data: {escaped(terms)}.",
        f"Licence of the weights: {escaped(said.licence or 'none stated')}.",
        f"Record: {code(record.key)}, whole in {code(RECORD)}; SHA-256 of the tensors {code(record.backbone_sha256)}.",
    ]


def _volumes(spec: PretrainingSpec) -> str:
    recipe = spec.corpus.recipe if spec.corpus and spec.corpus.is_real else {}
    prepared = f" as {code(changed_options(recipe))}" if recipe else ", CT clipped to -1024 to 1024 HU as 0 to 1"
    return (
        f"It reads float32 volumes (B, {spec.channels}, D, H, W), indices growing to superior, anterior and right, "
        f"prepared{prepared}, and gives global and local features. `ssl-bench evaluate --backbone {WEIGHTS} --task "
        "TASK` scores it."
    )


@dataclass(frozen=True)
class _Scores:
    text: str
    semi_real: bool


def _scores(store: Store, key: str) -> _Scores:
    """The scores of all evaluations in the store that rest on the pre-training `key`, with 95 % intervals."""
    frames = read_results(store)
    frames = frames._replace(cells=frames.cells[frames.cells["pretraining"] == key])
    lines, semi_real = [], False
    for table in tables_of(frames) if len(frames.cells) else []:
        semi_real |= not table.is_real
        for column in table.columns:
            scores = column_scores(table, column)
            for place, summary in summarise(scores).items() if scores else ():
                interval = interval_text(summary.estimate, table.metric(column))
                cases = cases_text(summary.cases, summary.subjects)
                row, preset = table.rows[place].label, table.setting.preset
                lines.append([row, preset, column_title(column, table), interval, cases])
    if not lines:
        return _Scores("It has not been evaluated in the results that it was published from.\n", semi_real)
    header = ["Row", "Preset", "Column", "Score [95 % interval]", "Over"]
    return _Scores(f"Intervals are over test cases, of this one network.\n\n{markdown_table(header, lines)}", semi_real)
