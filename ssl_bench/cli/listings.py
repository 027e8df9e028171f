"""``methods``, ``tasks``, ``protocols``, ``backbones`` and ``executors``: what there is."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import typer

from ssl_bench.api.registry import BACKBONES, EXECUTORS, METHODS, PROTOCOLS, TASKS, Registry
from ssl_bench.cli import options


def methods(plugin: options.Plugin = None, as_json: options.Json = False) -> None:
    """The self-supervised methods: paradigm, paper, year, and what they pre-train."""
    print_facts(METHODS, ("title", "paradigm", "year", "pretrains", "paper"), as_json)


def tasks(plugin: options.Plugin = None, as_json: options.Json = False) -> None:
    """The downstream tasks: kind, metric, data set and licence."""
    print_facts(TASKS, ("title", "kind", "metric", "modality", "region", "dataset", "licence"), as_json)


def protocols(plugin: options.Plugin = None, as_json: options.Json = False) -> None:
    """The evaluation protocols."""
    print_facts(PROTOCOLS, ("title", "source"), as_json)


def backbones(plugin: options.Plugin = None, as_json: options.Json = False) -> None:
    """The networks that methods pre-train, chosen by --set backbone=NAME."""
    print_facts(BACKBONES, ("title", "source"), as_json)


def executors(plugin: options.Plugin = None, as_json: options.Json = False) -> None:
    """Where the cells of a matrix can run."""
    print_facts(EXECUTORS, ("title",), as_json)


def print_facts(registry: Registry[Any], columns: tuple[str, ...], as_json: bool) -> None:
    """One row a plugin: its name and the `columns` of its facts; with `as_json`, all of its facts."""
    facts = {name: dataclasses.asdict(registry.load(name).facts) for name in options.usable_names(registry)}
    if as_json:
        typer.echo(json.dumps([{"name": name, **values} for name, values in facts.items()], indent=1))
        return
    header = (registry.kind, *columns)
    rows = [(name, *(str(values[column]) for column in columns)) for name, values in facts.items()]
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    for row in [header, *rows]:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
