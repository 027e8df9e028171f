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
    assert set(PROTOCOLS.names()) == {"finetune-v1", "linear-v1"}


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


def test_a_name_claimed_twice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    impostor = EntryPoint(name="gvsl", value="somewhere.else", group="ssl_bench.methods")
    registry: Registry[Method] = Registry("method", "ssl_bench.method:Method")
    monkeypatch.setattr(registry, "_third_party", lambda: {"gvsl": impostor})
    with pytest.raises(UserError, match=r"two methods are called 'gvsl'.*somewhere\.else"):
        registry.names()


def test_a_broken_third_party_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint(name="broken", value="no_such_module_at_all", group="ssl_bench.methods")
    registry: Registry[Method] = Registry("method", "ssl_bench.method:Method")
    monkeypatch.setattr(registry, "_third_party", lambda: {"broken": broken})
    with pytest.raises(UserError, match=r"'broken' \(no_such_module_at_all\) does not import"):
        registry.load("broken")
