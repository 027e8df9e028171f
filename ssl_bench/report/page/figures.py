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
    every = [(len(figure.address), section.id, figure.name) for section in page.sections for figure in section.figures]
    dropped = set()
    for size, *place in sorted(every, reverse=True):
        if excess <= 0:
            break
        excess -= size
        dropped.add(tuple(place))
    sections = [
        replace(
            section, figures=[replace(f, address="") if (section.id, f.name) in dropped else f for f in section.figures]
        )
        for section in page.sections
    ]
    return replace(page, sections=sections)
