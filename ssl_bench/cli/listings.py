"""``methods``, ``tasks``, ``protocols``, ``backbones`` and ``executors``: what there is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssl_bench.api.registry import BACKBONES, EXECUTORS, METHODS, PROTOCOLS, TASKS, Registry
from ssl_bench.cli import options

if TYPE_CHECKING:
    from ssl_bench.api.backbone import Backbone
    from ssl_bench.api.task import Task


EVERY_METHOD = "every method"


def methods(
    plugin: options.Plugin = None,
    show_options: Annotated[
        bool, typer.Option("--options", help="Their options instead: defaults, and where ssl-bench tune looks.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """The self-supervised methods: paradigm, paper, year, and what they pre-train."""
    if show_options:
        lines = option_lines()
        header = ("method", "option", "default", "searched")
        typer.echo(
            json.dumps([dict(zip(header, line, strict=True)) for line in lines], indent=1)
            if as_json
            else aligned([header, *lines])
        )
        return
    print_facts(METHODS, ("title", "paradigm", "year", "pretrains", "needs", "paper"), as_json)


def option_lines() -> list[tuple[str, str, str, str]]:
    """Method, option, default and searched values of every option of every method, those that all have once."""
    from ssl_bench.api.method import MethodConfig
    from ssl_bench.api.search import searched

    configs = {EVERY_METHOD: MethodConfig}
    configs |= {name: METHODS.load(name).Config for name in options.usable_names(METHODS)}
    lines = []
    for method, config in configs.items():
        ranges = searched(config)
        for name, field in config.model_fields.items():
            if method == EVERY_METHOD or name not in MethodConfig.model_fields:
                default = "the preset's" if field.default is None else str(field.default)
                lines.append((method, name, default, str(ranges.get(name, ""))))
    return lines


def tasks(plugin: options.Plugin = None, as_json: options.Json = False) -> None:
    """The downstream tasks: kind, metric, data set and licence."""
    print_facts(TASKS, ("title", "kind", "metric", "modality", "region", "dataset", "licence"), as_json, _data_of)


def protocols(plugin: options.Plugin = None, as_json: options.Json = False) -> None:
    """The evaluation protocols."""
    print_facts(PROTOCOLS, ("title", "source"), as_json)


def backbones(plugin: options.Plugin = None, as_json: options.Json = False) -> None:
    """The networks that methods pre-train, chosen by --backbone, and the methods that cannot."""
    print_facts(BACKBONES, ("title", "stride", "not_with", "source"), as_json, _pairs_of)


def executors(plugin: options.Plugin = None, as_json: options.Json = False) -> None:
    """Where the cells of a matrix can run."""
    print_facts(EXECUTORS, ("title",), as_json)


def _pairs_of(backbone: type[Backbone]) -> dict[str, Any]:
    """The stride of a backbone, and the methods that need what it does not give."""
    methods = {name: METHODS.load(name).facts.needs for name in METHODS.usable()[0]}
    lacking = [name for name, needs in methods.items() if set(needs) - set(backbone.facts.gives)]
    return {"stride": backbone.stride, "not_with": ", ".join(lacking)}


def _data_of(task: type[Task]) -> dict[str, Any]:
    """Where the cases of a task come from; None where it has no such data."""
    dataset, generator = task.dataset, task.generator
    return {
        "dataset": dataset and dataset.title,
        "licence": dataset and dataset.licence,
        "access": dataset and dataset.access,
        "label_values": dataset and dataset.label_values,
        "spacing_mm": generator and generator.spacing_mm,
        "field_of_view_mm": generator and generator.field_of_view_mm,
    }


def print_facts(
    registry: Registry[Any],
    columns: tuple[str, ...],
    as_json: bool,
    more: Callable[[Any], dict[str, Any]] = lambda plugin: {},
) -> None:
    """One row a plugin: its name and the `columns` of its facts and of `more`; with `as_json`, all of them."""
    plugins = {name: registry.load(name) for name in options.usable_names(registry)}
    facts = {name: dataclasses.asdict(plugin.facts) | more(plugin) for name, plugin in plugins.items()}
    if as_json:
        typer.echo(json.dumps([{"name": name, **values} for name, values in facts.items()], indent=1))
        return
    header = (registry.kind, *columns)
    typer.echo(aligned([header, *((name, *(cell_text(values[c]) for c in columns)) for name, values in facts.items())]))


def cell_text(value: Any) -> str:
    """A fact in a table: lists by commas, nothing for what is empty."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of as many texts each, in columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
