"""Methods on backbones: some promises of two pairs always, all of a few in CI, every pair when it is asked for."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from ssl_bench.api.registry import BACKBONES, METHODS
from ssl_bench.conformance import Check
from ssl_bench.conformance.method_checks import METHOD_CHECKS, MethodUnderTest
from ssl_bench.planning.pairs import possible_pairs
from tests.cli.conftest import Invoke, invoke

__all__ = ["invoke"]

RUNNABLE = [name for name in BACKBONES.names() if name not in ("unet3d", "primus_m", "resenc_l")]
"""Without the shared one, on which every method is examined anyway, and the full sizes of the others."""
PAIRS = possible_pairs([name for name in METHODS.names() if name != "scratch"], RUNNABLE)[0]
ALWAYS = [("mae", "resenc"), ("gvsl", "primus"), ("byol", "models_genesis")]
SLOW = [("simclr", "resenc"), ("gvsl", "primus")]
SOME_OR_ALL = [
    pytest.param(*pair, marks=pytest.mark.slow if pair in SLOW else pytest.mark.exhaustive) for pair in PAIRS
]
CHECKS = [check for check in METHOD_CHECKS if check.find_problem.__name__ in (
    "loss_is_finite", "gradient_reaches_all", "backbone_keeps_its_keys", "other_windows_work"
)]  # fmt: skip


@functools.cache
def subject(method: str, backbone: str) -> MethodUnderTest:
    """Its volumes are read once for all checks."""
    return MethodUnderTest(method, backbone=backbone)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.find_problem.__name__)
@pytest.mark.parametrize(("method", "backbone"), ALWAYS)
def test_methods_keep_their_promises_on_other_backbones(
    method: str, backbone: str, check: Check[MethodUnderTest]
) -> None:
    assert check.problem(subject(method, backbone)) is None


@pytest.mark.parametrize(("method", "backbone"), SOME_OR_ALL)
def test_pairs_keep_every_promise(method: str, backbone: str) -> None:
    kit = subject(method, backbone)
    problems = {check.find_problem.__name__: check.problem(kit) for check in METHOD_CHECKS}
    assert {name: problem for name, problem in problems.items() if problem} == {}


@pytest.mark.parametrize(
    ("method", "backbone"),
    [*SOME_OR_ALL, *(pytest.param("scratch", name, marks=pytest.mark.exhaustive) for name in RUNNABLE)],
)
def test_pairs_run_a_cell(method: str, backbone: str, tmp_path: Path, invoke: Invoke) -> None:
    tiny = ("pretraining.steps=2", "protocols.finetune.steps=2", "protocols.probe.steps=2", "cohort.corpus=8")
    settings = [part for setting in tiny for part in ("--set", setting)]
    call = ("run", "--method", method, "--backbone", backbone, "--task", "shc", "--protocol", "probe,finetune")
    done = invoke(*call, "--preset", "smoke", "--threads", 1, "--results", tmp_path / "results", *settings)
    assert done.code == 0, done.err
    assert done.out.count("DSC") == 2
