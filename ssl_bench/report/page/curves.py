"""Small pictures of numbers as inline SVG: curves over steps, and one dot for each test case."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean

from markupsafe import Markup

WIDTH = 260
LEFT, RIGHT, TOP, BOTTOM = 44, 254, 8, 72
MOST_POINTS = 120
"""Longer curves are averaged over equal stretches: the page has a thousand of them."""


def curve(name: str, points: Sequence[tuple[float, float]], best: float | None = None) -> Markup | None:
    """`points` (step, value) as a line; `best` is a step to mark. None without two finite points."""
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(finite) < 2:
        return None
    shown, chosen = _averaged(finite), next(((x, y) for x, y in finite if x == best), None)
    seen = [*shown, chosen] if chosen else shown
    (x_low, x_high), (y_low, y_high) = ((min(v), max(v)) for v in zip(*seen, strict=True))
    across, up = _scale(x_low, x_high, LEFT, RIGHT), _scale(y_low, y_high, BOTTOM, TOP)
    path = "M" + "L".join(f"{across(x):.0f} {up(y):.1f}" for x, y in shown)
    text = f"{name}: {finite[0][1]:.3g} at step {finite[0][0]:.0f}, {finite[-1][1]:.3g} at step {finite[-1][0]:.0f}"
    mark = Markup()
    if chosen:
        text += f", {chosen[1]:.3g} at the chosen step {chosen[0]:.0f}"
        mark = Markup('<circle cx="{:.0f}" cy="{:.1f}" r="3"/>').format(across(chosen[0]), up(chosen[1]))
    return _figure("", TOP + BOTTOM, text, Markup(
        '<path d="M{} {}V{}H{}"/><path d="{}"/>{}<text x="40" y="14">{:.3g}</text>'
        '<text x="40" y="{}">{:.3g}</text>'
    ).format(LEFT, TOP, BOTTOM, RIGHT, path, mark, y_high, BOTTOM, y_low))  # fmt: skip


def dots(text: str, lines: Sequence[Sequence[float]], low: float, high: float, factor: float = 100) -> Markup | None:
    """Values between `low` and `high`, each a dot, on one line for each sequence of `lines`. None without any.

    `factor` is what the ends are multiplied by where they are written.
    """
    across, floor = _scale(low, high, LEFT, RIGHT), 14 + 14 * len(lines)
    path = "".join(
        f"M{across(min(max(value, low), high)):.0f} {14 + 14 * place}h0"
        for place, values in enumerate(lines)
        for value in values
    )
    if not path:
        return None
    return _figure("dots", floor + 14, text, Markup(
        '<path d="M{} {}H{}"/><path d="{}"/><text class="start" x="{}" y="{}">{:.3g}</text>'
        '<text x="{}" y="{}">{:.3g}</text>'
    ).format(LEFT, floor, RIGHT, path, LEFT, floor + 12, factor * low, RIGHT, floor + 12, factor * high))  # fmt: skip


def _figure(style: str, height: float, text: str, drawing: Markup) -> Markup:
    """`drawing` above `text`, which says all that it shows: whoever cannot see it misses nothing."""
    return Markup(
        '<figure{}><svg viewBox="0 0 {} {}" aria-hidden="true">{}</svg><figcaption>{}</figcaption></figure>'
    ).format(Markup(' class="{}"').format(style) if style else "", WIDTH, height, drawing, text)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Maps low..high to start..end, and to the middle where low equals high."""
    return lambda value: start + (end - start) * ((value - low) / (high - low) if high > low else 0.5)


def _averaged(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= MOST_POINTS:
        return list(points)
    edges = [round(place * len(points) / MOST_POINTS) for place in range(MOST_POINTS + 1)]
    stretches = [points[start:end] for start, end in pairwise(edges)]
    return [(fmean(x for x, _ in stretch), fmean(y for _, y in stretch)) for stretch in stretches]
