"""A change of numbers raises a version: what small cells of every kind give is what it was when it was pinned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ssl_bench.nn.cpu import group_norm
from tests.pinned import entries as entries_module
from tests.pinned import write
from tests.pinned.entries import KERNEL, Entry, complaint, entries, read_pinned

ENTRIES = entries()
PINNED = read_pinned()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", ENTRIES)
def test_numbers_change_with_their_version_alone(name: str) -> None:
    assert not (found := complaint(name, ENTRIES[name], ENTRIES[name].measure(), PINNED.get(name))), found


def test_nothing_is_pinned_that_is_gone() -> None:
    assert not PINNED.keys() - ENTRIES.keys(), "python -m tests.pinned.write"


ENTRY = Entry(lambda: [1.0, 2.0], "2", "THIS_VERSION", KERNEL)


@pytest.mark.parametrize(
    ("version", "values", "said"),
    [
        ("2", [1.0, 2.0], ""),
        ("2", [1.0, 2.00001], ""),
        ("2", [1.0, 2.001], "raise: THIS_VERSION"),
        ("2", [1.0], "raise: THIS_VERSION"),
        ("1", [1.0, 2.0], "gives the same numbers: python -m tests.pinned.write"),
        ("1", [1.0, 3.0], "gives other numbers: python -m tests.pinned.write"),
        ("2", [1.0, float("nan")], "raise: THIS_VERSION"),
    ],
)
def test_what_is_said_of_a_change(version: str, values: list[float], said: str) -> None:
    found = complaint("x", ENTRY, ENTRY.measure(), {"version": version, "values": values})
    assert said in found
    assert bool(found) == bool(said)


def test_a_kernel_that_gives_other_numbers_names_the_version_of_shared_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The change is one in a thousand of the gradient alone: no loss of a first step would show it."""
    back = group_norm._in_full_precision
    monkeypatch.setattr(
        group_norm, "_in_full_precision", lambda *given: tuple(1.001 * gradient for gradient in back(*given))
    )
    name = "kernel group norm"
    found = complaint(name, ENTRIES[name], ENTRIES[name].measure(), PINNED[name])
    assert "raise: NUMERICS_VERSION in ssl_bench/spec/specification.py" in found


def test_pinning_refuses_numbers_whose_version_did_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pinned.json"
    file.write_text('{"x": {"version": "2", "values": [1.0, 3.0]}}')
    for module in (write, entries_module):
        monkeypatch.setattr(module, "FILE", file)
    monkeypatch.setattr(write, "entries", lambda: {"x": ENTRY, "new": ENTRY})
    monkeypatch.setattr("sys.argv", ["write"])
    assert write.main() == 1
    assert "raise: THIS_VERSION" in capsys.readouterr().err
    assert "new" not in file.read_text()
    monkeypatch.setattr("sys.argv", ["write", "--anyway"])
    assert write.main() == 0
    assert write.read_pinned() == {name: {"version": "2", "values": [1.0, 2.0]} for name in ("new", "x")}
