"""Pictures of one table: what its records and the stored examples of its cells show."""

from __future__ import annotations

from ssl_bench.report.pictures.picture import Picture as Picture
from ssl_bench.report.table import Table
from ssl_bench.store.store import Store


def pictures_of(table: Table, store: Store, baseline: str) -> list[Picture]:
    """Every picture whose data are there, in the order of reading; the names are unique.

    `baseline` is the label of the row that pictures set the others against; without it they show no such line.
    A function of the store's files alone: the same files give the same bytes, with the same libraries.
    """
    # Drawing libraries take a second to import, which a report without pictures need not wait for.
    from ssl_bench.report.pictures import (
        classes,
        cost,
        curves,
        features,
        gallery,
        health,
        label_efficiency,
        laid_pairs,
        matches,
        pretext,
        pretext_losses,
        scores,
        style,
        trajectories,
    )
    from ssl_bench.report.pictures.kept import examples_of

    examples, base = examples_of(table, store), table.row_called(baseline)
    with style.drawing():
        pictures = [
            *scores.score_pictures(table, base),
            *label_efficiency.label_efficiency_pictures(table),
            *curves.learning_curve_pictures(table),
            *curves.convergence_pictures(table, base),
            *trajectories.trajectory_pictures(table, base),
            *classes.class_pictures(table),
            *gallery.gallery_pictures(table, examples),
            *matches.match_pictures(table, examples),
            *laid_pairs.laid_pictures(table, examples),
            *features.feature_pictures(table, examples),
            *pretext.pretext_pictures(table, examples),
            *pretext_losses.pretext_loss_pictures(table),
            *health.health_pictures(table, base),
            *cost.cost_pictures(table, base),
        ]
    return style.uniquely_named(pictures)
