"""MoCo: the queue, the key encoder, and the losses of both variants against plain sums in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_bench.api.rng import Draws
from ssl_bench.data.windows import Corpus
from ssl_bench.methods.moco import MoCo
from ssl_bench.nn.momentum import constant_momentum
from ssl_bench.nn.queue import NO_VOLUME
from ssl_bench.transforms.views import two_views, view_size

from .conftest import build

BATCH, VOLUMES = 4, 16


def moco(**options: object) -> MoCo:
    method = build("moco", **{"queue": 64, "hidden": 32, "output": 16, **options})
    assert isinstance(method, MoCo)
    # Keys are not queries, unless the key encoder is taken for the query encoder.
    with torch.no_grad():
        for parameter in (*method.key_encoder.parameters(), *method.key_projection.parameters()):
            parameter.add_(0.1 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(3)))
    return method


def chosen(method: MoCo, corpus: Corpus, step: int = 0) -> tuple[Tensor, Draws]:
    """The batch of a step, and its draws."""
    windows = method.choose_windows(len(corpus), BATCH, np.random.default_rng(step))
    return corpus.of_side(method.region).read(windows), Draws.keyed("test", step, samples=range(BATCH))


def one_step(method: MoCo, corpus: Corpus, step: int = 0) -> Tensor:
    volumes, draws = chosen(method, corpus, step)
    loss = method.training_step(volumes, draws)["loss"]
    method.after_step(step, 10)
    return loss


def rows(tensor: Tensor) -> NDArray[np.float64]:
    """Rows of unit length, in float64."""
    found = tensor.detach().double().numpy()
    return np.array([row / np.sqrt(sum(value**2 for value in row)) for row in found])


def queries_and_keys(method: MoCo, volumes: Tensor, draws: Draws) -> list[tuple[NDArray[np.float64], ...]]:
    """Of the first and of the second view, by the networks alone."""
    found = []
    for view in two_views(volumes, draws, view_size(method.crop, method.backbone.stride)):
        query = method.projection(method.backbone.encode(view).mean(dim=(2, 3, 4)))
        if method.third:
            query = method.prediction(query)
        key = method.key_projection(method.key_encoder.encode(view).mean(dim=(2, 3, 4)))
        found.append((rows(query), rows(key)))
    return found


def contrast(
    queries: NDArray[np.float64], keys: NDArray[np.float64], negatives: list[list[NDArray[np.float64]]], tau: float
) -> float:
    """The mean of -log exp(q k / tau) / (that + the sum over the negatives of each query)."""
    losses = []
    for query, key, others in zip(queries, keys, negatives, strict=True):
        positive = np.exp(query @ key / tau)
        losses.append(-np.log(positive / (positive + sum(np.exp(query @ other / tau) for other in others))))
    return float(np.mean(losses))


def test_v2_contrasts_with_keys_of_other_volumes_of_this_batch_and_of_those_before(corpus: Corpus) -> None:
    method = moco()
    for step in range(2):
        one_step(method, corpus, step)
    filled = method.queue.volumes != NO_VOLUME
    queue = list(zip(method.queue.keys[filled].double().numpy(), method.queue.volumes[filled].tolist(), strict=True))
    assert len(queue) == 2 * BATCH
    volumes, draws = chosen(method, corpus, 2)
    found = float(method.training_step(volumes, draws)["loss"].detach())
    (queries, _), (_, keys) = queries_and_keys(method, volumes, Draws.keyed("test", 2, samples=range(BATCH)))
    shown = [*zip(keys, method.chosen.tolist(), strict=True), *queue][:VOLUMES]
    negatives = [[key for key, volume in shown if volume != own] for own in method.chosen.tolist()]
    assert found == pytest.approx(contrast(queries, keys, negatives, 0.2), rel=1e-4)


def test_a_key_of_the_querys_own_volume_is_no_negative(corpus: Corpus) -> None:
    losses = []
    for taken in (0, 1):
        method = moco()
        volumes, draws = chosen(method, corpus)
        own, other = int(method.chosen[0]), next(v for v in range(VOLUMES) if v not in method.chosen.tolist())
        # A key that is the first query itself: as a negative it would cost all that there is to cost.
        (queries, _), _ = queries_and_keys(method, volumes, Draws.keyed("test", 0, samples=range(BATCH)))
        key = torch.from_numpy(queries[:1]).float()
        if taken:
            method.queue.add(key, torch.tensor([own]))
        losses.append(float(method.training_step(volumes, draws)["loss"].detach()))
        if taken:
            method.queue.volumes[0] = other
            again = Draws.keyed("test", 0, samples=range(BATCH))
            losses.append(float(method.training_step(volumes, again)["loss"].detach()))
    without, as_own, as_anothers = losses
    assert as_anothers > as_own + 0.1
    assert without < as_anothers


def test_the_queue_takes_each_batchs_keys_after_its_step(corpus: Corpus) -> None:
    method, expected, volumes = moco(), [], []
    for step in range(3):
        batch, draws = chosen(method, corpus, step)
        _, (_, keys) = queries_and_keys(method, batch, Draws.keyed("test", step, samples=range(BATCH)))
        method.training_step(batch, draws)
        method.after_step(step, 10)
        expected, volumes = [*keys, *expected], [*method.chosen.tolist(), *volumes]
    assert method.queue.volumes.tolist()[: 3 * BATCH] == volumes
    np.testing.assert_allclose(method.queue.keys[: 3 * BATCH], expected, atol=1e-5)


def test_no_more_keys_are_looked_at_than_the_corpus_has_volumes(corpus: Corpus) -> None:
    """Its own keys and those of one batch before fill a corpus of eight."""
    losses = []
    for steps in (1, 2):
        method = moco(momentum=1, start_left=1)
        volumes = corpus.of_side(method.region)
        for step in (*range(2 - steps, 2), 2):
            windows = method.choose_windows(8, BATCH, np.random.default_rng(step))
            found = method.training_step(volumes.read(windows), Draws.keyed("test", step, samples=range(BATCH)))
            method.after_step(step, 10)
        losses.append(float(found["loss"].detach()))
    assert losses[0] == losses[1]


def test_held_out_volumes_meet_each_other_and_leave_the_queue_alone(corpus: Corpus) -> None:
    method = moco()
    volumes, draws = chosen(method, corpus)
    found = float(method.held_out_step(volumes, draws)["loss"].detach())
    (queries, _), (_, keys) = queries_and_keys(method, volumes, Draws.keyed("test", 0, samples=range(BATCH)))
    negatives = [[key for j, key in enumerate(keys) if j != i] for i in range(BATCH)]
    assert found == pytest.approx(contrast(queries, keys, negatives, 0.2), rel=1e-4)
    method.after_step(0, 10)
    assert set(method.queue.volumes.tolist()) == {NO_VOLUME}


@pytest.mark.parametrize("variant", ["v2", "v3"])
def test_keys_have_no_gradient_and_their_network_follows(variant: str, corpus: Corpus) -> None:
    method = moco(variant=variant)
    pairs = [
        (key, online)
        for name in method.backbone.encoder_modules
        for key, online in zip(getattr(method.key_encoder, name).parameters(),
                               getattr(method.backbone, name).parameters(), strict=True)
    ]  # fmt: skip
    pairs += list(zip(method.key_projection.parameters(), method.projection.parameters(), strict=True))
    before = [key.clone() for key, _ in pairs]
    volumes, draws = chosen(method, corpus)
    method.training_step(volumes, draws)["loss"].backward()
    assert all(key.grad is None and not key.requires_grad for key, _ in pairs)
    method.after_step(0, 40)
    start = constant_momentum(40, 0.999, 0.01) if variant == "v2" else 1 - 2 * np.log(100) / 40
    for old, (key, online) in zip(before, pairs, strict=True):
        torch.testing.assert_close(key, start * old + (1 - start) * online, atol=1e-6, rtol=1e-5)
        assert not torch.equal(key, old)


def test_v3_contrasts_within_the_batch_both_ways_behind_a_predictor(corpus: Corpus) -> None:
    method = moco(variant="v3", temperature=0.3)
    volumes, draws = chosen(method, corpus)
    found = float(method.training_step(volumes, draws)["loss"].detach())
    (q1, k1), (q2, k2) = queries_and_keys(method, volumes, Draws.keyed("test", 0, samples=range(BATCH)))
    expected = 0.0
    for queries, keys in ((q1, k2), (q2, k1)):
        negatives = [[key for j, key in enumerate(keys) if j != i] for i in range(BATCH)]
        expected += 2 * 0.3 * contrast(queries, keys, negatives, 0.3)
    assert found == pytest.approx(expected, rel=1e-4)
    assert not [name for name in method.state_dict() if "queue" in name]


def test_a_checkpoint_brings_queue_and_key_encoder_back(corpus: Corpus) -> None:
    method, other = moco(), build("moco", queue=64, hidden=32, output=16)
    assert isinstance(other, MoCo)
    for step in range(2):
        one_step(method, corpus, step)
    other.load_state_dict(method.state_dict())
    assert torch.equal(one_step(method, corpus, 2), one_step(other, corpus, 2))
    assert torch.equal(method.queue.keys, other.queue.keys)
