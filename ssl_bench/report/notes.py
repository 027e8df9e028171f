"""What must be known to read a table, said once for all formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ssl_bench.api.metric import Metric
from ssl_bench.report.collapse import collapse_notes
from ssl_bench.report.family import Family
from ssl_bench.report.fold_notes import fold_notes
from ssl_bench.report.rates_at_the_edge import edge_notes
from ssl_bench.report.statistics import ENOUGH_SEEDS
from ssl_bench.report.table import Table
from ssl_bench.report.tuned_rows import tuning_notes
from ssl_bench.spec.record import COUNTS_MISSES

SEMI_REAL = (
    "Semi-real data: every volume is grown from one real chest CT or one average brain by smooth warps, synthetic "
    "lesions and simulated acquisition (1 anatomy). Smooth warps of one anatomy are exactly what a method with a "
    "deformable matching head can invert, so such methods are favoured here. Scores are not comparable with any "
    "paper's, and differences speak of the generator, not of patients."
)
SEMI_REAL_TESTS = (
    "Semi-real data: intervals and tests speak of the volumes that the generator could have drawn, not of patients."
)
SEMI_REAL_CAPTION = (
    "All volumes are semi-real, grown from one anatomy: the scores are not comparable with those of any paper, and "
    "methods with a deformable matching head are favoured."
)
NETWORKS = (
    f"These trained networks are compared, not methods: fewer than {ENOUGH_SEEDS} seeds say nothing of networks that "
    "other seeds would give. Intervals are over test cases alone; p is of paired tests over cases (sign flips; for AUC "
    "DeLong's). A small p says that these trained networks differ, not that their methods do."
)
METHODS = (
    f"Methods are compared, from {ENOUGH_SEEDS} seeds on: intervals and paired tests are over test cases and seeds at "
    "once, as two crossed random effects (two-way analysis of variance with Satterthwaite's degrees of freedom; p "
    "weighted after Cochran and Cox; for AUC with DeLong's components), and speak of other seeds and cases. Where a "
    "comparison has fewer seeds, a sentence says so, and only those trained networks are compared."
)
TESTS = (
    "Intervals are 95 %. Seeds ± is the standard deviation of the score over seeds, By seed the difference "
    "of each. p is two-sided. d is the difference in standard deviations of the paired differences. Could show: the "
    "true difference that such tests find in 80 % of draws at the corrected level. Rank: the places that the pairwise "
    "tests leave open. How, and how it was checked: docs/statistics.md."
)
SEVERAL_CLASSES = (
    "macro AUC: of each case what DeLong's components of all classes against their rest add up to; their mean is the "
    "score, and p is of t over them, whatever the number of seeds."
)
FAMILIES = {
    Family.column: "p is corrected by Holm within the column and over no other (--family column).",
    Family.table: "p is corrected by Holm over all columns of this table (--family table).",
}
MEAN_RANK = (
    "Mean rank: complete rows are ranked in every column by the mean score, 1 the best, equal scores sharing their "
    "ranks, and the ranks averaged over columns, whose metrics do not add up. Its 95 % interval resamples test "
    "cases{seeds}, the same for all rows, and says where the mean rank of a repetition may lie."
)
PARADIGMS = (
    "The mean score and mean rank of each paradigm's rows; a row with options of its own counts as one. Rows that lack "
    "a cell enter neither."
)
PRETRAININGS = (
    "Training loss: mean of the first 5 steps → of the last 20. Held-out: on fixed volumes outside the corpus, before "
    "the first step → mean after each of the last 20 steps."
)
Written = Callable[[str], str]
"""How a format writes a text out of a record."""


def unranked(table: Table, code: Written) -> list[str]:
    """That nothing is ranked here; empty for a table in which something is."""
    preset = f"Preset {code(table.setting.preset)} only proves that everything runs: nothing here is ranked."
    return [] if table.setting.ranked else [preset]


def test_notes(table: Table, family: Family) -> list[str]:
    """How to read the statistics of a table, whether they are of methods or of networks first."""
    about = METHODS if len(table.seeds) >= ENOUGH_SEEDS else NETWORKS
    of_classes = [SEVERAL_CLASSES] if (table.cells["metric"] == "macro AUC").any() else []
    real = [] if table.is_real else [SEMI_REAL_TESTS]
    return [*real, f"{about} {FAMILIES[family]}", *of_classes, f"All {units(table)}. {TESTS}"]


def units(table: Table) -> str:
    """What the numbers of a table are multiplied by, and what is said of columns that are not."""
    lower = lower_is_better(map(table.metric, table.columns))
    return f"x 100 ({lower})" if lower else "x 100"


def never_predicted(table: Table) -> str:
    """What the mark of a row says that misses a structure altogether, or a class of volumes where there are several."""
    several = any(table.metric(column).name == "macro AUC" for column in table.columns)
    return f"a structure{' or class' if several else ''} of the test cases is never predicted"


def lower_is_better(metrics: Iterable[Metric]) -> str:
    """Of which of `metrics` that is so, and that they are in a unit of their own; empty where there is none."""
    units = {one.heading: one.unit or "the unit of the target" for one in metrics if not one.higher_is_better}
    return "; ".join(f"{heading}: in {unit}, lower is better" for heading, unit in sorted(units.items()))


def mean_rank_note(table: Table) -> list[str]:
    """How to read mean ranks; empty for a table in which nothing is ranked."""
    seeds = " and seeds" if len(table.seeds) >= ENOUGH_SEEDS else " alone, for these networks"
    return [MEAN_RANK.format(seeds=seeds)] if table.setting.ranked else []


def data_notes(table: Table, code: Written, text: Written) -> Iterator[str]:
    """The data on which the numbers rest, those that chose options, and the licences of weights from files.

    `code` writes names and digests.
    """
    yield from tuning_notes(table, code, text)
    corpus = table.corpus
    if corpus is not None and corpus.is_real:
        yield f"Pre-trained on {corpus.volumes} scans of a folder, corpus {code(corpus.fingerprint)}."
    elif corpus is not None and table.is_real:
        yield "Pre-trained on the embedded, semi-real corpus (1 anatomy), evaluated on real data."
    for sentence, cases in overlaps(table, text):
        shown = f"{', '.join(cases[:5])}{', …' if len(cases) > 5 else ''}"
        yield f"{sentence}, which the user allowed ({text(shown)})."
    for task, left_out in table.listed_by_task("_left_out").items():
        yield f"{text(task)}: {len(left_out)} cases could not be used; their records say why."
    yield from _policies(table, text)
    yield from fold_notes(table, text)
    by_case = table.cells[table.cells["_split_by"] == "case"]
    for task in sorted(set(by_case["task"])):
        yield f"{text(task)}: split by case, for nothing says which scans are of one patient."
    yield from collapse_notes(table, text)
    yield from edge_notes(table, text)
    for row in table.rows:
        if row.paradigm == "external":
            first = table.cells[table.cells["_row"] == table.rows.index(row)].iloc[0]
            given = first["_backbone"].given
            yield (
                f"{code(row.label)}: weights from a file, network {first['network']}; licence of the weights: "
                f"{text(first['licence'] or 'not recorded')}; trained on: "
                f"{text(', '.join(given.origin.trained_on if given else ()) or 'unknown')}."
            )


def _policies(table: Table, text: Written) -> Iterator[str]:
    """For each segmentation task some of whose records leave missed classes out of HD95, and some do not."""
    segmented = table.cells[(table.cells["metric"] == "DSC") & (table.cells["_policy"] != "")]
    for task, policies in segmented.groupby("task")["_policy"]:
        counts = policies.str.contains(COUNTS_MISSES, regex=False)
        if counts.any() and not counts.all():
            yield (
                f"{text(task)}: HD95 leaves out classes that were missed in {int((~counts).sum())} older cells and "
                f"counts them in {int(counts.sum())}; do not compare the two."
            )


def overlaps(table: Table, text: Written) -> Iterator[tuple[str, list[str]]]:
    """For each task whose test or validation patients are in the corpus: a sentence without its stop, and the cases."""
    for task, cases in table.listed_by_task("_overlap").items():
        found = f"{len(cases)} validation or test cases are in the pre-training corpus too"
        yield f"{text(task)}: {found}, or other scans of the same patients", cases


def environments(table: Table) -> Iterator[str]:
    """Where cells of one table ran on different code or machines: scores may differ in their last digits by that."""
    for name, title in (("commit", "commits"), ("device", "kinds of device"), ("precision", "precisions")):
        found = sorted({str(made.get(name, "unknown")) for made in table.cells["_provenance"]})
        if len(found) > 1:
            yield f"Cells of different {title} stand here: {', '.join(found)}; each cell's drawer says which."
