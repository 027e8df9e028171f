"""The floor plan of ``ssl_bench/``: which folder may import which, read from the source.

Imports inside functions and under TYPE_CHECKING count like any other: they are dependencies too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ssl_bench"
LAYERS = (
    ("errors",),
    ("files",),
    ("api",),
    ("spec",),
    ("nn",),
    ("backbones", "transforms", "metrics", "shifts"),
    ("data",),
    ("protocols",),
    ("weights",),
    ("store",),
    ("training",),
    ("planning",),
    ("executors",),
    ("tuning", "report", "conformance", "submission"),
    ("cli",),
)
"""From the bottom up: a folder imports from those before it. Folders beside each other do not import each other."""
LAYER = {folder: height for height, folders in enumerate(LAYERS) for folder in folders}
LOOSE_MODULES = {"__init__", "errors", "files"}
DISPATCHES = 15
"""At most so many lines ask which kind of specification or record they hold."""
PLUGINS = ("ssl_bench.methods", "ssl_bench.tasks")


def name_of(path: Path) -> str:
    """``ssl_bench.api.task`` for its file; a package is called by its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def sources() -> dict[str, Path]:
    """Every module of the package, by name."""
    return {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported_by(path: Path) -> Iterator[str]:
    """The modules of the package that the file at `path` imports anywhere, and those of its plugins."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("ssl_bench"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            if node.module is not None and node.module.startswith("ssl_bench"):
                for alias in node.names:
                    module = f"{node.module}.{alias.name}"
                    yield module if module in sources() or module in PLUGINS else node.module


@cache
def imports() -> frozenset[tuple[str, str]]:
    """Pairs of a module and a module that it imports."""
    return frozenset((name, found) for name, path in sources().items() for found in imported_by(path))


def folder_of(module: str) -> str:
    """The folder a module lies in; a loose module stands for itself."""
    if module in sources() and sources()[module].name == "__init__.py":
        return module
    parent = module.rpartition(".")[0]
    return module if parent == "ssl_bench" else parent


def top_of(module: str) -> str:
    """``api`` for ``ssl_bench.api.task``, empty for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def test_the_reader_of_imports_sees_lazy_ones_and_those_for_types(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "if TYPE_CHECKING:\n    from ssl_bench.api.task import Task\n"
        "def lazy():\n    import ssl_bench.files\n    from ssl_bench import api\n"
    )
    assert sorted(imported_by(file)) == ["ssl_bench.api", "ssl_bench.api.task", "ssl_bench.files"]


def test_no_circle_of_imports_between_folders() -> None:
    graph: dict[str, set[str]] = {}
    for module, found in imports():
        if folder_of(module) != folder_of(found):
            graph.setdefault(folder_of(module), set()).add(folder_of(found))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"folders import each other: {' <- '.join(error.args[1])}")


def test_imports_lead_downwards_only() -> None:
    upwards = [
        f"{module} imports {found}"
        for module, found in sorted(imports())
        if (here := top_of(module)) and (there := top_of(found)) and here != there and LAYER[there] >= LAYER[here]
    ]
    assert upwards == []


def test_every_folder_has_its_layer() -> None:
    folders = {top_of(name) for name in sources()} - {""}
    assert folders == set(LAYER)


def test_few_modules_are_loose() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} <= LOOSE_MODULES


def test_the_wheel_has_every_folder_and_no_other() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    mapped = {name: folder for name, folder in settings["package-dir"].items() if name != "ssl_bench"}
    folders = {name_of(path) for path in PACKAGE.rglob("__init__.py")}
    assert sorted(settings["packages"]) == sorted(folders | set(mapped))
    assert all((ROOT / folder / "__init__.py").is_file() for folder in mapped.values())
    assert {path.parent for path in PACKAGE.rglob("*.py")} == {path.parent for path in PACKAGE.rglob("__init__.py")}


def test_the_harness_knows_no_method_and_no_task_by_name() -> None:
    assert [pair for pair in sorted(imports()) if pair[1].startswith(PLUGINS)] == []


def test_few_lines_ask_which_specification_or_record_they_hold() -> None:
    asked = re.compile(r"isinstance\(.*(Spec|Record|ExternalBackbone)\b")
    lines = [
        f"{name}:{number}: {line.strip()}"
        for name, path in sources().items()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if asked.search(line)
    ]
    assert len(lines) <= DISPATCHES, "\n".join(lines)


@pytest.mark.parametrize(
    "statement",
    [
        "import ssl_bench.cli",
        "from ssl_bench.api import MethodFacts, Settings",
        "from ssl_bench.api.registry import METHODS, TASKS; METHODS.names() + TASKS.names()",
    ],
)
def test_what_names_and_lists_plugins_imports_no_torch(statement: str) -> None:
    code = f"{statement}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
