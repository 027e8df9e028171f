"""From an import path to a plugin class that can be relied on: what foreign code declares is looked at before use."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
from types import ModuleType
from typing import Any, get_type_hints

from ssl_bench.errors import UserError

# What an import may raise: a package that ends the process is broken too, a user who presses Ctrl-C is not.
IMPORT_ERRORS = (Exception, SystemExit)


def quiet_stdout() -> contextlib.AbstractContextManager[Any]:
    """Inside, what imported code prints goes to stderr: stdout may be read by a program."""
    return contextlib.redirect_stdout(sys.stderr)


def contract_class(contract: str) -> Any:
    """The class that ``module:Class`` names."""
    module, _, name = contract.partition(":")
    return getattr(importlib.import_module(module), name)


def classes_in(module: ModuleType, contract: str) -> list[type]:
    """The concrete subclasses of `contract` that `module` itself defines."""
    if contract.partition(":")[0] not in sys.modules:
        # No class can derive from a contract that is not imported yet, and some contracts import torch.
        return []
    base = contract_class(contract)
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, base)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]


def chosen_class(module: ModuleType, attribute: str | None, contract: str) -> Any:
    """The plugin class in `module`: the one called `attribute`, else the only one that it defines.

    Raises UserError, which the caller begins with the plugin's name, if it is not there or declares what is of no use.
    """
    kind = contract.partition(":")[2]
    if attribute is None:
        found = classes_in(module, contract)
        if len(found) != 1:
            names = f"{len(found)} ({', '.join(plugin.__name__ for plugin in found)})" if found else "no"
            raise UserError(f"defines {names} subclasses of {kind}; define one")
        plugin: Any = found[0]
    else:
        plugin = _named(module, attribute)
        if not inspect.isclass(plugin) or not issubclass(plugin, contract_class(contract)):
            raise UserError(f"names {attribute}, which is no subclass of {kind}; correct the entry point")
        if inspect.isabstract(plugin):
            missing = ", ".join(sorted(getattr(plugin, "__abstractmethods__", ())))
            raise UserError(f"does not define {missing} of {attribute}; define it")
    _check_declarations(plugin, contract)
    return plugin


def first_line(error: BaseException) -> str:
    """An exception in one line: its type and the first line of what it says."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0] if said else ''}".rstrip(": ")


def _named(module: ModuleType, attribute: str) -> Any:
    try:
        return functools.reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        raise UserError(f"has no {attribute}; correct the entry point") from error


def _nearest_contract(plugin: Any, contract: str) -> Any:
    """The class of `ssl_bench.api` from which `plugin` derives first: the contract itself, or a narrower one."""
    own: Any = next(kind for kind in plugin.__mro__ if kind.__module__.startswith("ssl_bench.api."))
    return own if issubclass(own, contract_class(contract)) else contract_class(contract)


@functools.cache
def _check_declarations(plugin: Any, contract: str) -> None:
    """Raise UserError unless `plugin` declares what `contract` asks for: facts of the right types, usable options."""
    from pydantic import TypeAdapter, ValidationError

    facts_class = contract_class(f"{contract}Facts")
    facts = getattr(plugin, "facts", None)
    if not isinstance(facts, facts_class):
        raise UserError(f"declares no facts; give {plugin.__name__} some of the class {facts_class.__name__}")
    for field, hint in get_type_hints(facts_class).items():
        value = getattr(facts, field)
        try:
            TypeAdapter(hint).validate_python(value, strict=True)
        except ValidationError as error:
            message = error.errors()[0]["msg"].lower()
            raise UserError(f"declares facts.{field} {value!r}: {message}; correct it") from error
    if hasattr(plugin, "check_declarations"):
        plugin.check_declarations()
    base = _nearest_contract(plugin, contract)
    for name in ("Config", "Settings"):
        options, wanted = getattr(plugin, name, None), getattr(base, name, None)
        if wanted and not (inspect.isclass(options) and issubclass(options, wanted)):
            raise UserError(f"declares a {name} that is no {wanted.__name__}; derive it from that")
    for name, hint in vars(base).get("__annotations__", {}).items():
        if hint.startswith("ClassVar") and not hasattr(plugin, name):
            raise UserError(f"declares no {name}; give {plugin.__name__} one")
