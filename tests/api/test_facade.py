"""One import for plugins: `ssl_bench` gives the contracts and the building blocks, each when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ssl_bench
from ssl_bench import api


def test_the_package_imports_nothing_heavy_until_it_is_asked() -> None:
    code = (
        "import sys, ssl_bench; heavy = {'torch', 'pandas', 'numpy', 'pydantic', 'scipy', 'matplotlib'}\n"
        "print(heavy & set(sys.modules)); ssl_bench.load_results\n"
        "print('torch' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["set()", "False True"]


def test_it_gives_every_contract() -> None:
    contracts = [name for names in api._NAMES.values() for name in names]
    assert len(contracts) > 20
    for name in contracts:
        assert getattr(ssl_bench, name) is getattr(api, name)
        assert name in dir(ssl_bench)


@pytest.mark.parametrize("name", sorted(ssl_bench._MODULES))
def test_it_gives_the_building_blocks(name: str) -> None:
    assert getattr(ssl_bench, name).__name__ == name
    assert name in dir(ssl_bench)


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ssl_bench.nothing
