"""What local features tell apart, after GVSL (CVPR 2023), Fig. 7."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ssl_bench.report.pictures.classes import class_scores
from ssl_bench.report.pictures.kept import kept_by_column
from ssl_bench.report.pictures.measures import in_words
from ssl_bench.report.pictures.picture import Picture
from ssl_bench.report.pictures.style import finish, new_panels, origin_of, place_legend, plain, slug
from ssl_bench.report.table import Column, Row, Table
from ssl_bench.store.example_file import Examples, LocalFeatures

MARKERS = "osD^vPX"
_READ_THROUGH = "Methods that pre-train the encoder alone are seen through a random decoder."


def feature_pictures(table: Table, examples: Mapping[str, Examples]) -> list[Picture]:
    """Two pictures a task: principal components of local features as colours, and their t-SNE by structure.

    Of the protocols the first that kept features: ``linear-v1``, whose backbone is as the pre-training left it, where
    it was run.
    """
    pictures = []
    seen: set[str] = set()
    for column, shown in kept_by_column(table, examples, lambda one: one.features):
        if column[0] not in seen:
            seen.add(column[0])
            pictures += [_colours(table, column, shown), _embedding(table, column, shown)]
    return pictures


def _colours(table: Table, column: Column, shown: dict[Row, LocalFeatures]) -> Picture:
    title = f"Principal components of local features, {in_words(table, column)}"
    figure, panels = new_panels(title, origin_of(table), len(shown) + 1, 4, 1.65)
    first = next(iter(shown.values()))
    panels[0].imshow(first.image, cmap="gray", vmin=0, vmax=max(1, np.quantile(first.image, 0.995)))
    panels[0].set_title("image")
    for axes, (row, features) in zip(panels[1:], shown.items(), strict=True):
        axes.imshow(features.colours, interpolation="nearest")
        axes.set_title(plain(row.label, 20))
    for axes in panels:
        axes.set_axis_off()
    caption = (
        "The first three principal components of each method's local features on one slice of one test case, as red, "
        "green and blue. Colours are each method's own: only their pattern compares. " + _READ_THROUGH
    )
    description = f"One slice and the colour-coded local features of {len(shown)} methods on it."
    return finish(figure, ("features", slug(column[0])), title, caption, description, "png")


def _embedding(table: Table, column: Column, shown: dict[Row, LocalFeatures]) -> Picture:
    classes = ["background", *dict.fromkeys(class_scores(table, column)["structure"])]
    looks = _class_looks({int(label) for features in shown.values() for label in np.unique(features.labels)})
    title = f"t-SNE of local features by structure, {in_words(table, column)}"
    figure, panels = new_panels(title, origin_of(table), len(shown), 4, 1.75, entries=len(looks))
    for axes, (row, features) in zip(panels, shown.items(), strict=True):
        places = embed(features.vectors)
        for label, (colour, marker) in looks.items():
            here = features.labels == label
            axes.plot(*places[here].T, marker, color=colour, markersize=2.8, markeredgewidth=0)
        axes.set_title(plain(row.label, 20))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_box_aspect(1)
    names = [classes[label] if label < len(classes) else str(label) for label in looks]
    handles = [Line2D([], [], color=colour, marker=marker, linestyle="") for colour, marker in looks.values()]
    place_legend(figure, handles, names)
    caption = (
        "Local features of voxels of one test case, the same for every method, an even share of each structure, laid "
        "out by t-SNE (perplexity 30 at most, fixed seed); axes have no unit. Distances between far clusters mean "
        "little. After GVSL (CVPR 2023), Fig. 7. " + _READ_THROUGH
    )
    description = (
        f"Scatter plots of {len(looks)} structures' local features, one panel for each of {len(shown)} methods."
    )
    return finish(figure, ("t-sne", slug(column[0])), title, caption, description, "png")


def _class_looks(labels: set[int]) -> dict[int, tuple[str, str]]:
    """A colour and a marker for each of `labels`, in order; the background, 0, is grey."""
    import seaborn

    palette = seaborn.color_palette("colorblind", 7).as_hex()
    looks = {}
    for label in sorted(labels):
        turn, hue = divmod(max(label - 1, 0), len(palette))
        looks[label] = (palette[hue], MARKERS[turn % len(MARKERS)]) if label else ("0.75", "o")
    return looks


def embed(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """(voxels, channels) -> places in the plane (voxels, 2) by t-SNE; the same for the same vectors."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    points = vectors.astype(np.float32)
    # Features may be of any size; the method's first steps are not indifferent to it.
    points = (points - points.mean(0)) / max(float(points.std()), np.finfo(np.float32).tiny)
    if len(points) < 4 or points.shape[1] < 2 or not points.any():
        return np.zeros((len(points), 2), np.float32)
    perplexity = min(30.0, (len(points) - 1) / 3)
    # One thread, so that sums have one order.
    with threadpool_limits(1):
        tsne = TSNE(init="pca", perplexity=perplexity, max_iter=500, random_state=0, n_jobs=1)
        places: NDArray[np.float32] = tsne.fit_transform(points)
    return places
