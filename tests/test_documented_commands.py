"""Every command line and every option in the documentation is one that ssl-bench has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from ssl_bench.api.registry import BACKBONES, EXECUTORS, METHODS, PROTOCOLS, TASKS, Registry, resolve_protocol
from ssl_bench.api.settings import load_preset
from ssl_bench.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("results/**/README.md"), *ROOT.glob("examples/**/*.md")]
)
USAGE_ERROR: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")
GROUP: Any = typer.main.get_command(app)
REGISTRIES: dict[str, Registry[Any]] = {
    "methods": METHODS, "method": METHODS, "tasks": TASKS, "task": TASKS, "backbones": BACKBONES,
    "executor": EXECUTORS,
}  # fmt: skip
OWN = {"masked_autoencoder", "masked_volumes", "octant", "mine", "NAME", "A", "B", "all", "TASK", "external"}
"""Names that the documentation gives to plugins of a reader's own, and placeholders."""
OF_OTHER_PROGRAMS = {"help", "logdir", "gres", "mem", "user", "strict", "only", "again", "before", "quick"}
"""Options in the text of TensorBoard, Slurm, mkdocs and the benchmarks, and the one that every command has."""


def commands(text: str) -> Iterator[str]:
    """``ssl-bench ...`` in blocks of shell, whose lines may go on, and whole ones in the text."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for block in (block for language, block in fences if language == "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield from re.findall(r"(?:^|&& )(ssl-bench .*?)(?=$|&&|  +#|;)", line.strip())
    for span in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if span.startswith("ssl-bench "):
            yield " ".join(span.split())


def parsed(line: str) -> dict[str, Any]:
    """The options of a command line by their names, as typer reads them. Raises what typer does for a wrong one."""
    words = [word for word in shlex.split(re.sub(r"[][]", "", line), comments=True)[1:] if word != "..."]
    command: Any = GROUP
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{line}: no such command"
        command = command.commands[words.pop(0)]
    context = command.context_class(command)
    values, rest, _ = command.make_parser(context).parse_args(words)
    assert not rest, f"{line}: {rest} too many"
    for parameter in command.params:
        value = values.get(parameter.name)
        if isinstance(value, str) and not _is_placeholder(value) and parameter.callback is None:
            parameter.process_value(context, value)
    return {name: value for name, value in values.items() if value is not None}


def _is_placeholder(value: str) -> bool:
    return "|" in value or value.isupper()


def everything() -> Iterator[tuple[str, str]]:
    """Pages and the commands on them."""
    for page in PAGES:
        for line in dict.fromkeys(commands(page.read_text("utf-8"))):
            yield str(page.relative_to(ROOT)), line


COMMANDS = list(everything())


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 100
    assert ("README.md", "ssl-bench run --method gvsl --task sbm") in COMMANDS


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_in_the_documentation_is_understood(page: str, line: str) -> None:
    given = parsed(line)
    for option, registry in REGISTRIES.items():
        for name in str(given.get(option) or "all").split(","):
            assert name.partition(":")[0] in {*registry.names(), *OWN, "nnunet", "folder", "control"}, (page, name)
    for name in str(given.get("protocols") or given.get("protocol") or "linear").split(","):
        assert name in OWN or resolve_protocol(name) in PROTOCOLS.names()
    overrides = [one for one in given.get("set_") or [] if "NAME" not in one]
    load_preset(given.get("preset") or "quick", overrides, None)


@pytest.mark.parametrize(
    "line",
    [
        "ssl-bench evaluat --backbone FILE",
        "ssl-bench run --methd gvsl",
        "ssl-bench matrix --executor local --workers two",
        "ssl-bench report --format htlm",
        "ssl-bench data show sac shc",
    ],
)
def test_a_wrong_command_would_be_seen(line: str) -> None:
    with pytest.raises((AssertionError, USAGE_ERROR)):
        parsed(line)


def test_every_option_in_the_documentation_is_one_of_some_command() -> None:
    known = {name.lstrip("-") for command in _all_commands(GROUP) for one in command.params for name in one.opts}
    for page in (page for page in PAGES if page.name != "CHANGELOG.md"):  # which tells of earlier ones
        for option in re.findall(r"(?<![\w-])--([a-z][a-z-]*[a-z])", page.read_text("utf-8")):
            assert option in known | OF_OTHER_PROGRAMS, (page.name, option)


def _all_commands(command: Any) -> Iterator[Any]:
    yield command
    for child in getattr(command, "commands", {}).values():
        yield from _all_commands(child)
