"""The conformance kit: every built-in plugin passes it, and it names what is broken in the others."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from ssl_bench.api.registry import METHODS, TASKS, add_plugin_file
from ssl_bench.conformance import Check
from ssl_bench.conformance.method_checks import METHOD_CHECKS, MethodUnderTest
from ssl_bench.conformance.task_checks import TASK_CHECKS, TaskUnderTest

PRETRAINING = [name for name in METHODS.names() if name != "scratch"]
RAISES = "        return volumes.reshape(7, 7, 7, 7)"
BROKEN = Path(__file__).parent / "broken"


@functools.cache
def method(name: str) -> MethodUnderTest:
    """Its volumes are read once for all checks."""
    return MethodUnderTest(name)


@functools.cache
def task(name: str) -> TaskUnderTest:
    """Grown once for all checks."""
    return TaskUnderTest(name)


@pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.find_problem.__name__)
@pytest.mark.parametrize("name", PRETRAINING)
def test_every_method_keeps_its_promises(name: str, check: Check[MethodUnderTest]) -> None:
    assert check.problem(method(name)) is None


@pytest.mark.parametrize("check", TASK_CHECKS, ids=lambda check: check.find_problem.__name__)
@pytest.mark.parametrize("name", TASKS.names())
def test_every_task_keeps_its_promises(name: str, check: Check[TaskUnderTest]) -> None:
    assert check.problem(task(name)) is None


@pytest.mark.usefixtures("fresh_registry")
@pytest.mark.parametrize(
    ("name", "check", "sentence"),
    [
        ("detached_head", "gradient_reaches_all", "no gradient reaches angle.weight, angle.bias: is a tensor detached"),
        ("ignores_seed", "seeds_reproduce", "something random does not come from `draws`"),
        ("ignores_seed", "global_state_is_left_alone", "it changes torch's global generator"),
        ("renames_keys", "backbone_keeps_its_keys", "keys that are not the shared backbone's: network.down1"),
        ("returns_nan", "loss_is_finite", "the loss is nan on a batch of real volumes"),
        ("unseeded_weights", "seeds_reproduce", "two builds under one seed differ in restoration."),
        ("shares_the_noise", "draws_follow_the_volume", "another view of the same volume"),
        ("draws_for_all", "draws_follow_the_volume", "how much it draws from a volume's stream depends on the batch"),
        (
            "cannot_be_watched",
            "held_out_step_works",
            "raises AttributeError: 'CannotBeWatched' object has no attribute",
        ),
        ("cannot_be_watched", "example_can_be_shown", "'displacement' of shape (2, 1, 32, 32, 32); all are (B, 3, D,"),
    ],
)
def test_a_broken_method_is_told_what_is_wrong(name: str, check: str, sentence: str) -> None:
    add_plugin_file(BROKEN / f"{name}.py")
    (found,) = (one for one in METHOD_CHECKS if one.find_problem.__name__ == check)
    problem = found.problem(MethodUnderTest(name))
    assert problem is not None
    assert sentence in problem


@pytest.mark.usefixtures("fresh_registry")
@pytest.mark.parametrize("check", ["loss_falls", "gradient_reaches_all", "seeds_reproduce", "state_round_trips"])
def test_a_loss_that_is_not_finite_is_given_no_other_reason(check: str) -> None:
    add_plugin_file(BROKEN / "returns_nan.py")
    (found,) = (one for one in METHOD_CHECKS if one.find_problem.__name__ == check)
    assert found.problem(MethodUnderTest("returns_nan")) == "the loss is nan on a batch of real volumes"


def test_an_exception_is_a_problem_of_its_own() -> None:
    def fail(subject: str) -> str | None:
        raise IndexError(f"no {subject}")

    assert Check("It works", fail).problem("luck") == "raises IndexError: no luck"


@pytest.mark.usefixtures("fresh_registry")
def test_an_exception_names_the_line_of_the_plugin_that_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "raises_below.py"
    lines = (BROKEN / "cannot_be_watched.py").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if "def training_step" in line)
    lines[start + 1 :] = ["        return self.broken(volumes)", "", "    def broken(self, volumes):", RAISES]
    file.write_text("\n".join(lines))
    add_plugin_file(file)
    (found,) = (one for one in METHOD_CHECKS if one.find_problem.__name__ == "loss_is_finite")
    problem = found.problem(MethodUnderTest("raises_below"))
    assert problem is not None
    assert problem.startswith("raises RuntimeError: ")
    # Not torch's own line, nor that of the harness, nor the plugin's outer call.
    assert problem.endswith(f" ({file}:{start + 5})")
