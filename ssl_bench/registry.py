"""One lazy registry for methods, tasks and protocols.

Built-in plugins are found by file name and third-party ones by entry point. Listing names imports no plugin, so it is
fast enough for shell completion; a plugin is imported when it is asked for.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.method import Method
    from ssl_bench.protocol import Protocol
    from ssl_bench.task import Task

Plugin = TypeVar("Plugin")


class Registry(Generic[Plugin]):
    """The plugins of one kind, by name."""

    def __init__(self, kind: str, contract: str, entry_points: bool = True) -> None:
        """`kind` is the singular noun, `contract` the class every plugin subclasses, as ``module:Class``."""
        self.kind = kind
        self.package = f"ssl_bench.{kind}s"
        self.contract = contract
        self.entry_points = entry_points

    def names(self) -> list[str]:
        """Every registered name, sorted. Raises UserError when two plugins claim the same one."""
        built_in, third_party = self._built_in(), self._third_party()
        for name in built_in.keys() & third_party.keys():
            raise UserError(
                f"two {self.kind}s are called {name!r}: the built-in one and {third_party[name].value}; "
                "uninstall or rename the latter"
            )
        return sorted(built_in.keys() | third_party.keys())

    def load(self, name: str) -> type[Plugin]:
        """The plugin class called `name`. Raises UserError for an unknown name or a plugin that does not import."""
        self.check(name)
        built_in = self._built_in()
        where = built_in.get(name) or self._third_party()[name].module
        try:
            module = importlib.import_module(where)
        except Exception as error:
            if name in built_in:
                raise
            raise UserError(f"{self.kind} {name!r} ({where}) does not import: {error}; fix or uninstall it") from error
        return self._plugin_class(module, name)

    def check(self, name: str) -> None:
        """Raise UserError, with the nearest name, unless `name` is registered."""
        names = self.names()
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
            raise UserError(f"unknown {self.kind} {name!r}; {hint}")

    def source_digest(self, name: str) -> str | None:
        """SHA-256 of a third-party plugin's file, which stands in for a trusted version; None for a built-in."""
        if name in self._built_in():
            return None
        file = inspect.getfile(self.load(name))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]

    def _plugin_class(self, module: object, name: str) -> type[Plugin]:
        contract_module, contract_name = self.contract.split(":")
        contract = getattr(importlib.import_module(contract_module), contract_name)
        here = getattr(module, "__name__", None)
        for value in vars(module).values():
            if inspect.isclass(value) and issubclass(value, contract) and value.__module__ == here:
                return cast(type[Plugin], value)
        raise UserError(f"{self.kind} {name!r} ({here}) defines no subclass of {contract_name}; add one")

    @functools.cache  # noqa: B019 - the three registries live as long as the process
    def _built_in(self) -> dict[str, str]:
        spec = importlib.util.find_spec(self.package)
        folders = spec.submodule_search_locations if spec else None
        files = [file for folder in folders or () for file in Path(folder).glob("[!_]*.py")]
        return {self._name(file.stem): f"{self.package}.{file.stem}" for file in files}

    def _name(self, stem: str) -> str:
        # linear_v1.py holds linear-v1: a protocol's version is part of its name.
        return re.sub(r"_v(\d+)$", r"-v\1", stem) if self.kind == "protocol" else stem

    @functools.cache  # noqa: B019
    def _third_party(self) -> dict[str, importlib.metadata.EntryPoint]:
        if not self.entry_points:
            return {}
        return {point.name: point for point in importlib.metadata.entry_points(group=self.package)}


METHODS: Registry[Method] = Registry("method", "ssl_bench.method:Method")
TASKS: Registry[Task] = Registry("task", "ssl_bench.task:Task")
PROTOCOLS: Registry[Protocol] = Registry("protocol", "ssl_bench.protocol:Protocol", entry_points=False)


def resolve_protocol(name: str) -> str:
    """The versioned name of a protocol: a bare name such as ``linear`` means its newest version."""
    names = PROTOCOLS.names()
    versions = [known for known in names if known.rpartition("-v")[0] == name]
    if versions:
        return max(versions, key=lambda known: int(known.rpartition("-v")[2]))
    PROTOCOLS.check(name)
    return name
