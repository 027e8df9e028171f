"""``data sets`` and ``data fetch``: from a name to what ``data check`` says of the folder."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from ssl_bench.cli import open_sets as command
from ssl_bench.data.open_sets import registry
from ssl_bench.data.open_sets.declaration import at
from ssl_bench.data.open_sets.registry import open_sets
from tests.cli.conftest import Invoke
from tests.cli.test_real_data import the_record
from tests.data.open_sets import tiny
from tests.data.open_sets.server import Server, serving

pytestmark = pytest.mark.usefixtures("fresh_registry")

SCANS = {f"IXI00{number}-HH-01-T1.nii.gz": tiny.gzipped(tiny.volume(number)) for number in (2, 3, 4)}
ARCHIVES = {
    "msd-hippocampus": ("Task04_Hippocampus.tar", tiny.decathlon(cases=10)),
    "nodulemnist3d": ("nodulemnist3d.npz", tiny.medmnist(2)),
    "ixi-t1": ("IXI-T1.tar", tiny.tar(SCANS)),
}
CHECKED = {"msd-hippocampus": 10, "nodulemnist3d": 18, "ixi-t1": 3}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Of tiny archives; the declarations know no hash of these."""
    declared = dict(open_sets())
    for name in ARCHIVES:
        files = [replace(file, hash=None) for file in declared[name].remote("")]
        declared[name] = replace(declared[name], remote=at(*files), download_gb=0.01, disk_gb=0.01)
    monkeypatch.setattr(registry, "open_sets", lambda: declared)
    with serving() as running:
        running.files |= dict(ARCHIVES.values())
        yield running


def test_every_set_is_listed_with_its_facts(invoke: Invoke) -> None:
    lines = invoke("data", "sets").out.splitlines()
    for name, declared in open_sets().items():
        (place,) = [number for number, line in enumerate(lines) if line.split()[0] == name]
        assert f"{declared.download_gb:g} GB" in lines[place]
        assert declared.licence in lines[place]
        told = "\n".join(lines[place + 1 : place + 2 + len(declared.known)])
        assert all(fact in told for fact in (declared.good_for, *declared.known))
    listed = json.loads(invoke("data", "sets", "--json").out)
    assert [(each["name"], each["known"], each["non_commercial"]) for each in listed] == [
        (each.name, list(each.known), each.non_commercial) for each in open_sets().values()
    ]


@pytest.mark.parametrize("name", ARCHIVES)
def test_what_is_fetched_is_checked_by_the_command_that_is_told(
    name: str, server: Server, invoke: Invoke, tmp_path: Path
) -> None:
    fetching = ("data", "fetch", name, "--to", tmp_path / "my data", "--mirror", server.url, "--accept-licence")
    done = invoke(*fetching)
    assert (done.code, "licence CC BY" in done.err) == (0, True)
    check, run = [shlex.split(line) for line in done.out.splitlines() if line.startswith("  ssl-bench")]
    checked = invoke(*check[1:], "--workers", "1", "--quiet")
    assert (checked.code, f"usable cases: {CHECKED[name]}, problems: 0" in checked.out) == (0, True)
    assert run[:4] == ["ssl-bench", "run", "--method", "gvsl"]
    again = invoke(*fetching)
    assert (again.code, "is there already, whole" in again.out, again.err) == (0, True, "")


@pytest.mark.parametrize(
    ("name", "split_by", "task"),
    [
        ("msd-hippocampus", "patient", "nnunet-Dataset004_Hippocampus"),
        ("nodulemnist3d", "case", "folder-nodulemnist3d"),
    ],
)
def test_the_cell_that_is_told_runs(
    name: str, split_by: str, task: str, server: Server, invoke: Invoke, tmp_path: Path
) -> None:
    done = invoke("data", "fetch", name, "--to", tmp_path, "--mirror", server.url, "--accept-licence")
    run = shlex.split(done.out.splitlines()[-1].replace("gvsl", "scratch"))
    few = [f"--set=protocols.linear.{option}=1" for option in ("steps", "validate_every")]
    store = tmp_path / "results"
    ran = invoke(*run[1:], "--preset", "smoke", "--protocol", "linear", *few, "--results", store, "--quiet")
    assert ran.code == 0, ran.err
    record = the_record(store)
    assert (record.split_by, record.spec.task) == (split_by, task)


def test_without_a_terminal_the_licence_needs_the_option(server: Server, invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("data", "fetch", "ixi-t1", "--to", tmp_path, "--mirror", server.url)
    assert (done.code, done.out) == (2, "")
    shown, refused = done.err.splitlines()
    assert shown.startswith("IXI, T1: licence CC BY-SA 3.0 (commercial use included)")
    assert refused == "ssl-bench: ixi-t1: its licence is CC BY-SA 3.0; give --accept-licence once you have read it"
    assert (server.asked, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize(("answer", "code", "asked"), [(False, 2, 0), (True, 0, 1)])
def test_on_a_terminal_the_licence_is_asked_for(
    answer: bool,
    code: int,
    asked: int,
    server: Server,
    invoke: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "confirm", lambda question, err: answer)
    done = invoke("data", "fetch", "ixi-t1", "--to", tmp_path, "--mirror", server.url)
    assert (done.code, len(server.asked)) == (code, asked)  # type: ignore[attr-defined]
    assert ("the licence is not accepted; nothing was downloaded" in done.err) is not answer  # type: ignore[attr-defined]


@pytest.mark.parametrize("mirror", ["mirror.example.org/sets", "/srv/sets", "ftp://mirror.example.org"])
def test_a_mirror_that_is_no_url_is_refused(mirror: str, invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("data", "fetch", "ixi-t1", "--to", tmp_path, "--mirror", mirror, "--accept-licence")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"ssl-bench: --mirror {mirror}: is no URL; give one that begins with http:// or https://\n"
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there_is_one_line_and_exit_2(server: Server, invoke: Invoke, tmp_path: Path) -> None:
    server.files.clear()
    done = invoke("data", "fetch", "ixi-t1", "--to", tmp_path, "--mirror", server.url, "--accept-licence")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 2)
    assert f"put it at {tmp_path}/ixi-t1.download/IXI-T1.tar and give the same command" in done.err


def test_settings_that_are_told_are_of_the_tasks_own_name() -> None:
    for declared in open_sets().values():
        name = {"corpus": "corpus"}.get(declared.laid_as, f"{declared.laid_as}-{declared.folder}")
        assert all(setting.startswith(f"data.{name}.") for setting in declared.settings)
        assert all("{folder}" not in part for line in command.commands(declared, Path("x")) for part in line.split())
