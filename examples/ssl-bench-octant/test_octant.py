"""The method is found by its entry point and keeps every promise."""

import pytest

from ssl_bench.api.registry import METHODS
from ssl_bench.conformance import Check
from ssl_bench.conformance.method_checks import METHOD_CHECKS, MethodUnderTest


def test_it_is_found() -> None:
    assert METHODS.load("octant").facts.title == "Octant"


@pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.promise)
def test_it_keeps_its_promises(check: Check[MethodUnderTest]) -> None:
    assert check.problem(MethodUnderTest("octant")) is None
