"""DeepCluster clusters for real: what differs between volumes, not noise and not where a window lies."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

from ssl_bench.api.method import Windows
from ssl_bench.api.settings import load_preset, preset_names
from ssl_bench.data.synthetic.corpus import CardiacCT
from ssl_bench.data.synthetic.sampling import voxel_grid
from ssl_bench.data.windows import Corpus
from ssl_bench.methods.deepcluster import DeepCluster, DeepClusterConfig, cluster, even_shares
from ssl_bench.transforms.views import middle

from .conftest import build, prepared


def built(corpus: Corpus) -> DeepCluster:
    method = prepared("deepcluster", corpus, 8)[0]
    assert isinstance(method, DeepCluster)
    return method


def deepcluster(**options: object) -> DeepCluster:
    method = build("deepcluster", **options)
    assert isinstance(method, DeepCluster)
    return method


def grouped(count: int, groups: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features of perfectly separated groups, and the group of each."""
    generator = np.random.default_rng(seed)
    truth = generator.permutation(np.arange(count) % groups)
    features = generator.normal(size=(groups, 256))[truth] + 0.1 * generator.normal(size=(count, 256))
    return features.astype(np.float32), truth


class Numbered:
    """A corpus whose windows hold their number."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus

    def __len__(self) -> int:
        return len(self.corpus)

    def first_voxels(self, windows: Windows) -> NDArray[np.int64]:
        return self.corpus.first_voxels(windows)

    def batches(self, windows: Windows) -> Iterator[torch.Tensor]:
        numbers = torch.arange(len(windows.volumes), dtype=torch.float32)
        yield numbers.view(-1, 1, 1, 1, 1).expand(-1, 1, *[self.corpus.crop] * 3)


def refreshed(method: DeepCluster, corpus: Corpus, features: NDArray[np.float32], seed: int = 0) -> DeepCluster:
    """`method` after it has clustered windows of these features."""
    known = torch.from_numpy(features)
    method.backbone.pool = lambda views: known[views[:, 0, 0, 0, 0].long()]  # type: ignore[method-assign]
    with torch.no_grad():
        method.refresh(Numbered(corpus), 0, np.random.default_rng(seed))
    return method


def preset_and_corpus(preset: str) -> tuple[DeepCluster, Corpus]:
    """DeepCluster as `preset` has it, and a corpus of as many volumes, as large, without content."""
    settings = load_preset(preset)
    method = deepcluster(crop=settings.pretraining.crop, **settings.methods.get("deepcluster", {}))
    shape, _ = voxel_grid(CardiacCT.field_of_view_mm, CardiacCT.spacing_mm, settings.cohort.detail)
    volumes = [np.broadcast_to(np.float32(0), shape)] * settings.cohort.corpus
    return method, Corpus(volumes, method.region, "cpu")


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("seed", range(3))
def test_planted_groups_are_found_with_the_defaults_of_every_preset(preset: str, seed: int) -> None:
    """As many groups of volumes as the preset has clusters: eight, and fifty in `paper`; in `smoke` each is its own."""
    method, corpus = preset_and_corpus(preset)
    groups = method.options.clusters
    assert groups == (50 if preset == "paper" else 8)
    volumes, places = method.distinct_windows(corpus)
    generator = np.random.default_rng(seed)
    truth = generator.permutation(np.arange(len(corpus)) % groups)[volumes]
    centres, of_place = generator.normal(size=(groups, 256)), generator.normal(size=(places.max() + 1, 256))
    features = centres[truth] + 5 * of_place[places] + 0.1 * generator.normal(size=(len(places), 256))
    found = refreshed(method, corpus, features.astype(np.float32), seed).assignments.numpy()
    for place in np.unique(places):
        assert adjusted_rand_score(truth[places == place], found[places == place]) >= 0.9


def test_of_the_papers_many_clusters_none_mixes_eight_groups() -> None:
    method, corpus = preset_and_corpus("paper")
    features, truth = grouped(len(corpus), 8, 0)
    found = cluster(features, method.options, np.random.default_rng(0))
    common = [np.bincount(truth[found == label]).max() for label in np.unique(found)]
    assert sum(common) / len(truth) > 0.95


def test_clusters_do_not_tell_the_place_of_a_window_however_strong_its_effect() -> None:
    method, corpus = preset_and_corpus("quick")
    generator = np.random.default_rng(0)
    volumes, places = method.distinct_windows(corpus)
    # Volumes that differ in four ways, at one place more than at the other and with another mean.
    of_volume = (generator.normal(size=(len(corpus), 4)) @ generator.normal(size=(4, 256)))[volumes]
    features = of_volume + generator.normal(size=(len(places), 256)) / 3
    features = features * np.array([1, 3])[places, None] + 5 * generator.normal(size=(2, 256))[places]
    found = refreshed(method, corpus, features.astype(np.float32)).assignments.numpy()
    assert adjusted_mutual_info_score(places, found) < 0.05
    together = cluster(features.astype(np.float32), method.options, np.random.default_rng(0))
    assert adjusted_mutual_info_score(places, together) > 0.1


def test_classes_of_one_place_are_told_from_each_other_alone(corpus: Corpus) -> None:
    method, volumes, draws = prepared("deepcluster", corpus, 8)
    assert isinstance(method, DeepCluster)
    losses = []
    for place in (0, 1):
        method.place = place
        with torch.no_grad():
            method.classifier[0].weight.zero_()
            method.classifier[0].bias.copy_(torch.arange(2).repeat_interleave(8) * 50.0)
        losses.append(float(method.training_step(volumes, draws)["loss"].detach()))
    assert losses == pytest.approx([np.log(8)] * 2)


def test_as_many_components_as_points_would_lose_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    features, truth = grouped(128, 8, 0)
    for components in (32, 127):  # an eighth of the windows holds whatever is asked for
        options = DeepClusterConfig(components=components)
        assert adjusted_rand_score(truth, cluster(features, options, np.random.default_rng(0))) == 1


@pytest.mark.parametrize(("components", "kept"), [(2, 2), (32, 10), (100, 10)])
def test_components_are_the_options_and_an_eighth_of_the_windows_at_most(
    components: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.cluster import KMeans

    seen: list[tuple[int, ...]] = []
    fit = KMeans.fit_predict
    monkeypatch.setattr(KMeans, "fit_predict", lambda self, points: seen.append(points.shape) or fit(self, points))
    features = np.random.default_rng(0).normal(size=(80, 32)).astype(np.float32)
    cluster(features, DeepClusterConfig(components=components), np.random.default_rng(0))
    assert seen == [(80, kept)]


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


def test_a_window_that_has_no_room_is_clustered_once() -> None:
    method = deepcluster(windows_per_volume=3)
    side = method.region
    shapes = [(side,) * 3, (side, side, side + 1), (side - 4,) * 3, (side + 9,) * 3]
    corpus = Corpus([np.zeros(shape, np.float32) for shape in shapes], side, "cpu")
    volumes, places = method.distinct_windows(corpus)
    first = corpus.first_voxels(Windows(volumes, method.positions()[places]))
    assert np.bincount(volumes).tolist() == [1, 2, 1, 3]
    assert len({(volume, *start) for volume, start in zip(volumes, first.tolist(), strict=True)}) == len(volumes)
    assert (places[np.unique(volumes, return_index=True)[1]] == 0).all()  # every volume has its middle


def test_the_middle_of_every_window_is_what_is_clustered(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    method, seen = deepcluster(), []
    pool = method.backbone.pool
    monkeypatch.setattr(method.backbone, "pool", lambda views: seen.append(views) or pool(views))
    with torch.no_grad():
        method.refresh(corpus.of_side(method.region), 0, np.random.default_rng(0))
    windows = Windows(method.volumes.numpy(), method.positions()[method.places.numpy()])
    assert torch.equal(torch.cat(seen), middle(corpus.of_side(method.region).read(windows), method.size))


def test_a_refresh_makes_the_classifier_anew(corpus: Corpus) -> None:
    method = built(corpus)
    with torch.no_grad():
        method.classifier[0].bias.fill_(7)
        method.refresh(corpus.of_side(method.region), 40, np.random.default_rng(5))
    assert method.classifier[0].bias.abs().sum() == 0
    assert method.classifier[0].weight.std() < 0.02
    assert len(method.agreement) == 1


def test_a_batch_comes_from_one_place_and_is_of_different_volumes_and_of_the_clusters_noted(corpus: Corpus) -> None:
    method = built(corpus)
    places, cluster_of = set(), {}
    for volume, place, label in zip(method.volumes, method.places, method.assignments, strict=True):
        cluster_of[(int(volume), *method.positions()[place])] = int(label)
    for seed in range(40):
        windows = method.choose_windows(16, 8, np.random.default_rng(seed))
        assert len(set(windows.volumes.tolist())) == 8
        assert len(np.unique(windows.positions, axis=0)) == 1
        places.add(tuple(windows.positions[0]))
        assert np.array_equal(method.positions()[method.place], windows.positions[0])
        chosen = zip(windows.volumes, windows.positions, strict=True)
        assert method.labels.tolist() == [cluster_of[(int(volume), *place)] for volume, place in chosen]
    assert places == {(0.5,) * 3, (0.0,) * 3}


def test_clusters_are_drawn_evenly_whatever_their_sizes() -> None:
    assignments = np.repeat([3, 5, 9], [40, 100, 20])
    share = even_shares(assignments, largest=4)
    assert [share[assignments == label].sum() for label in (3, 5, 9)] == pytest.approx([1 / 3] * 3)
    assert len({float(value) for value in share[assignments == 3]}) == 1


@pytest.mark.parametrize("sizes", [(122, 1, 1, 1, 1, 1, 1), (127, 1), (64, 30, 30, 3, 1), (5, 5), (9,)])
@pytest.mark.parametrize("largest", [1.0, 4.0])
def test_no_window_of_a_small_cluster_is_drawn_more_often_than_allowed(sizes: tuple[int, ...], largest: float) -> None:
    assignments = np.repeat(np.arange(len(sizes)), sizes)
    share = even_shares(assignments, largest)
    assert share.sum() == pytest.approx(1)
    assert share.max() <= largest / len(assignments) + 1e-12
    of_cluster = [share[assignments == label].sum() for label in range(len(sizes))]
    # What a small one loses goes to the others alike: those that are not limited have one share, the largest.
    free = [value for value, size in zip(of_cluster, sizes, strict=True) if value < largest * size / sum(sizes) - 1e-12]
    assert free == pytest.approx([max(of_cluster)] * len(free))


def test_six_outliers_do_not_make_the_batches() -> None:
    method = deepcluster()
    method.volumes, method.places = torch.arange(128), torch.zeros(128, dtype=torch.int64)
    method.assignments = torch.tensor([0] * 122 + [1, 2, 3, 4, 5, 6])
    drawn = np.concatenate([method.choose_windows(128, 8, np.random.default_rng(seed)).volumes for seed in range(1000)])
    share = np.bincount(drawn, minlength=128) / len(drawn)
    assert share[122:].sum() < 0.2  # uniform over clusters it would be 6 / 7
    assert share[122:].min() > 2 / 128  # and yet more than their part
    assert share.max() < 4.5 / 128


def test_the_classifier_learns_by_its_own_sgd_and_the_harness_leaves_it_alone(corpus: Corpus) -> None:
    method, volumes, draws = prepared("deepcluster", corpus, 8)
    assert isinstance(method, DeepCluster)
    assert not {id(p) for p in method.classifier.parameters()} & {id(p) for p in method.optimised_parameters()}
    method.training_step(volumes, draws)["loss"].backward()
    before, gradient = method.classifier[0].bias.detach().clone(), method.classifier[0].bias.grad
    assert gradient is not None
    method.after_step(0, 1)
    torch.testing.assert_close(method.classifier[0].bias.detach(), before - 0.05 * gradient)


def test_agreement_of_refreshes_and_sizes_of_clusters_are_measured(corpus: Corpus) -> None:
    method = built(corpus)
    assert "nmi_of_refreshes" not in method.measures()
    for step in (40, 80):
        before = method.assignments.numpy()
        with torch.no_grad():
            method.refresh(corpus.of_side(method.region), step, np.random.default_rng(step))
    measures = method.measures()
    after = method.assignments.numpy()
    here = [method.places.numpy() == place for place in (0, 1)]
    of_places = [normalized_mutual_info_score(before[mask], after[mask]) for mask in here]
    assert measures["nmi_of_last_refreshes"] == pytest.approx(np.mean(of_places))
    assert measures["nmi_of_refreshes"] == pytest.approx(np.mean(method.agreement))
    for place in (0, 1):
        sizes = np.bincount(after[here[place]])
        names = [f"place_{place + 1}_cluster_{rank}" for rank in range(1, len(sizes) + 1)]
        assert [measures[name] for name in names] == sorted(sizes.tolist(), reverse=True)
        assert sizes.sum() == 16


def test_clusters_go_through_a_checkpoint(corpus: Corpus) -> None:
    method = built(corpus)
    with torch.no_grad():
        method.refresh(corpus.of_side(method.region), 40, np.random.default_rng(5))
    method.choose_windows(len(corpus), 8, np.random.default_rng(6))
    file = io.BytesIO()
    torch.save(method.state_dict(), file)
    file.seek(0)
    restored = deepcluster()
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert len(method.assignments) == 2 * len(corpus)
    states: list[dict[str, Any]] = [each.get_extra_state() for each in (method, restored)]
    assert states[0] == states[1]
    assert len(states[0]["labels"]) == 8
    assert len(states[0]["agreement"]) == 1
    first, second = (m.choose_windows(len(corpus), 8, np.random.default_rng(7)) for m in (method, restored))
    assert np.array_equal(first.volumes, second.volumes)
    assert np.array_equal(first.positions, second.positions)
    assert torch.equal(method.labels, restored.labels)
