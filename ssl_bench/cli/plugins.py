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

from ssl_bench.api.registry import BACKBONES, METHODS, REGISTRIES, TASKS, resolve_protocol
from ssl_bench.cli import options
from ssl_bench.cli.option_groups import check_network
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.conformance import Check


class Kind(StrEnum):
    """What a plugin can be."""

    method = "method"
    task = "task"
    protocol = "protocol"
    backbone = "backbone"
    executor = "executor"


NEXT = {
    Kind.method: "run --method {name} --task shc --preset smoke",
    Kind.task: "run --task {name} --method scratch --preset smoke",
    Kind.protocol: "run --protocol {name} --method scratch --task shc --preset smoke",
    Kind.backbone: "run --backbone {name} --method denoising --task shc --preset smoke",
    Kind.executor: "matrix --executor {name} --methods scratch --tasks shc --preset smoke",
}
"""A first command that uses a plugin of each kind."""


def new(
    kind: Annotated[Kind, typer.Argument(help="method, task, protocol, backbone or executor.")],
    name: Annotated[
        str, typer.Argument(help="Of the file, in lower case, e.g. masked_volumes; probing_v1 for a protocol.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write into.")] = Path(),
) -> None:
    """Write a working plugin, and a test that holds it to the contract.

    Example: ssl-bench new method masked_volumes
    """
    (registry,) = (one for one in REGISTRIES if one.kind == kind)
    plugin = registry.name_of(name)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(f"{name!r} cannot name a {kind}; use lower-case letters, digits and underscores")
    if kind is Kind.protocol and plugin == name:
        raise UserError(f"{name!r}: a protocol's name ends in its version; use {name}_v1")
    if plugin in registry.names():
        raise UserError(f"another {kind} is called {plugin!r} already; choose another name")
    if not out.is_dir():
        raise UserError(f"--out {out}: no such folder; make it first")
    from ssl_bench.conformance.templates import filled
    from ssl_bench.files import atomic_write

    texts = {out / file: text for file, text in filled(kind, name, plugin).items()}
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
    if kind is not Kind.executor:
        typer.echo(f"next: ssl-bench check {kind} {plugin} --plugin {source}")
    typer.echo(f"next: ssl-bench {NEXT[kind].format(name=plugin)} --plugin {source}")


def check(
    kind: Annotated[Kind, typer.Argument(help="method, task, protocol or backbone.")],
    name: Annotated[str, typer.Argument(help="A registered name.")],
    plugin: options.Plugin = None,
    backbone: options.Network = None,
    as_json: options.Json = False,
) -> None:
    """Examine a plugin: does it keep what the harness relies on? Exit 1 if it does not. A method with any --backbone.

    Example: ssl-bench check method masked_volumes --plugin masked_volumes.py
    """
    checks, subject = _examination(kind, name, backbone)
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


def _examination(kind: Kind, name: str, backbone: str | None) -> tuple[Sequence[Check[Any]], Any]:
    """The promises of a kind, and the plugin that has to keep them; of a method, on that backbone."""
    if backbone is not None:
        if kind is not Kind.method:
            raise UserError(f"--backbone {backbone}: is for methods; leave it out")
        check_network(backbone, "--backbone")
    if kind is Kind.task:
        TASKS.check(name)
        from ssl_bench.conformance.task_checks import TaskUnderTest

        task = TaskUnderTest(name)
        return task.checks, task
    if kind is Kind.protocol:
        resolve_protocol(name)
        from ssl_bench.conformance.protocol_checks import examination

        return examination(name)
    if kind is Kind.executor:
        raise UserError(f"executor {name!r}: nothing is checked of executors; run a small matrix with it")
    if kind is Kind.backbone:
        BACKBONES.check(name)
        from ssl_bench.conformance.backbone_checks import BACKBONE_CHECKS, BackboneUnderTest

        return BACKBONE_CHECKS, BackboneUnderTest(name)
    METHODS.check(name)
    from ssl_bench.conformance.method_checks import METHOD_CHECKS, MethodUnderTest

    method = MethodUnderTest(name, backbone=backbone)
    if method.facts.pretrains == "nothing":
        raise UserError(f"method {name!r} pre-trains nothing: there is nothing to check")
    return METHOD_CHECKS, method
