"""``new`` and ``check``: a plugin begun, and a plugin examined."""

from __future__ import annotations

import importlib.util
import json
import keyword
import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssl_bench.api.registry import METHODS, TASKS, Registry
from ssl_bench.cli import options
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.conformance import Check


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
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(f"{name!r} cannot name a {kind}; use lower-case letters, digits and underscores")
    if name in registry.names():
        raise UserError(f"there is a {kind} called {name!r} already; choose another name")
    if not out.is_dir():
        raise UserError(f"--out {out}: no such folder; make it first")
    from ssl_bench.conformance.templates import filled
    from ssl_bench.files import atomic_write

    texts = {out / file: text for file, text in filled(kind, name).items()}
    for file in texts:
        if file.exists():
            raise UserError(f"{file}: exists; choose another name or another --out")
    source = out / f"{name}.py"
    if _hides_a_module(name):
        raise UserError(f"{name!r} is a Python module, which {source} would hide; choose another name")
    for file, text in texts.items():
        with atomic_write(file) as temporary:
            temporary.write_text(text, "utf-8")
        typer.echo(str(file))
    other = "--task shc" if kind is Kind.method else "--method scratch"
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
    findings: list[dict[str, str | None]] = []
    on_terminal = sys.stderr.isatty()
    for number, one in enumerate(checks, 1):
        if on_terminal:
            typer.echo(f"\r[{number}/{len(checks)}] {one.promise}\x1b[K", err=True, nl=False)
        problem = one.problem(subject)
        findings.append({"promise": one.promise, "problem": problem})
        if not as_json:
            if on_terminal:
                typer.echo("\r\x1b[K", err=True, nl=False)
            typer.echo(f"{'FAIL' if problem else 'ok':4}  {one.promise}" + (f"\n      {problem}" if problem else ""))
        if problem and one.essential:
            break
    broken = sum(finding["problem"] is not None for finding in findings)
    if as_json:
        typer.echo(json.dumps(findings, indent=1))
    else:
        left = len(checks) - len(findings)
        others = f"; {left} not examined: they mean nothing without this one" if left else ""
        typer.echo(f"{kind} {name}: {len(findings) - broken} of {len(checks)} promises kept{others}")
    if broken:
        raise typer.Exit(1)


def _hides_a_module(name: str) -> bool:
    """Whether Python finds a top-level module `name` that is not just a file of the folder one works in."""
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None and Path(found.origin).parent != Path.cwd()


def _examination(kind: Kind, name: str) -> tuple[Sequence[Check[Any]], Any]:
    """The promises of a kind, and the plugin that has to keep them."""
    if kind is Kind.task:
        from ssl_bench.conformance.task_checks import TaskUnderTest

        task = TaskUnderTest(name)
        return task.checks, task

    from ssl_bench.conformance.method_checks import METHOD_CHECKS, MethodUnderTest

    method = MethodUnderTest(name)
    if method.facts.pretrains == "nothing":
        raise UserError(f"method {name!r} pre-trains nothing: there is nothing to check")
    return METHOD_CHECKS, method
