"""The registry: names without imports, one owner a name, a hint for a typing error."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from ssl_bench.errors import UserError
from ssl_bench.method import Method
from ssl_bench.protocol import Protocol
from ssl_bench.registry import METHODS, PROTOCOLS, TASKS, Registry, resolve_protocol
from ssl_bench.task import Task


def test_built_in_plugins_are_found_by_file_name() -> None:
    assert {"scratch", "gvsl", "models_genesis", "simclr", "simsiam", "deepcluster"} <= set(METHODS.names())
    assert set(TASKS.names()) == {"ccc", "sac", "sbm", "shc"}
    assert set(PROTOCOLS.names()) == {"finetune-v1", "linear-v1", "probe-v1"}


@pytest.mark.parametrize(("registry", "contract"), [(METHODS, Method), (TASKS, Task), (PROTOCOLS, Protocol)])
def test_every_plugin_keeps_its_contract(registry: Registry[object], contract: type) -> None:
    for name in registry.names():
        plugin = registry.load(name)
        assert issubclass(plugin, contract)
        assert plugin.facts.title  # type: ignore[attr-defined]


def test_listing_names_imports_nothing_heavy() -> None:
    code = "import sys; from ssl_bench.registry import METHODS; METHODS.names(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(UserError, match="did you mean 'simsiam'"):
        METHODS.load("simsam")


def test_bare_protocol_name_means_its_newest_version() -> None:
    assert resolve_protocol("linear") == "linear-v1"
    assert resolve_protocol("linear-v1") == "linear-v1"
    with pytest.raises(UserError, match="linear-v9"):
        resolve_protocol("linear-v9")


def third_party(monkeypatch: pytest.MonkeyPatch, **values: list[str]) -> Registry[Method]:
    """A registry that finds entry points with these values in installed packages."""
    registry: Registry[Method] = Registry("method", "ssl_bench.method:Method")
    points = {
        name: [EntryPoint(name=name, value=value, group="ssl_bench.methods") for value in found]
        for name, found in values.items()
    }
    monkeypatch.setattr(registry, "_third_party", lambda: points)
    return registry


def test_a_built_in_name_stays_built_in_and_the_impostor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = third_party(monkeypatch, gvsl=["somewhere.else"])
    assert registry.load("gvsl") is METHODS.load("gvsl")
    names, problems = registry.usable()
    assert names == METHODS.names()
    assert problems == ["skipped: method 'gvsl' (somewhere.else): the name is built in; rename or uninstall it"]


def test_a_name_claimed_by_two_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = third_party(monkeypatch, twice=["one.package", "other.package:Twice"])
    with pytest.raises(UserError, match=r"'twice' is claimed by one\.package and other\.package:Twice"):
        registry.load("twice")


def test_a_broken_third_party_plugin_is_named_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = third_party(monkeypatch, broken=["no_such_module_at_all"])
    with pytest.raises(UserError, match=r"'broken' \(no_such_module_at_all\) does not import: ModuleNotFoundError"):
        registry.load("broken")
    names, problems = registry.usable()
    assert names == METHODS.names()
    assert len(problems) == 1
    assert problems[0].startswith("skipped: method 'broken' (no_such_module_at_all) does not import")


def test_a_module_without_a_method_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = third_party(monkeypatch, empty=["json"])
    with pytest.raises(UserError, match=r"'empty' \(json\) defines no subclasses of Method; define one"):
        registry.load("empty")
