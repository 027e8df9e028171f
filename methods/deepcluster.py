"""DeepCluster (Caron et al., ECCV 2018): clusters of the features are the labels of the next period.

The 3D port clusters windows, not volumes: a few fixed windows per volume, one in the middle.
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
from ssl_bench.transforms.views import one_view, view_size


class DeepClusterConfig(MethodConfig):
    """The original counts clusters for a million images and periods in epochs; a 3D corpus has hundreds of volumes."""

    clusters: Annotated[int, Choice((4, 8, 16, 32))] = Field(default=8, gt=1)
    period: int = Field(default=40, gt=0)
    """Steps between two clusterings."""
    windows_per_volume: int = Field(default=2, gt=0)
    components: int = Field(default=256, gt=0)
    """Largest number of principal components kept."""
    iterations: int = Field(default=20, gt=0)
    """Iterations of k-means."""
    head_learning_rate: float = Field(default=0.05, gt=0)
    """The classifier has an optimiser of its own, plain SGD, made anew with it."""


class DeepCluster(Method):
    """Features, whitening, k-means; then cross-entropy on the clusters, drawn uniformly, under a fresh classifier."""

    Config = DeepClusterConfig
    facts = MethodFacts(
        title="DeepCluster",
        paper="Caron et al., Deep Clustering for Unsupervised Learning of Visual Features, ECCV 2018",
        year=2018,
        version=2,
        paradigm="centroid-absolute",
        pretrains="encoder",
        smallest_batch=8,
    )

    def __init__(self, backbone: Backbone, config: DeepClusterConfig, crop: int) -> None:
        super().__init__(backbone, config, crop)
        self.options = config
        self.refresh_every = config.period
        # The original's network normalises over the batch; this backbone does not, and its raw pooled features of
        # similar volumes are too alike for a fresh classifier to tell apart.
        self.normalise = nn.BatchNorm1d(backbone.global_channels, affine=False)
        self.classifier = InFloat32(nn.Linear(backbone.global_channels, config.clusters))
        self.assignments = torch.empty(0, dtype=torch.int64)
        self.labels = torch.empty(0, dtype=torch.int64)
        self.agreement: list[float] = []

    def refresh(self, corpus: CorpusView, step: int, generator: np.random.Generator) -> None:
        """Cluster the windows of `corpus` by their features and start a fresh classifier."""
        features = map_over_ranks(self.backbone.pool, corpus.batches(self.windows(len(corpus))))
        assignments = cluster(features.cpu().numpy(), self.options, generator)
        if len(self.assignments):
            from sklearn.metrics import normalized_mutual_info_score

            # How much of the last clustering survived: logged by the original too.
            self.agreement.append(float(normalized_mutual_info_score(self.assignments.numpy(), assignments)))
        self.assignments = torch.from_numpy(assignments)
        weights = torch.Generator().manual_seed(stream_seed(int(generator.integers(2**62))))
        (linear,) = self.classifier
        assert isinstance(linear, nn.Linear)
        linear.weight.copy_(torch.empty(linear.weight.shape).normal_(0, 0.01, generator=weights))
        linear.bias.zero_()

    def choose_windows(self, corpus_size: int, batch: int, generator: np.random.Generator) -> Windows:
        """Windows drawn uniformly over the clusters that are not empty, then uniformly within one."""
        assignments = self.assignments.numpy()
        clusters, members = np.unique(assignments, return_inverse=True)
        drawn = generator.integers(len(clusters), size=batch)
        chosen = np.array([generator.choice(np.flatnonzero(members == cluster)) for cluster in drawn])
        self.labels = torch.from_numpy(assignments[chosen])
        windows = self.windows(corpus_size)
        return Windows(windows.volumes[chosen], windows.positions[chosen])

    def training_step(self, volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Predict the clusters of the windows last chosen, `volumes` (B, 1, D, H, W), from augmented views of them."""
        view = one_view(volumes, draws, view_size(self.crop, self.backbone.stride))
        logits = self.classifier(self.normalise(gathered(self.backbone.pool(view))))
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

    def get_extra_state(self) -> dict[str, list[Any]]:
        """What `state_dict` holds besides tensors of fixed size; plain lists, since these follow the corpus."""
        return {
            "assignments": self.assignments.tolist(),
            "labels": self.labels.tolist(),
            "agreement": list(self.agreement),
        }

    def set_extra_state(self, state: dict[str, list[Any]]) -> None:
        """Take back what `get_extra_state` gave."""
        self.assignments = torch.tensor(state["assignments"], dtype=torch.int64)
        self.labels = torch.tensor(state["labels"], dtype=torch.int64)
        self.agreement = list(state["agreement"])

    def windows(self, corpus_size: int) -> Windows:
        """The fixed windows that are clustered: the middle one of every volume, then others along its diagonal."""
        places = np.full(self.options.windows_per_volume, 0.5)
        places[1:] = np.linspace(0, 1, len(places) - 1) if len(places) > 2 else 0.0
        volumes = np.repeat(np.arange(corpus_size), len(places))
        return Windows(volumes, np.tile(np.repeat(places[:, None], 3, axis=1), (corpus_size, 1)))


def cluster(
    features: NDArray[np.float32], options: DeepClusterConfig, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Features (N, channels) -> cluster of each: PCA with whitening, rows of unit length, k-means from a new seed."""
    # Planning reads facts and options of a method alone, and this library takes a second to import.
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    components = min(options.components, features.shape[1], len(features) - 1)
    whitened = PCA(components, whiten=True, svd_solver="full").fit_transform(features.astype(np.float64))
    whitened /= np.linalg.norm(whitened, axis=1, keepdims=True).clip(1e-12)
    seed = int(generator.integers(2**31))
    with threadpool_limits(1):  # threads would add partial sums in any order
        means = KMeans(min(options.clusters, len(features)), n_init=1, max_iter=options.iterations, random_state=seed)
        assignments: NDArray[np.int64] = means.fit_predict(whitened).astype(np.int64)
    return assignments
