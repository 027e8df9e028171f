"""``new`` and ``check``: a plugin begun, and a plugin examined."""

from __future__ import annotations

import datetime
import importlib.resources
import json
import keyword
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssl_bench.cli import options
from ssl_bench.errors import UserError
from ssl_bench.registry import METHODS, TASKS, Registry

if TYPE_CHECKING:
    from ssl_bench.kit import Check


class Kind(StrEnum):
    """What a plugin can be."""

    method = "method"
    task = "task"


def new(
    kind: Annotated[Kind, typer.Argument(help="method or task.")],
    name: Annotated[str, typer.Argument(help="Lower case, e.g. masked_volumes: the name of the file and the plugin.")],
    out: Annotated[Path, typer.Option(help="The folder to write into.")] = Path(),
) -> None:
    """Write a working method or task, and a test that holds it to the contract.

    Example: ssl-bench new method masked_volumes
    """
    registry: Registry[Any] = METHODS if kind is Kind.method else TASKS
    if not name.isidentifier() or name != name.lower() or keyword.iskeyword(name):
        raise UserError(f"{name!r} cannot name a {kind}; use lower-case letters, digits and underscores")
    if name in registry.names():
        raise UserError(f"there is a {kind} called {name!r} already; choose another name")
    if not out.is_dir():
        raise UserError(f"--out {out}: no such folder; make it first")
    files = {out / f"{name}.py": f"{kind}.py.txt", out / f"test_{name}.py": f"test_{kind}.py.txt"}
    for file in files:
        if file.exists():
            raise UserError(f"{file}: exists; choose another name or another --out")

    from ssl_bench.files import atomic_write

    title = name.replace("_", " ").capitalize()
    words = {
        "name": name,
        "title": title,
        "class_name": "".join(part.capitalize() for part in name.split("_")),
        "year": str(datetime.datetime.now(datetime.UTC).year),
    }
    for file, template in files.items():
        text = importlib.resources.files("ssl_bench.kit.templates").joinpath(template).read_text("utf-8")
        with atomic_write(file) as temporary:
            temporary.write_text(Template(text).substitute(words), "utf-8")
        typer.echo(str(file))
    other = "--task shc" if kind is Kind.method else "--method scratch"
    source = out / f"{name}.py"
    typer.echo(f"next: ssl-bench check {kind} {name} --plugin {source}")
    typer.echo(f"      ssl-bench run --{kind} {name} {other} --preset smoke --plugin {source}")


def check(
    kind: Annotated[Kind, typer.Argument(help="method or task.")],
    name: Annotated[str, typer.Argument(help="A registered name.")],
    plugin: options.Plugin = None,
    as_json: options.Json = False,
) -> None:
    """Examine a method or a task: does it keep what the harness relies on? Exit 1 if it does not.

    Example: ssl-bench check method masked_volumes --plugin masked_volumes.py
    """
    registry: Registry[Any] = METHODS if kind is Kind.method else TASKS
    registry.check(name)

    checks, subject = _examination(kind, name)
    findings = []
    for number, one in enumerate(checks, 1):
        typer.echo(f"\r[{number}/{len(checks)}] {one.promise}\x1b[K", err=True, nl=False)
        findings.append({"promise": one.promise, "problem": one.problem(subject)})
        if not as_json:
            typer.echo("\r\x1b[K", err=True, nl=False)
            problem = findings[-1]["problem"]
            typer.echo(f"{'FAIL' if problem else 'ok':4}  {one.promise}" + (f"\n      {problem}" if problem else ""))
    broken = sum(finding["problem"] is not None for finding in findings)
    if as_json:
        typer.echo(json.dumps(findings, indent=1))
    else:
        typer.echo(f"{kind} {name}: {len(findings) - broken} of {len(findings)} promises kept")
    if broken:
        raise typer.Exit(1)


def _examination(kind: Kind, name: str) -> tuple[Sequence[Check[Any]], Any]:
    """The promises of a kind, and the plugin that has to keep them."""
    if kind is Kind.task:
        from ssl_bench.kit.task_checks import TASK_CHECKS, TaskUnderTest

        return TASK_CHECKS, TaskUnderTest(name)

    from ssl_bench.kit.method_checks import METHOD_CHECKS, MethodUnderTest

    method = MethodUnderTest(name)
    if method.facts.pretrains == "nothing":
        raise UserError(f"method {name!r} pre-trains nothing: there is nothing to check")
    return METHOD_CHECKS, method
