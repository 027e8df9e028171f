"""The open data sets by name, from every file of ``sets/``."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from pathlib import Path

from ssl_bench.data.open_sets.declaration import OpenSet
from ssl_bench.errors import UserError


@cache
def open_sets() -> dict[str, OpenSet]:
    """Every declared data set by its name, in the order of files and of their `SETS`."""
    files = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).with_name("sets"))]))
    modules = [importlib.import_module(f"ssl_bench.data.open_sets.sets.{file}") for file in files]
    return {declared.name: declared for module in modules for declared in module.SETS}


def open_set(name: str) -> OpenSet:
    """The data set called `name`. Raises UserError, with the nearest name, if there is none."""
    known = open_sets()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "ssl-bench data sets lists them"
        raise UserError(f"unknown open data set {name!r}; {hint}")
    return known[name]
