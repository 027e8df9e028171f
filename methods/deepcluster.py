"""DeepCluster (Caron et al., ECCV 2018): clusters of the features are the labels of the next period.

The 3D port clusters windows: every volume has one at each of a few places, the first of which is the middle. Windows of
one place are clustered among themselves and have classes of their own, and a batch comes from one place: so classes are
what differs between volumes, and not where in its volume a window lies.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.method import CorpusView, Method, MethodConfig, MethodFacts, Windows
from ssl_bench.api.rng import Draws, stream_seed
from ssl_bench.api.search import Choice
from ssl_bench.nn.distributed import gathered, map_over_ranks
from ssl_bench.nn.heads import InFloat32
from ssl_bench.nn.transfer import moved
from ssl_bench.transforms.views import middle, random_crop, region_of_views, view_size

STARTS = 10
PER_WINDOW = ("volumes", "places", "assignments", "labels")


class DeepClusterConfig(MethodConfig):
    """The original counts clusters for a million images and periods in epochs; a 3D corpus has hundreds of volumes."""

    clusters: Annotated[int, Choice((4, 8, 16, 32))] = Field(default=8, gt=1)
    """Of the windows of each place."""
    period: int = Field(default=40, gt=0)
    """Steps between two clusterings."""
    windows_per_volume: int = Field(default=2, gt=0)
    components: int = Field(default=32, gt=0)
    """Largest number of principal components kept; also at most an eighth of the windows of a place, since whitening
    as many components as there are points makes all points equally far from each other."""
    iterations: int = Field(default=20, gt=0)
    """Iterations of k-means."""
    largest_share: float = Field(default=4, ge=1)
    """How much more often than under uniform sampling a window of a small cluster is drawn, at most."""
    head_learning_rate: float = Field(default=0.05, gt=0)
    """The classifier has an optimiser of its own, plain SGD, made anew with it."""


class DeepCluster(Method):
    """Features, whitening, k-means; then cross-entropy on the clusters, drawn evenly, under a fresh classifier."""

    Config = DeepClusterConfig
    facts = MethodFacts(
        title="DeepCluster",
        paper="Caron et al., Deep Clustering for Unsupervised Learning of Visual Features, ECCV 2018",
        year=2018,
        version=3,
        paradigm="centroid-absolute",
        pretrains="encoder",
        smallest_batch=8,
    )

    def __init__(self, backbone: Backbone, config: DeepClusterConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.region = region_of_views(crop, backbone.stride)
        self.size = view_size(crop, backbone.stride)
        self.refresh_every = config.period
        # The original's network normalises over the batch; this backbone does not, and its raw pooled features of
        # similar volumes are too alike for a fresh classifier to tell apart.
        self.normalise = nn.BatchNorm1d(backbone.global_channels, affine=False)
        self.classifier = InFloat32(nn.Linear(backbone.global_channels, config.windows_per_volume * config.clusters))
        self.volumes, self.places, self.assignments, self.labels = (torch.empty(0, dtype=torch.int64) for _ in range(4))
        """Of every window that is clustered its volume, its place and its cluster; the clusters of the last batch."""
        self.place = 0
        """Of the last batch."""
        self.agreement: list[float] = []
        """Of each refresh with the one before: normalised mutual information, as the original logs it."""

    def refresh(self, corpus: CorpusView, step: int, generator: np.random.Generator) -> None:
        """Cluster the windows of `corpus` by their features and start a fresh classifier."""
        volumes, places = self.distinct_windows(corpus)
        windows = Windows(volumes, self.positions()[places])
        views = (middle(batch, self.size) for batch in corpus.batches(windows))
        features = map_over_ranks(self.backbone.pool, views).cpu().numpy()
        assignments = np.zeros_like(places)
        for place in np.unique(places):
            assignments[places == place] = cluster(features[places == place], self.options, generator)
        if len(self.assignments):
            self.agreement.append(agreement(self.assignments.numpy(), assignments, places))
        self.volumes, self.places, self.assignments = map(torch.from_numpy, (volumes, places, assignments))
        weights = torch.Generator().manual_seed(stream_seed(int(generator.integers(2**62))))
        (linear,) = self.classifier
        assert isinstance(linear, nn.Linear)
        linear.weight.copy_(torch.empty(linear.weight.shape).normal_(0, 0.01, generator=weights))
        linear.bias.zero_()

    def choose_windows(self, corpus_size: int, batch: int, generator: np.random.Generator) -> Windows:
        """Different windows of one place, clusters that are not empty drawn as evenly as `largest_share` lets them be.

        The place is that of a window drawn uniformly.
        """
        places, assignments = self.places.numpy(), self.assignments.numpy()
        self.place = int(generator.choice(places))
        here = np.flatnonzero(places == self.place)
        share = even_shares(assignments[here], self.options.largest_share)
        chosen = generator.choice(here, size=batch, replace=batch > len(here), p=share)
        self.labels = torch.from_numpy(assignments[chosen])
        return Windows(self.volumes.numpy()[chosen], self.positions()[places[chosen]])

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Predict the clusters of the windows last chosen, `volumes` (B, C, D, H, W), from random crops of them."""
        crops = random_crop(volumes, draws, self.size)
        logits = self.classifier(self.normalise(gathered(self.backbone.pool(crops))))
        logits = logits.unflatten(1, (-1, self.options.clusters))[:, self.place]
        return {"loss": F.cross_entropy(logits, moved(self.labels, logits.device))}

    def held_out_step(self, volumes: Tensor, draws: Draws) -> None:
        """None: only the corpus has clusters."""

    def optimised_parameters(self) -> list[nn.Parameter]:
        """The backbone's; the classifier has plain SGD of its own."""
        return list(self.backbone.parameters())

    def after_step(self, step: int, steps: int) -> None:
        """The classifier's own update."""
        with torch.no_grad():
            for parameter in self.classifier.parameters():
                if parameter.grad is not None:
                    parameter.sub_(self.options.head_learning_rate * parameter.grad)
                    parameter.grad = None

    def measures(self) -> dict[str, float]:
        """How much refreshes agreed, the last two and on average, and the sizes of the last clusters."""
        found = {}
        if self.agreement:
            found = {"nmi_of_last_refreshes": self.agreement[-1], "nmi_of_refreshes": float(np.mean(self.agreement))}
        for place in sorted(set(self.places.tolist())):
            sizes = torch.bincount(self.assignments[self.places == place]).sort(descending=True).values
            found |= {f"place_{place + 1}_cluster_{n}": float(size) for n, size in enumerate(sizes, start=1)}
        return found

    def get_extra_state(self) -> dict[str, list[Any]]:
        """What `state_dict` holds besides tensors of fixed size; plain lists, since these follow the corpus."""
        lists = {name: getattr(self, name).tolist() for name in PER_WINDOW}
        return lists | {"place": [self.place], "agreement": list(self.agreement)}

    def set_extra_state(self, state: dict[str, list[Any]]) -> None:
        """Take back what `get_extra_state` gave."""
        for name in PER_WINDOW:
            setattr(self, name, torch.tensor(state[name], dtype=torch.int64))
        (self.place,), self.agreement = state["place"], list(state["agreement"])

    def positions(self) -> NDArray[np.float64]:
        """(places, 3): the middle, then others along the diagonal."""
        places = np.full(self.options.windows_per_volume, 0.5)
        places[1:] = np.linspace(0, 1, len(places) - 1) if len(places) > 2 else 0.0
        return np.repeat(places[:, None], 3, axis=1)

    def distinct_windows(self, corpus: CorpusView) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(N,), (N,): volume and place of each window; where a volume has no room for a second one, it has one."""
        positions = self.positions()
        volumes, places = np.divmod(np.arange(len(corpus) * len(positions)), len(positions))
        first_voxels = corpus.first_voxels(Windows(volumes, positions[places]))
        _, first = np.unique(np.column_stack([volumes, first_voxels]), axis=0, return_index=True)
        kept = np.sort(first)
        return volumes[kept], places[kept]


def cluster(
    features: NDArray[np.float32], options: DeepClusterConfig, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Features (N, channels) -> cluster of each: PCA with whitening, rows of unit length, k-means from a new seed.

    The best of ten k-means: the original takes one, which of so few points now and then merges two groups.
    """
    # Planning reads facts and options of a method alone, and this library takes a second to import.
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    components = min(options.components, max(2, len(features) // 8), len(features) - 1, features.shape[1])
    whitened = PCA(components, whiten=True, svd_solver="full").fit_transform(features.astype(np.float64))
    whitened /= np.linalg.norm(whitened, axis=1, keepdims=True).clip(1e-12)
    clusters, seed = min(options.clusters, len(features)), int(generator.integers(2**31))
    with threadpool_limits(1):  # threads would add partial sums in any order
        means = KMeans(clusters, n_init=STARTS, max_iter=options.iterations, random_state=seed)
        assignments: NDArray[np.int64] = means.fit_predict(whitened).astype(np.int64)
    return assignments


def even_shares(assignments: NDArray[np.int64], largest: float) -> NDArray[np.float64]:
    """(N,): the probability of each window, from its cluster: the same for every cluster, as in the original.

    But no window gets more than `largest` / N, lest a few outliers make most batches; what small clusters lose to that
    goes to the larger ones, evenly.
    """
    _, members, sizes = np.unique(assignments, return_inverse=True, return_counts=True)
    limits = largest * sizes / len(assignments)
    limited = np.zeros(len(sizes), dtype=bool)
    while True:
        share = (1 - limits[limited].sum()) / np.count_nonzero(~limited)
        too_small = ~limited & (limits < share)
        if not too_small.any():
            shares: NDArray[np.float64] = np.minimum(limits, share) / sizes
            return shares[members]
        limited |= too_small


def agreement(one: NDArray[np.int64], other: NDArray[np.int64], places: NDArray[np.int64]) -> float:
    """Normalised mutual information of two clusterings, 0 independent and 1 equal; the mean over `places` (N,)."""
    from sklearn.metrics import normalized_mutual_info_score

    here = [places == place for place in np.unique(places)]
    return float(np.mean([normalized_mutual_info_score(one[mask], other[mask]) for mask in here]))
