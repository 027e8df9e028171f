"""The registry: names without imports, one owner a name, a hint for a typing error."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ssl_bench.api.method import Method
from ssl_bench.api.protocol import Protocol
from ssl_bench.api.registry import METHODS, PROTOCOLS, TASKS, Registry, resolve_protocol
from ssl_bench.api.task import Task
from ssl_bench.errors import UserError


def test_built_in_plugins_are_found_by_file_name() -> None:
    assert {"scratch", "gvsl", "models_genesis", "simclr", "simsiam", "deepcluster"} <= set(METHODS.names())
    assert set(TASKS.names()) == {"ccc", "sac", "sbm", "shc"}
    assert set(PROTOCOLS.names()) == {
        *(f"{name}-v{version}" for name in ("finetune", "linear", "probe") for version in (1, 2)),
        *(f"{name}-v1" for name in ("knn", "match", "register", "retrieval", "transfer")),
    }


@pytest.mark.parametrize(("registry", "contract"), [(METHODS, Method), (TASKS, Task), (PROTOCOLS, Protocol)])
def test_every_plugin_keeps_its_contract(registry: Registry[object], contract: type) -> None:
    for name in registry.names():
        plugin = registry.load(name)
        assert issubclass(plugin, contract)
        assert plugin.facts.title  # type: ignore[attr-defined]


def test_listing_names_imports_nothing_heavy() -> None:
    code = "import sys; from ssl_bench.api.registry import METHODS; METHODS.names(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(UserError, match="did you mean 'simsiam'"):
        METHODS.load("simsam")


def test_bare_protocol_name_means_its_newest_version() -> None:
    assert resolve_protocol("linear") == "linear-v2"
    assert resolve_protocol("linear-v1") == "linear-v1"
    with pytest.raises(UserError, match="linear-v9"):
        resolve_protocol("linear-v9")


def third_party(monkeypatch: pytest.MonkeyPatch, **values: list[str]) -> Registry[Method]:
    """A registry that finds entry points with these values in installed packages."""
    registry: Registry[Method] = Registry("method")
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


Install = Callable[..., Registry[Method]]

METHOD = """
from ssl_bench.api.method import Method, MethodConfig, MethodFacts
FACTS = MethodFacts("Title", "Paper", 2024, 1, {paradigm!r}, "encoder")
class One(Method):
    {body}
    def training_step(self, volumes, draws): ...
"""


def method_source(body: str = "facts = FACTS", paradigm: str = "geometric") -> str:
    return METHOD.format(body=body, paradigm=paradigm)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Install]:
    """Installs a package `installed`: its files by name, and the entry point `mine` at `value`."""

    def install(value: str, **files: str) -> Registry[Method]:
        folder = tmp_path / "installed"
        folder.mkdir()
        for name, source in {"__init__": "", **files}.items():
            (folder / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        return third_party(monkeypatch, mine=[value])

    yield install
    for name in [name for name in sys.modules if name.partition(".")[0] == "installed"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("raise SystemExit(3)", "does not import: SystemExit: 3; fix or uninstall it"),
        (method_source("pass"), "declares no facts; give One some of the class MethodFacts"),
        (method_source("facts = {'title': 'x'}"), "declares no facts; give One some of the class MethodFacts"),
        (method_source(paradigm="mystery"), "declares facts.paradigm 'mystery': input should be 'none'"),
        (method_source("facts = MethodFacts(1, 'p', 2024, 1, 'none', 'encoder')"), "declares facts.title 1: input"),
        (method_source("facts = FACTS; Config = dict"), "declares a Config that is no MethodConfig"),
        (method_source("facts = FACTS; Config = MethodConfig()"), "declares a Config that is no MethodConfig"),
    ],
)  # fmt: skip
def test_what_an_installed_plugin_does_wrong_is_named_and_the_others_stay(
    source: str, complaint: str, package: Install
) -> None:
    names, problems = package("installed", __init__=source).usable()
    assert names == METHODS.names()
    (problem,) = problems
    assert problem.startswith(f"skipped: method 'mine' (installed) {complaint}")
    assert "\n" not in problem


def test_ctrl_c_while_a_plugin_is_imported_ends_the_command(package: Install) -> None:
    with pytest.raises(KeyboardInterrupt):
        package("installed", __init__="raise KeyboardInterrupt").usable()


def test_what_a_plugin_prints_when_imported_does_not_reach_stdout(
    package: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = package("installed", __init__="print('hello')" + method_source())
    assert registry.load("mine").facts.title == "Title"
    assert capsys.readouterr() == ("", "hello\n")


def test_an_entry_point_may_name_a_class_that_its_package_imports_from_elsewhere(package: Install) -> None:
    registry = package("installed:One", __init__="from installed.inner import One", inner=method_source())
    assert registry.load("mine").__module__ == "installed.inner"


def test_two_methods_of_one_module_have_an_entry_point_each(package: Install) -> None:
    source = method_source() + "class Two(One): ...\n"
    registry = package("installed:Two", __init__=source)
    assert registry.load("mine").__name__ == "Two"


@pytest.mark.parametrize(
    ("attribute", "complaint"),
    [
        ("Three", "has no Three; correct the entry point"),
        ("FACTS", "names FACTS, which is no subclass of Method; correct the entry point"),
        ("Method", "does not define training_step of Method; define it"),
    ],
)
def test_an_entry_point_that_names_no_method_is_told_so(attribute: str, complaint: str, package: Install) -> None:
    with pytest.raises(UserError, match=rf"'mine' \(installed:{attribute}\) {complaint}"):
        package(f"installed:{attribute}", __init__=method_source()).load("mine")
