"""What the caption of a LaTeX table says: everything that a reader needs to judge its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ssl_bench.report.family import Family
from ssl_bench.report.fold_notes import fold_notes
from ssl_bench.report.latex_text import latex
from ssl_bench.report.notes import SEMI_REAL_CAPTION, lower_is_better, never_predicted, overlaps
from ssl_bench.report.statistics import ENOUGH_SEEDS
from ssl_bench.report.table import Column, Table, changes_text, column_parts
from ssl_bench.report.tuned_rows import tuning_notes

_PROTOCOLS = {"linear": "Linear", "finetune": "Fine-tuning", "probe": "Linear probe"}


def caption(table: Table, columns: Sequence[Column], baseline: str, family: Family) -> str:
    """The caption as LaTeX: setting, seeds, test cases, marks, and what the data are."""
    setting, seeds = table.setting, ", ".join(map(str, table.seeds))
    changes = changes_text(table, _code)
    several = len(table.seeds) > 1
    spread = f", mean $\\pm$ standard deviation over seeds {seeds}" if several else f", one seed ({seeds})"
    sentences = [
        f"Pre-training methods under {_protocols(columns)}, preset {_code(setting.preset)}{changes}.",
        f"Mean over test cases {_units(table)}{spread}; test cases: {_cases(table, columns)}.",
        *_differences(table, baseline, family),
    ]
    if setting.ranked:
        sentences.append("Bold: the best row of a column among those that have every cell.")
        resampled = "test cases and seeds" if _of_methods(table) else "test cases"
        sentences.append(f"Mean rank: over the columns, with a 95\\% interval by resampling {resampled}.")
    else:
        sentences.append("This preset only proves that everything runs: nothing here is ranked.")
    shown = {mark for place in table.places.values() for mark in place.marks}
    if "†" in shown:
        sentences.append(r"$\dagger$: read through a random, frozen decoder.")
    if "◦" in shown:
        sentences.append(r"$\circ$: not converged, validation was still gaining when the steps were spent.")
    if "‡" in shown:
        sentences.append(rf"$\ddagger$: {never_predicted(table)}.")
    if "◔" in shown:
        sentences.append(r"$\diamond$: lacks folds that other rows have.")
    if "●" in shown:
        sentences.append(r"$\bullet$: weights made with the task's data set, as their source says.")
    if "?" in shown:
        sentences.append("$?$: nothing says whether the weights were made with the task's data set.")
    sentences += map(latex, fold_notes(table, str))
    return "\n".join([*sentences, *_data(table), f"Setting {_code(setting.digest)}."])


def protocol_titles(columns: Iterable[Column]) -> dict[str, str]:
    """The title of each protocol, as LaTeX, in the columns' order; with its version where there are several of one."""
    names = list(dict.fromkeys(column[1] for column in columns))
    versions = Counter(name.rpartition("-v")[0] for name in names)
    titles = {}
    for name in names:
        bare, _, version = name.rpartition("-v")
        title = _PROTOCOLS.get(bare, latex(name))
        titles[name] = f"{title} v{latex(version)}" if bare in _PROTOCOLS and versions[bare] > 1 else title
    return titles


def _protocols(columns: Sequence[Column]) -> str:
    names = [latex(name) for name in dict.fromkeys(column[1] for column in columns)]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _cases(table: Table, columns: Sequence[Column]) -> str:
    found = {}
    for column in columns:
        title, _, cases = column_parts(column, table)
        count, subjects = table.test_cases(column)
        what = "pairs" if table.of_pairs(column) else "scans"
        scans = f"{count} {what} of {subjects} subjects" if subjects < count else f"{count}"
        found[column[0], cases] = f"{latex(title + cases)} {scans}"
    return ", ".join(found.values())


def _differences(table: Table, baseline: str, family: Family) -> list[str]:
    if table.row_called(baseline) is None:
        return []
    sentences = [f"In small type, the difference to {latex(baseline)}."]
    if table.setting.ranked:
        over = "all columns" if family == Family.table else "the column"
        about = "between methods, over test cases and seeds"
        if not _of_methods(table):
            about = "between these trained networks, not methods, over test cases"
        sentences.append(f"$*$: $p < 0.05$ {about}; Holm's correction over {over}.")
    return sentences


def _units(table: Table) -> str:
    lower = lower_is_better(map(table.metric, table.columns))
    return r"in \%" + (f" ({latex(lower)})" if lower else "")


def _of_methods(table: Table) -> bool:
    return len(table.seeds) >= ENOUGH_SEEDS


def _data(table: Table) -> list[str]:
    sentences = [] if table.is_real else [SEMI_REAL_CAPTION]
    if table.corpus is not None and table.corpus.is_real:
        sentences.append(f"Pre-trained on {table.corpus.volumes} scans (corpus {_code(table.corpus.fingerprint)}).")
    elif table.corpus is not None and table.is_real:
        sentences.append("Pre-trained on an embedded, semi-real corpus (one anatomy), evaluated on real data.")
    sentences += tuning_notes(table, _code, latex)
    return [*sentences, *[f"{sentence}." for sentence, _ in overlaps(table, latex)]]


def _code(text: str) -> str:
    return rf"\texttt{{{latex(text)}}}"
