"""What test cases share: a subject, whose scans are one unit, and a fold, whose cases one network scored.

Scores of cases in, parts of their variance out. Where every case is of another subject and all are of one fold, they
are those of `ssl_bench.report.statistics`; what else was tried, with the figures: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_bench.report import statistics
from ssl_bench.report.pairs import pair_parts
from ssl_bench.report.statistics import ENOUGH_SEEDS, Array, Parts

Mask = NDArray[np.bool_]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Units:
    """The subject and the fold of each test case (cases,), numbered; no subject is in two folds."""

    subjects: Places
    folds: Places
    partners: Places | None = None
    """The other subject of each, where cases are pairs of subjects."""

    @classmethod
    def single(cls, cases: int) -> Units:
        """So many cases of a subject each, in one fold."""
        return cls(np.arange(cases), np.zeros(cases, dtype=np.intp))

    def of(self, kept: Mask) -> Units:
        """Those of the `kept` cases."""
        if kept.all():
            return self
        return Units(self.subjects[kept], self.folds[kept], None if self.partners is None else self.partners[kept])

    @property
    def count(self) -> int:
        """Of subjects."""
        return len(self.members)

    @property
    def members(self) -> Places:
        """Every subject once."""
        both = [self.subjects] if self.partners is None else [self.subjects, self.partners]
        return np.unique(np.concatenate(both))

    @property
    def networks(self) -> int:
        """Of folds: each has a network of its own under every seed."""
        return len(np.unique(self.folds))

    @property
    def pooled(self) -> bool:
        """Whether the cases are of several folds."""
        return self.networks > 1

    @property
    def repeated(self) -> bool:
        """Whether some subject has several cases, or shares them with others."""
        return self.partners is not None or self.count < len(self.subjects)


def components(probabilities: Array, positive: Mask, units: Units) -> Array:
    """DeLong's components of `probabilities` (..., cases) within each fold."""
    return of_each_fold(lambda at: statistics.auc_components(probabilities[..., at], positive[at]), units)


def of_each_fold(contributions: Callable[[Places], Array], units: Units) -> Array:
    """`contributions` (..., cases) of the cases at each fold's places, together: networks' outputs never meet."""
    if not units.pooled:
        return contributions(np.arange(len(units.folds)))
    folds = _members(units.folds)
    found = [contributions(members) for members in folds]
    together = np.empty((*found[0].shape[:-1], len(units.folds)))
    for members, own in zip(folds, found, strict=True):
        together[..., members] = own
    return together


def score_of(values: Array, positive: Mask | None, units: Units) -> Array:
    """The mean of `values` (..., cases), or the folds' AUC out of components, each weighted by its cases."""
    if positive is None:
        mean: Array = values.mean(-1)
        return mean
    if not units.pooled:
        return _mean(values[..., positive])
    weighted: Array = fold_scores(values, [positive, ~positive], units.folds) @ case_shares(units.folds)
    return weighted


def parts_of(values: Array, positive: Mask | None, units: Units) -> Parts:
    """What the variance of the score of `values` (..., seeds, cases), see `score_of`, consists of."""
    weights = case_shares(units.folds)
    if units.partners is not None and not units.pooled:
        return pair_parts(values, units.subjects, units.partners)
    if units.repeated:
        values, positive, units = by_subject(values, positive, units)
    if units.pooled:
        return _parts_over_folds(values, positive, units.folds, weights)
    return statistics.mean_parts(values) if positive is None else statistics.auc_parts(values, positive)


def by_subject(values: Array, positive: Mask | None, units: Units) -> tuple[Array, Mask | None, Units]:
    """One value a subject (..., subjects), of which the mean over a fold is the score of its cases (..., cases).

    A subject has the score and, times the number of subjects, its share of what the cases add to it: for a mean the
    linearised ratio of totals, for an AUC the clustered components of Obuchowski (Biometrics 1997, 53:567), in which a
    subject may have cases of both classes; so classes are no longer told apart. A pair is a share of both its subjects,
    so that what is of the pair alone counts twice: on the safe side.
    """
    subjects = units.members
    sides = [units.subjects] if units.partners is None else [units.subjects, units.partners]
    places = [np.searchsorted(subjects, side) for side in sides]
    found, folds = np.empty((*values.shape[:-1], len(subjects))), np.empty(len(subjects), dtype=np.intp)
    for members in _members(units.folds):
        here = values[..., members]
        classes = [np.ones(len(members), dtype=bool)] if positive is None else [positive[members], ~positive[members]]
        score, shares = _mean(here[..., classes[0]])[..., None], np.empty(here.shape)
        for one in classes:
            shares[..., one] = (here[..., one] - score) / one.sum()
        own = np.unique(np.concatenate([side[members] for side in places]))
        belongs = sum((side[members][:, None] == own).astype(np.float64) for side in places)
        found[..., own] = score + len(own) * (shares @ belongs)
        folds[own] = units.folds[members[0]]
    return found, None, Units(np.arange(len(subjects)), folds)


