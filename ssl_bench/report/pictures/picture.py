"""What a picture of the report is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Picture:
    """One picture, ready to be written to a file or put on a page."""

    name: str
    """Identifies the picture in its table; letters, digits, ``-`` and ``_`` alone, so that it can name a file."""
    title: str
    caption: str
    """What to see in it, and what not; plain text."""
    description: str
    """Alternative text: what the picture shows to whoever cannot see it."""
    image: bytes
    format: Literal["svg", "png"]
