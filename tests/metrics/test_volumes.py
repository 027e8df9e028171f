"""Scores of whole volumes against scikit-learn and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from sklearn import metrics as reference

from ssl_bench.metrics.volumes import accuracies, explained, macro_auc, mean_absolute_error

RNG = np.random.default_rng(0)
LABELS = np.array([0, 1, 2, 3, 4] * 6 + [0, 0, 1])
LOGITS = RNG.normal(size=(len(LABELS), 5)) + 1.5 * np.eye(5)[LABELS]
PROBABILITIES = torch.from_numpy(LOGITS).softmax(1)


def test_macro_auc_is_that_of_scikit_learn_and_undefined_where_a_class_is_missing() -> None:
    found = macro_auc(PROBABILITIES, torch.from_numpy(LABELS))
    assert found == pytest.approx(reference.roc_auc_score(LABELS, PROBABILITIES, multi_class="ovr", average="macro"))
    kept = LABELS != 3
    assert math.isnan(macro_auc(PROBABILITIES[kept], torch.from_numpy(LABELS[kept])))


def test_accuracies_are_those_of_scikit_learn() -> None:
    found, predicted = accuracies(PROBABILITIES, torch.from_numpy(LABELS)), LOGITS.argmax(1)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(LABELS, predicted))
    assert found["balanced accuracy"] == pytest.approx(reference.balanced_accuracy_score(LABELS, predicted))
    assert found["accuracy"] != found["balanced accuracy"]


def test_errors_and_what_is_explained_are_those_of_scikit_learn_and_scipy() -> None:
    targets = RNG.normal(60, 10, 20)
    predictions = targets + RNG.normal(3, 5, 20)
    error = mean_absolute_error(torch.from_numpy(predictions), torch.from_numpy(targets))
    assert error == pytest.approx(reference.mean_absolute_error(targets, predictions))
    found = explained(predictions, targets)
    assert found["Pearson r"] == pytest.approx(pearsonr(targets, predictions).statistic)
    assert found["R²"] == pytest.approx(reference.r2_score(targets, predictions))


def test_what_does_not_vary_explains_nothing() -> None:
    assert math.isnan(explained(np.ones(3), np.arange(3.0))["Pearson r"])
    assert all(map(math.isnan, explained(np.arange(3.0), np.ones(3)).values()))
