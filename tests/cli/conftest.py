"""The command line in the process of the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from ssl_bench.cli import main
from tests.hub_server import hub as hub


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Invoke = Callable[..., Done]


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """``ssl-bench`` in this process, with a cache of its own."""
    monkeypatch.setenv("SSL_BENCH_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["ssl-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Done(ended.value.code if isinstance(ended.value.code, int) else 0, captured.out, captured.err)

    return run
