"""One lazy registry for every kind of plugin: methods, tasks, protocols, backbones and executors.

Built-in plugins are found by file name, those of other packages by an entry point in the group of their kind, such as
``ssl_bench.methods``, single files by ``--plugin``. Listing names imports no plugin, so it is fast enough for shell
completion; a plugin is imported when it is asked for.
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
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ssl_bench.api.declarations import IMPORT_ERRORS, chosen_class, classes_in, first_line, quiet_stdout
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from types import ModuleType

    from ssl_bench.api.backbone import Backbone
    from ssl_bench.api.executor import Executor
    from ssl_bench.api.method import Method
    from ssl_bench.api.protocol import Protocol
    from ssl_bench.api.task import Task

Plugin = TypeVar("Plugin")


class Registry(Generic[Plugin]):
    """The plugins of one kind, by name: built in, from an installed package, or from a file named on the command line.

    A built-in plugin keeps its name whatever else is installed; a file named on the command line is what its user
    wants, but may not take a name that is there.
    """

    def __init__(self, kind: str, versioned: bool = False) -> None:
        """`kind` is the singular noun; its contract is the class of that name in ``ssl_bench.api``.

        Names of a `versioned` kind end in ``-v1``, files in ``_v1.py``.
        """
        self.kind = kind
        self.package = f"ssl_bench.{kind}s"
        self.contract = f"ssl_bench.api.{kind}:{kind.capitalize()}"
        self.versioned = versioned
        self.files: dict[str, Path] = {}
        self.folders: dict[str, Path] = {}
        self._given: dict[str, type[Plugin]] = {}

    def names(self) -> list[str]:
        """Every registered name, sorted; third-party ones may turn out not to work."""
        return sorted(self._built_in().keys() | self._third_party().keys() | self._given.keys())

    def usable(self) -> tuple[list[str], list[str]]:
        """The names that load, and a sentence about each third-party plugin that is skipped."""
        built_in, usable, problems = self._built_in(), [], []
        for name in self.names():
            try:
                if name not in built_in:
                    self.load(name)
                usable.append(name)
            except UserError as error:
                problems.append(f"skipped: {error}")
        problems += [
            f"skipped: {self.kind} {name!r} ({points[0].value}): the name is built in; rename or uninstall it"
            for name, points in self._third_party().items()
            if name in built_in
        ]
        return usable, problems

    def load(self, name: str) -> type[Plugin]:
        """The plugin class called `name`. Raises UserError for an unknown name or a plugin that does not work."""
        self.check(name)
        if name in self._given:
            return self._given[name]
        built_in = self._built_in()
        if name in built_in:
            return self._plugin_class(importlib.import_module(built_in[name]), name, built_in[name])
        point, *others = self._third_party()[name]
        if others:
            rivals = " and ".join(point.value for point in (point, *others))
            raise UserError(f"{self.kind} {name!r} is claimed by {rivals}; uninstall one")
        try:
            with quiet_stdout():
                module = importlib.import_module(point.module)
        except IMPORT_ERRORS as error:
            raise UserError(
                f"{self.kind} {name!r} ({point.value}) does not import: {first_line(error)}; fix or uninstall it"
            ) from error
        return self._plugin_class(module, name, point.value, point.attr or None)

    def check(self, name: str) -> None:
        """Raise UserError, with the nearest name, unless `name` is registered."""
        names = self.names()
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
            raise UserError(f"unknown {self.kind} {name!r}; {hint}")

    def add(self, module: ModuleType, file: Path) -> None:
        """Register what the module in `file` defines under the file's name. Raises UserError for a name that is taken.

        The same file again is no error: a plan of many cells names it once for each.
        """
        name = self.name_of(file.stem)
        if self.files.get(name) == file:
            return
        if name in self.names():
            raise UserError(f"--plugin {file}: another {self.kind} is called {name!r} already; rename the file")
        self._given[name] = self._plugin_class(module, name, str(file))
        self.files[name] = file

    def add_from_folder(self, name: str, plugin: type[Plugin], folder: Path) -> None:
        """Register a plugin that a folder defines. Raises UserError if `name` is taken by anything else."""
        if name in self.names() and self.folders.get(name) != folder:
            raise UserError(f"{folder}: another {self.kind} is called {name!r} already; rename the data set")
        self._given[name] = plugin
        self.folders[name] = folder

    def defined_in(self, module: ModuleType) -> list[type[Plugin]]:
        """The concrete plugin classes that `module` itself defines."""
        return cast(list[type[Plugin]], classes_in(module, self.contract))

    def source_digest(self, name: str) -> str | None:
        """SHA-256 of a third-party plugin's file, which stands in for a trusted version; None for a built-in."""
        if name in self._built_in():
            return None
        file = inspect.getfile(self.load(name))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]

    def name_of(self, stem: str) -> str:
        """The plugin's name by its file's: ``linear_v1.py`` holds ``linear-v1``, since a module's has no dash."""
        return re.sub(r"_v(\d+)$", r"-v\1", stem) if self.versioned else stem

    def newest(self, name: str) -> str:
        """The newest version of a bare name such as ``linear``; a name that is none stays as it is.

        What is built in comes first: a package that is installed does not change what a name means.
        """
        for names in (self._built_in(), self.names()):
            versions = {int(known.rpartition("-v")[2]): known for known in names if known.rpartition("-v")[0] == name}
            if versions:
                return versions[max(versions)]
        return name

    def newest_names(self) -> list[str]:
        """Of every bare name the newest version, sorted."""
        return sorted({self.newest(name.rpartition("-v")[0]) for name in self.names()})

    def _plugin_class(self, module: ModuleType, name: str, origin: str, attribute: str | None = None) -> type[Plugin]:
        if self.versioned and not re.search(r"-v\d+$", name):
            way_out = f"end its name in a version: {name}_v1.py, or {name}-v1 as an entry point"
            raise UserError(f"{self.kind} {name!r} ({origin}) has no version; {way_out}")
        try:
            return cast(type[Plugin], chosen_class(module, attribute, self.contract))
        except UserError as error:
            raise UserError(f"{self.kind} {name!r} ({origin}) {error}") from error

    @functools.cache  # noqa: B019 - the registries live as long as the process
    def _built_in(self) -> dict[str, str]:
        spec = importlib.util.find_spec(self.package)
        folders = spec.submodule_search_locations if spec else None
        files = [file for folder in folders or () for file in Path(folder).glob("[!_]*.py")]
        return {self.name_of(file.stem): f"{self.package}.{file.stem}" for file in files}

    @functools.cache  # noqa: B019
    def _third_party(self) -> dict[str, list[importlib.metadata.EntryPoint]]:
        found: dict[str, list[importlib.metadata.EntryPoint]] = {}
        for point in sorted(importlib.metadata.entry_points(group=self.package), key=lambda point: point.value):
            found.setdefault(point.name, []).append(point)
        return found


