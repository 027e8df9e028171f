"""DeepCluster clusters for real."""

from __future__ import annotations

import io

import numpy as np
import torch

from ssl_bench.data.windows import Corpus
from ssl_bench.methods.deepcluster import DeepCluster, DeepClusterConfig, cluster

from .conftest import build, prepared


def built(corpus: Corpus) -> DeepCluster:
    method = prepared("deepcluster", corpus, 8)[0]
    assert isinstance(method, DeepCluster)
    return method


def test_separated_features_are_found_again() -> None:
    generator = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 25)
    features = (10 * np.eye(16)[truth] + generator.normal(size=(100, 16))).astype(np.float32)
    found = cluster(features, DeepClusterConfig(clusters=4, components=3), generator)
    for label in range(4):
        assert len(set(found[truth == label])) == 1
    assert len(set(found)) == 4


def test_scale_of_a_channel_does_not_decide_since_features_are_whitened() -> None:
    generator = np.random.default_rng(0)
    truth = np.tile([0, 1], 40)
    features = np.stack([1000 * generator.normal(size=80), truth + 0.01 * generator.normal(size=80)], axis=1)
    found = cluster(features.astype(np.float32), DeepClusterConfig(clusters=2), np.random.default_rng(1))
    assert abs(np.corrcoef(found, truth)[0, 1]) > 0.5


def test_length_of_a_feature_does_not_decide_since_rows_are_of_unit_length() -> None:
    features = np.repeat([1.0, 20.0, -2.0], [40, 4, 60]).astype(np.float32)[:, None]  # their mean is 0
    found = cluster(features, DeepClusterConfig(clusters=2), np.random.default_rng(1))
    assert len(set(found[:44])) == len(set(found[44:])) == 1
    assert found[0] != found[-1]


def test_a_refresh_makes_the_classifier_anew(corpus: Corpus) -> None:
    method = built(corpus)
    with torch.no_grad():
        method.classifier[0].bias.fill_(7)
        method.refresh(corpus, 40, np.random.default_rng(5))
    assert method.classifier[0].bias.abs().sum() == 0
    assert method.classifier[0].weight.std() < 0.02
    assert len(method.agreement) == 1


def test_clusters_are_drawn_uniformly_whatever_their_sizes(corpus: Corpus) -> None:
    method = built(corpus)
    method.assignments = torch.tensor([3] * 29 + [5] * 3)
    labels = []
    for seed in range(200):
        windows = method.choose_windows(16, 8, np.random.default_rng(seed))
        labels += method.labels.tolist()
        places = method.windows(16)
        for volume, position, label in zip(windows.volumes, windows.positions, method.labels, strict=True):
            members = np.flatnonzero(method.assignments.numpy() == int(label))
            assert any(places.volumes[m] == volume and np.array_equal(places.positions[m], position) for m in members)
    assert set(labels) == {3, 5}
    assert abs(np.mean(np.array(labels) == 5) - 0.5) < 0.05


def test_the_classifier_learns_by_its_own_sgd_and_the_harness_leaves_it_alone(corpus: Corpus) -> None:
    method, volumes, draws = prepared("deepcluster", corpus, 8)
    assert isinstance(method, DeepCluster)
    assert not {id(p) for p in method.classifier.parameters()} & {id(p) for p in method.optimised_parameters()}
    method.training_step(volumes, draws)["loss"].backward()
    before, gradient = method.classifier[0].bias.detach().clone(), method.classifier[0].bias.grad
    assert gradient is not None
    method.after_step(0, 1)
    torch.testing.assert_close(method.classifier[0].bias.detach(), before - 0.05 * gradient)


def test_clusters_go_through_a_checkpoint(corpus: Corpus) -> None:
    method = built(corpus)
    with torch.no_grad():
        method.refresh(corpus, 40, np.random.default_rng(5))
    method.choose_windows(len(corpus), 8, np.random.default_rng(6))
    file = io.BytesIO()
    torch.save(method.state_dict(), file)
    file.seek(0)
    restored = build("deepcluster")
    assert isinstance(restored, DeepCluster)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert len(method.assignments) == 2 * len(corpus)
    assert torch.equal(restored.assignments, method.assignments)
    assert len(method.labels) == 8
    assert torch.equal(restored.labels, method.labels)
    assert len(method.agreement) == 1
    assert restored.agreement == method.agreement
    first, second = (m.choose_windows(len(corpus), 8, np.random.default_rng(7)) for m in (method, restored))
    assert np.array_equal(first.volumes, second.volumes)
