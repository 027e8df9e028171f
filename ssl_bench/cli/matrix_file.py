"""A matrix in a TOML file: the options of ``ssl-bench matrix``, by their names."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import typer

from ssl_bench.errors import UserError


def read_matrix_file(context: typer.Context, file: Path | None) -> Path | None:
    """Make what `file` says the command's defaults, so that options on the command line win.

    Raises UserError for a file that does not read or names no option of the command.
    """
    if file is None:
        return None
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{file}: no such file; name a TOML file with options of ssl-bench matrix") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{file}: does not read as TOML: {error}") from error
    options = {
        flag.removeprefix("--"): parameter for parameter in context.command.params for flag in parameter.opts
        if flag.startswith("--")
    }  # fmt: skip
    defaults: dict[str, Any] = {}
    for name, value in values.items():
        parameter = options.get(name.replace("_", "-"))
        if parameter is None or parameter.name is None:
            raise UserError(f"{file}: {name}: unknown; known: {', '.join(sorted(options))}")
        repeated = getattr(parameter, "multiple", False)
        if isinstance(value, dict) and name not in ("set", "slurm", "executor-set", "executor_set"):
            raise UserError(f"{file}: {name}: expected a value, not a table")
        if isinstance(value, dict):
            value = [f"{path}={json.dumps(leaf)}" for path, leaf in _leaves(value)]
        elif isinstance(value, list) and not repeated:
            value = ",".join(map(str, value))
        elif repeated and not isinstance(value, list):
            value = [value]
        defaults[parameter.name] = value
    context.default_map = defaults
    return file


def _leaves(table: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """The values of a table of tables by their dotted paths."""
    found = []
    for name, value in table.items():
        if isinstance(value, dict):
            found += _leaves(value, f"{above}{name}.")
        else:
            found.append((f"{above}{name}", value))
    return found