METHODS: Registry[Method] = Registry("method")
TASKS: Registry[Task] = Registry("task")
PROTOCOLS: Registry[Protocol] = Registry("protocol", versioned=True)
BACKBONES: Registry[Backbone] = Registry("backbone")
EXECUTORS: Registry[Executor] = Registry("executor")
REGISTRIES: tuple[Registry[Any], ...] = (METHODS, TASKS, PROTOCOLS, BACKBONES, EXECUTORS)


def add_plugin_file(path: Path) -> None:
    """Register what a Python file defines, a plugin of any kind, under the file's name.

    Raises UserError if there is no such file, if it does not import, or if it defines no plugin.
    """
    file = path.resolve()
    if file.suffix != ".py" or not file.is_file():
        raise UserError(f"--plugin {path}: no such Python file; name one that defines a plugin")
    if not file.stem.isidentifier():
        raise UserError(f"--plugin {path}: {file.stem!r} cannot name a plugin; use letters, digits and underscores")
    name = f"ssl_bench_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.get(name)
    if module is None or module.__file__ != str(file):
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            with quiet_stdout():
                spec.loader.exec_module(module)
        except IMPORT_ERRORS as error:
            del sys.modules[name]
            raise UserError(f"--plugin {path}: does not import: {first_line(error)}; correct the file") from error
    defining = [registry for registry in REGISTRIES if registry.defined_in(module)]
    if not defining:
        raise UserError(f"--plugin {path}: defines no Method, Task, Protocol, Backbone or Executor; subclass one")
    for registry in defining:
        registry.add(module, file)


def plugin_files(
    method: str | None = None, task: str | None = None, protocol: str | None = None, backbone: str | None = None
) -> tuple[Path, ...]:
    """The files from the command line that a cell needs which is of these plugins, each once."""
    named = ((METHODS, method), (TASKS, task), (PROTOCOLS, protocol), (BACKBONES, backbone))
    found = [registry.files[name] for registry, name in named if name in registry.files]
    return tuple(dict.fromkeys(found))


def resolve_protocol(name: str) -> str:
    """The versioned name of a protocol: a bare name such as ``linear`` means its newest version."""
    resolved = PROTOCOLS.newest(name)
    PROTOCOLS.check(resolved)
    return resolved
