"""The page as one file: the template filled, style and script inside, and nothing to load from anywhere."""

from __future__ import annotations

import hashlib
import importlib.resources
from base64 import b64encode
from functools import partial

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ssl_bench.report import notes, robustness, trajectories
from ssl_bench.report.family import Family
from ssl_bench.report.page.figures import without_largest
from ssl_bench.report.page.gathering import Pictures, gather
from ssl_bench.report.pictures import pictures_of
from ssl_bench.store.store import Store

MOST_BYTES = 5_000_000
"""Beyond this a page gives up its largest pictures: a browser must open it at once, and a mail carry it."""


def write_html(
    store: Store,
    published: bool = False,
    baseline: str | None = None,
    family: Family = Family.column,
    pictures: Pictures = pictures_of,
    single_folds: bool = False,
) -> str:
    """The leaderboard as HTML that asks no other host for anything and is readable without JavaScript.

    Arguments and errors as in `ssl_bench.report.markdown.write_markdown`; `pictures` draws those of one table.
    """
    environment = Environment(
        loader=PackageLoader(__name__.rpartition(".")[0], "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _asset("page.css"), _asset("page.js")
    render = partial(
        environment.get_template("page.html.j2").render,
        paradigm_note=notes.PARADIGMS,
        pretraining_note=notes.PRETRAININGS,
        robustness_note=robustness.NOTE,
        trajectory_notes=(trajectories.NOTE, trajectories.CORRELATIONS),
        style=style,
        script=script,
        style_digest=_digest(style),
        script_digest=_digest(script),
    )
    page = gather(store, published, baseline, family, pictures, single_folds)
    # What JSON calls text may hold halves of characters, which no file can: they become question marks.
    found = render(page=page).encode("utf-8", "replace")
    if len(found) > MOST_BYTES:
        found = render(page=without_largest(page, len(found) - MOST_BYTES)).encode("utf-8", "replace")
    return found.decode("utf-8")


def _asset(name: str) -> Markup:
    return Markup(importlib.resources.files(__package__).joinpath(name).read_text("utf-8"))


def _digest(text: str) -> str:
    """The digest by which a Content-Security-Policy allows the page's one style and one script."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
