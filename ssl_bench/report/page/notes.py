"""What must be known to read one table, as plain sentences."""

from __future__ import annotations

from collections.abc import Iterator

from ssl_bench.report.cell_text import network_and_licence
from ssl_bench.report.table import Table


def notes_of(table: Table) -> list[str]:
    """How to read the numbers, on what they rest, and what is irregular about them."""
    return [*_ranking(table), *_corpus(table), *_cases(table), *_licences(table), *_environments(table)]


def _ranking(table: Table) -> Iterator[str]:
    if not table.setting.ranked:
        yield f"Preset {table.setting.preset} only proves that everything runs: nothing here is ranked."
    seeds = ", ".join(map(str, table.seeds))
    spread = f", then mean ± standard deviation over seeds {seeds}" if len(table.seeds) > 1 else f", seed {seeds}"
    yield f"Mean over test cases, x 100{spread}. Setting {table.setting.digest}."
    if len(table.complete_rows) < len(table.rows):
        yield "A row that lacks a cell or a seed is incomplete: shown, without a mean, never bold and never ranked."


def _corpus(table: Table) -> Iterator[str]:
    if table.corpus is not None and table.corpus.is_real:
        yield f"Pre-trained on {table.corpus.volumes} scans of a folder, corpus {table.corpus.fingerprint}."
    elif table.corpus is not None and table.data == "real":
        yield "Pre-trained on the embedded, semi-real corpus (1 anatomy), evaluated on real data."


def _cases(table: Table) -> Iterator[str]:
    for task, overlap in table.said_by_task("overlap").items():
        yield (
            f"{task}: {len(overlap)} validation or test cases are in the pre-training corpus too, which the user "
            f"allowed ({', '.join(overlap[:5])}{', …' if len(overlap) > 5 else ''})."
        )
    for task, left_out in table.said_by_task("left_out").items():
        yield f"{task}: {len(left_out)} cases could not be used; each cell's drawer says why."


def _licences(table: Table) -> Iterator[str]:
    for row in table.rows:
        if row.paradigm == "external":
            network, licence = network_and_licence(table, row)
            yield f"{row.label}: weights from a file, network {network}; licence of the weights: {licence}."


def _environments(table: Table) -> Iterator[str]:
    """Where cells of one table ran on different code or machines: scores may differ in their last digits by that."""
    for name, title in (("commit", "commits"), ("device", "kinds of device"), ("precision", "precisions")):
        found = sorted({str(record.provenance.get(name, "unknown")) for record in table.records()})
        if len(found) > 1:
            yield f"Cells of different {title} stand here: {', '.join(found)}; each cell's drawer says which."
