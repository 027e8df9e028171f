"""What is asked for and makes no sense is left out with its reason, and the rest runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from ssl_bench.errors import UserError

Asked = TypeVar("Asked")


def with_sense(
    asked: Iterable[Asked], why_not: Callable[[Asked], str], complaint: str
) -> tuple[list[Asked], list[str]]:
    """Those of `asked` for which `why_not` is empty, and why the others are left out, each reason once.

    Raises UserError if none is left: `complaint`, with the reasons where it has braces.
    """
    kept: list[Asked] = []
    reasons: dict[str, None] = {}
    for one in asked:
        if reason := why_not(one):
            reasons[reason] = None
        else:
            kept.append(one)
    if not kept:
        raise UserError(complaint.format("; ".join(reasons)))
    return kept, list(reasons)
