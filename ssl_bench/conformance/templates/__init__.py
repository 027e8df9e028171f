"""Templates of ``ssl-bench new``."""

from __future__ import annotations

import ast
import datetime
import importlib.resources
import keyword
from string import Template

from ssl_bench.errors import UserError


def filled(kind: str, name: str, plugin: str) -> dict[str, str]:
    """A plugin of a `kind` called `plugin` in a file called `name`, and its test: texts by file name.

    Raises UserError if its class would take a name that the file imports.
    """
    class_name = "".join(part.capitalize() for part in name.split("_"))
    words = {
        "name": name,
        "plugin": plugin,
        "title": name.replace("_", " ").capitalize(),
        "class_name": class_name,
        "year": str(datetime.datetime.now(datetime.UTC).year),
    }
    templates = {f"{name}.py": f"{kind}.py.txt", f"test_{name}.py": f"test_{kind}.py.txt"}
    folder = importlib.resources.files(__name__)
    texts = {
        file: Template(folder.joinpath(template).read_text("utf-8")).substitute(words)
        for file, template in templates.items()
    }
    if keyword.iskeyword(class_name) or class_name in _imported_names(texts[f"{name}.py"]):
        raise UserError(f"{name!r} would make a class {class_name}, a name that its file needs; choose another name")
    return texts


def _imported_names(source: str) -> set[str]:
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}
