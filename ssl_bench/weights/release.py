"""What is known of a form in which weights are published; each has a reader, ``reader_NAME.py``."""

from __future__ import annotations

from typing import NamedTuple

from ssl_bench.spec.contract import InputContract


class Release(NamedTuple):
    """One form in which weights are published."""

    title: str
    network: str
    """The backbone's name."""
    licence: str
    contract: InputContract = InputContract()
    """What its weights expect of volumes, as far as that is public."""
    trained_on: tuple[str, ...] = ()
    """The data sets that its weights were made with, as its makers say; empty where that differs from file to file."""
