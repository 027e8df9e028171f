"""Pictures as part of the page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace

from ssl_bench.report.page.model import Figure, Page
from ssl_bench.report.pictures import Picture

MEDIA_TYPES = {"svg": "image/svg+xml", "png": "image/png"}


def figures_of(pictures: Sequence[Picture]) -> list[Figure]:
    """`pictures` with their images inside."""
    return [
        Figure(
            name=picture.name,
            title=picture.title,
            caption=picture.caption,
            description=picture.description,
            address=f"data:{MEDIA_TYPES[picture.format]};base64,{b64encode(picture.image).decode()}",
        )
        for picture in pictures
    ]


def without_largest(page: Page, excess: int) -> Page:
    """`page` without the images of its largest pictures, by at least `excess` characters where they have so many."""
    every = [(len(figure.address), table.id, figure.name) for table in page.tables for figure in table.figures]
    dropped = set()
    for size, *place in sorted(every, reverse=True):
        if excess <= 0:
            break
        excess -= size
        dropped.add(tuple(place))
    tables = [
        replace(table, figures=[replace(f, address="") if (table.id, f.name) in dropped else f for f in table.figures])
        for table in page.tables
    ]
    return replace(page, tables=tables)
