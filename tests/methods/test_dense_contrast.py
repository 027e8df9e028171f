"""Dense contrast: which places match, which clusters are found, and the loss against plain sums in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.data.windows import Corpus
from ssl_bench.methods.dense_contrast import DenseContrast, Projected, matches, spherical_k_means
from ssl_bench.nn.momentum import constant_momentum
from ssl_bench.nn.queue import NO_VOLUME
from ssl_bench.transforms.views import two_views, view_size

from .conftest import build

BATCH, VOLUMES, TEMPERATURE = 4, 16, 0.2
Array = NDArray[np.float64]


def dense(**options: object) -> DenseContrast:
    method = build("dense_contrast", **{"queue": 64, "hidden": 32, "output": 16, "clusters": 3, **options})
    assert isinstance(method, DenseContrast)
    # Keys are not queries, unless one network is taken for the other.
    networks = (method.key_encoder, method.key_projection, method.key_dense_projection)
    with torch.no_grad():
        for parameter in (parameter for network in networks for parameter in network.parameters()):
            parameter.add_(0.1 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(3)))
    return method


def chosen(method: DenseContrast, corpus: Corpus, step: int = 0) -> tuple[Tensor, Draws]:
    windows = method.choose_windows(len(corpus), BATCH, np.random.default_rng(step))
    return corpus.of_side(method.region).read(windows), Draws.keyed("test", step, samples=range(BATCH))


def unit(rows: Tensor) -> Array:
    found = rows.detach().double().numpy()
    return np.asarray(found / np.sqrt((found**2).sum(axis=-1, keepdims=True)))


def contrast(query: Array, key: Array, negatives: list[Array]) -> float:
    positive = np.exp(query @ key / TEMPERATURE)
    return float(-np.log(positive / (positive + sum(np.exp(query @ other / TEMPERATURE) for other in negatives))))


def parts(method: DenseContrast, volumes: Tensor, draws: Draws) -> dict[str, Array]:
    """What both networks make of the views, place by place."""
    first, second = two_views(volumes, draws, view_size(method.crop, method.backbone.stride))
    found: dict[str, Array] = {}
    for name, view, encoder, whole, places in (
        ("q", first, method.backbone, method.projection, method.dense_projection),
        ("k", second, method.key_encoder, method.key_projection, method.key_dense_projection),
    ):
        features = encoder.encode(view).flatten(2).transpose(1, 2)
        projected = places(features.reshape(-1, features.shape[2])).view(*features.shape[:2], -1)
        found |= {f"{name} features": unit(features), f"{name} places": unit(projected)}
        found |= {f"{name} pooled": unit(projected.mean(dim=1)), f"{name} whole": unit(whole(features.mean(dim=1)))}
    return found


def shown(method: DenseContrast, newest: Array, queue: Tensor, theirs: Tensor) -> list[tuple[Array, int]]:
    filled = theirs != NO_VOLUME
    old = zip(queue[filled].double().numpy(), theirs[filled].tolist(), strict=True)
    return [*zip(newest, method.chosen.tolist(), strict=True), *old][:VOLUMES]


def test_the_losses_are_those_of_plain_sums(corpus: Corpus) -> None:
    method = dense(dense_share=0.3, semantic_weight=0.2)
    for step in range(2):
        method.training_step(*chosen(method, corpus, step))
        method.after_step(step, 10)
    volumes, draws = chosen(method, corpus, 2)
    found = {name: float(value.detach()) for name, value in method.training_step(volumes, draws).items()}
    of = parts(method, volumes, Draws.keyed("test", 2, samples=range(BATCH)))
    wholes = shown(method, of["k whole"], method.queue.keys, method.queue.volumes)
    pooled = shown(method, of["k pooled"], method.dense_queue.keys, method.dense_queue.volumes)
    keys = of["k places"].reshape(-1, 16)
    centroids = spherical_k_means(torch.from_numpy(keys).float(), 3).double().numpy()
    whole, local, semantic = [], [], []
    for i, own in enumerate(method.chosen.tolist()):
        others = [key for key, volume in wholes if volume != own]
        whole.append(contrast(of["q whole"][i], of["k whole"][i], others))
        for s in range(of["q places"].shape[1]):
            cosines = [float(of["q features"][i, s] @ feature) for feature in of["k features"][i]]
            positive = of["k places"][i, int(np.argmax(cosines))]
            query = of["q places"][i, s]
            local.append(contrast(query, positive, [key for key, volume in pooled if volume != own]))
            cluster = int(np.argmax([positive @ centroid for centroid in centroids]))
            likeness = np.exp(np.array([query @ centroid for centroid in centroids]) / TEMPERATURE)
            semantic.append(-np.log(likeness[cluster] / likeness.sum()))
    expected = {"whole": np.mean(whole), "dense": np.mean(local), "semantic": np.mean(semantic)}
    expected["loss"] = 0.7 * expected["whole"] + 0.3 * expected["dense"] + 0.2 * expected["semantic"]
    assert found == pytest.approx(expected, rel=2e-4)


def test_a_place_is_matched_with_itself_wherever_the_other_view_has_it() -> None:
    features = torch.randn(2, 27, 8, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(27, generator=torch.Generator().manual_seed(1))
    moved = 3 * features[:, order] + 0.01
    assert torch.equal(matches(moved, features), order.expand(2, 27))


def test_the_positive_of_a_place_is_the_key_of_its_match() -> None:
    method, generator = dense(), torch.Generator().manual_seed(0)
    features, order = torch.randn(2, 27, 8, generator=generator), torch.randperm(27, generator=generator)
    places = F.normalize(torch.randn(2, 27, 16, generator=generator), dim=2)
    pooled = F.normalize(places.mean(dim=1), dim=1)
    queries = Projected(features, pooled, places, pooled)
    keys = Projected(features[:, order], pooled, places[:, order], pooled)
    negatives = pooled, torch.arange(2)
    found = method.losses(queries, keys, torch.arange(2), negatives, negatives)["dense"]
    rows = places.double().numpy()
    expected = [contrast(rows[i, s], rows[i, s], [pooled[1 - i].double().numpy()]) for i in range(2) for s in range(27)]
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)


def test_planted_groups_of_places_are_found_whatever_their_sizes() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(5, 16, generator=generator), dim=1)
    groups = torch.tensor([0] * 100 + [1] * 40 + [2] * 10 + [3] * 3 + [4] * 60)[
        torch.randperm(213, generator=generator)
    ]
    rows = F.normalize(centres[groups] + 0.05 * torch.randn(213, 16, generator=generator), dim=1)
    found = (rows @ spherical_k_means(rows, 5).T).argmax(dim=1)
    pairs = {(int(group), int(cluster)) for group, cluster in zip(groups, found, strict=True)}
    assert len(pairs) == 5, "each group is one cluster"


def test_centroids_are_the_mean_directions_of_what_is_nearest_to_them() -> None:
    rows = F.normalize(torch.randn(60, 3, generator=torch.Generator().manual_seed(2)), dim=1)
    centroids = spherical_k_means(rows, 4).double().numpy()
    nearest = (rows.double().numpy() @ centroids.T).argmax(axis=1)
    for cluster in range(4):
        mean = rows.double().numpy()[nearest == cluster].mean(axis=0)
        assert mean @ centroids[cluster] / np.linalg.norm(mean) > 0.99


def test_more_clusters_than_directions_are_no_trouble() -> None:
    assert spherical_k_means(torch.ones(6, 4) / 2, 3).isfinite().all()


def test_queues_take_whole_views_and_pooled_places_after_the_step(corpus: Corpus) -> None:
    method = dense()
    volumes, draws = chosen(method, corpus)
    of = parts(method, volumes, Draws.keyed("test", 0, samples=range(BATCH)))
    method.training_step(volumes, draws)
    assert set(method.dense_queue.volumes.tolist()) == {NO_VOLUME}
    method.after_step(0, 10)
    for queue, expected in ((method.queue, of["k whole"]), (method.dense_queue, of["k pooled"])):
        np.testing.assert_allclose(queue.keys[:BATCH], expected, atol=1e-5)
        assert queue.volumes[:BATCH].tolist() == method.chosen.tolist()


def test_keys_have_no_gradient_and_their_networks_follow(corpus: Corpus) -> None:
    method = dense()
    pairs = [
        pair
        for key, online in (
            *((getattr(method.key_encoder, n), getattr(method.backbone, n)) for n in method.backbone.encoder_modules),
            (method.key_projection, method.projection),
            (method.key_dense_projection, method.dense_projection),
        )
        for pair in zip(key.parameters(), online.parameters(), strict=True)
    ]
    before = [key.clone() for key, _ in pairs]
    method.training_step(*chosen(method, corpus))["loss"].backward()
    assert all(key.grad is None and not key.requires_grad for key, _ in pairs)
    method.after_step(0, 40)
    momentum = constant_momentum(40, 0.999, 0.01)
    for old, (key, online) in zip(before, pairs, strict=True):
        torch.testing.assert_close(key, momentum * old + (1 - momentum) * online, atol=1e-6, rtol=1e-5)


def test_held_out_volumes_meet_each_other_alone(corpus: Corpus) -> None:
    method = dense()
    volumes, _ = chosen(method, corpus)
    losses = []
    for _ in range(2):
        with torch.no_grad():
            losses.append(method.held_out_step(volumes, Draws.keyed("held out", samples=range(BATCH))))
        for queue in (method.queue, method.dense_queue):
            queue.add(torch.ones(3, 16) / 4, torch.tensor([0, 1, 2]))
    assert losses[0] == losses[1]
    assert method.newest is None