def subject_sums(values: Array, units: Units) -> Array:
    """One value a subject (..., subjects) with the mean of `values` (..., cases): its sum, scaled.

    Its sign may be flipped where a subject's cases may be exchanged between two rows, whatever the mean.
    """
    if not units.repeated:
        return values
    subjects, places = np.unique(units.subjects, return_inverse=True)
    sums: Array = values @ (places[:, None] == np.arange(len(subjects))) * (len(subjects) / len(places))
    return sums


def for_tests(parts: Parts, units: Units, seeds: int) -> Parts:
    """`parts` with the degrees of freedom of a test: below `ENOUGH_SEEDS` those of the folds' networks alone.

    So few networks may look alike by chance; the deep tails that a correction asks for would take that for certain.
    """
    if not units.pooled or seeds >= ENOUGH_SEEDS:
        return parts
    return parts._replace(case_freedom=units.networks - 1)


def within_folds(values: Array, classes: Sequence[Mask], folds: Places, weights: Array) -> Array:
    """The variance of the weighted score of `values` (..., units) from the spread of units within folds and classes.

    It is pooled over the folds; NaN where each fold has a single unit of a class.
    """
    total = np.zeros(values.shape[:-1])
    for one in classes:
        squares, share = np.zeros(values.shape[:-1]), 0.0
        for members, weight in zip(_members(folds), weights, strict=True):
            here = values[..., members[one[members]]]
            squares = squares + ((here - _mean(here)[..., None]) ** 2).sum(-1)
            share += weight**2 / max(1, here.shape[-1])
        freedom = int(one.sum()) - len(weights)
        total = total + (squares / freedom * share if freedom else np.nan)
    return total


def between_folds(scores: Array, weights: Array) -> Array:
    """The variance of the weighted mean of the folds' `scores` (..., folds) from their spread."""
    off = scores - (scores @ weights)[..., None]
    spread: Array = (weights**2 * off**2).sum(-1) * len(weights) / (len(weights) - 1)
    return spread


def _parts_over_folds(values: Array, positive: Mask | None, folds: Places, weights: Array) -> Parts:
    """Units within folds, the folds' networks, and seeds.

    The variance over cases is that within folds, or that of the folds' scores if it is larger, which holds what
    subjects and networks add; the seeds cross the folds, whose interaction is the residual.
    """
    classes = [np.ones(len(folds), dtype=bool)] if positive is None else [positive, ~positive]
    by_case, seeds = values.mean(-2), values.shape[-2]
    scores = fold_scores(by_case, classes, folds)
    within, between = within_folds(by_case, classes, folds, weights), between_folds(scores, weights)
    over_cases = np.fmax(within, between)
    freedom = np.where(within > between, len(folds) - len(classes) * len(weights), len(weights) - 1)
    value = scores @ weights
    over_seeds, residual = np.zeros_like(value), np.zeros_like(value)
    if seeds >= ENOUGH_SEEDS:
        networks = fold_scores(values, classes, folds)
        over_seeds = (networks @ weights).var(-1, ddof=1) / seeds
        residual = between_folds(networks - scores[..., None, :], weights).sum(-1) / (seeds * (seeds - 1))
    seed_freedom = seeds - 1 if seeds >= ENOUGH_SEEDS else 0
    parts = Parts(value, over_cases, over_seeds, residual, freedom, seed_freedom, np.zeros_like(value))
    return parts if positive is not None else parts._replace(skewness=_skewness(by_case, within, parts))


def _skewness(by_case: Array, within: Array, parts: Parts) -> Array:
    """Of the mean over the last axis, as far as it comes from the units within folds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        own = ((by_case - by_case.mean(-1)[..., None]) ** 3).mean(-1) / by_case.std(-1) ** 3
        own = own / np.sqrt(by_case.shape[-1]) * (within / parts.variance) ** 1.5
    found: Array = np.nan_to_num(own)
    return found


def fold_scores(values: Array, classes: Sequence[Mask], folds: Places) -> Array:
    """The score of each fold (..., folds): the mean over the first of `classes`."""
    return np.stack([_mean(values[..., members[classes[0][members]]]) for members in _members(folds)], axis=-1)


def _mean(values: Array) -> Array:
    """Over the last axis; NaN of nothing: of a fold that lacks a class."""
    mean: Array = values.mean(-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)
    return mean


def _members(folds: Places) -> list[Places]:
    """The places of each fold's units."""
    return [np.flatnonzero(folds == fold) for fold in np.unique(folds)]


def case_shares(folds: Places) -> Array:
    """The share of the cases that each fold has."""
    weights: Array = np.unique(folds, return_counts=True)[1] / len(folds)
    return weights
