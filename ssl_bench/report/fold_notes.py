"""What a table says of folds that it pools, and of subjects with several scans."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ssl_bench.report.table import Table

FOLDS = (
    "each test case is scored once over the folds of a cross-validation, and an AUC is the mean of the folds' own. "
    "Intervals and tests are over subjects and the networks that the folds trained, p below three seeds of t (and not "
    "of sign flips), as cautious as so few networks ask for; that the folds' training sets overlap they cannot know "
    "(Bengio and Grandvalet 2004), so that they are rather too narrow for another draw of all data"
)
SUBJECTS = "the scans of a subject are one unit in intervals and tests"
PAIRS = (
    "scores are over pairs of test cases; intervals and tests take a pair as its subjects' shares and one of its own, "
    "and speak of new subjects"
)


def fold_notes(table: Table, text: Callable[[str], str]) -> Iterator[str]:
    """For the tasks of `table`; `text` writes a name out of a record."""
    pooled = sorted({column[0] for column in table.columns if table.folds(column)[0] > 1})
    if pooled:
        yield f"{', '.join(map(text, pooled))}: {FOLDS}."
    missing = sorted({column[0] for column in table.columns if table.folds(column)[0] < table.folds(column)[1]})
    if missing:
        yield f"{', '.join(map(text, missing))}: some folds have not run; their cases are not in these numbers."
    repeated = {}
    for column in table.columns:
        cases, subjects = table.test_cases(column)
        if subjects < cases and not table.of_pairs(column):
            repeated[column[0]] = f"{text(column[0])} ({subjects} subjects, {cases} scans)"
    if repeated:
        yield f"{', '.join(repeated.values())}: {SUBJECTS}."
    if paired := sorted({column[1] for column in table.columns if table.of_pairs(column)}):
        yield f"{', '.join(map(text, paired))}: {PAIRS}."
