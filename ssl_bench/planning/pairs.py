"""Which methods pre-train which backbones, and why the others cannot."""

from __future__ import annotations

from collections.abc import Iterable

from ssl_bench.api.controls import CONTROL_ROWS
from ssl_bench.api.method_facts import NEEDS
from ssl_bench.api.registry import BACKBONES, METHODS
from ssl_bench.errors import UserError
from ssl_bench.planning.leaving_out import with_sense


def why_impossible(method: str, backbone: str) -> str:
    """What `method` needs that `backbone` does not give, in words; empty where they fit."""
    if method in CONTROL_ROWS:  # Stands in for the features of any backbone.
        return ""
    gives = BACKBONES.load(backbone).facts.gives
    lacking = [NEEDS[need] for need in METHODS.load(method).facts.needs if need not in gives]
    return f"the method {method} needs {' and '.join(lacking)}, and the backbone {backbone} has none" if lacking else ""


def check_pair(method: str, backbone: str) -> None:
    """Raise UserError, with the backbones that would do, unless `method` can pre-train `backbone`."""
    reason = why_impossible(method, backbone)
    if reason:
        others = [name for name in BACKBONES.usable()[0] if not why_impossible(method, name)]
        raise UserError(f"{reason}; use --backbone {' or '.join(others)}")


def possible_pairs(
    methods: Iterable[str], backbones: Iterable[str], start: str = ""
) -> tuple[list[tuple[str, str]], list[str]]:
    """Pairs of method and backbone that work, backbone by backbone, and why the others do not.

    `start` is the network whose weights pre-trainings start from; empty for the seed's. Raises UserError if no pair is
    left.
    """

    def why_not(pair: tuple[str, str]) -> str:
        return _why_no_start(*pair, start) or why_impossible(*pair)

    pairs = [(method, backbone) for backbone in backbones for method in methods]
    return with_sense(pairs, why_not, "{}; choose others")


def pre_trains(row: str) -> bool:
    """Whether anything is pre-trained for `row`, a method or a control."""
    return row not in CONTROL_ROWS and METHODS.load(row).facts.pretrains != "nothing"


def _why_no_start(method: str, backbone: str, start: str) -> str:
    if start in ("", backbone) or not pre_trains(method):
        return ""
    return f"--init holds weights of {start}, from which no pre-training of {backbone} can start"
