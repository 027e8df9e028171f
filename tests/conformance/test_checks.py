"""The conformance kit: every built-in plugin passes it, and it names what is broken in the others."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_bench.api.measurement import Measurement
from ssl_bench.api.method import Windows
from ssl_bench.api.registry import BACKBONES, METHODS, PROTOCOLS, TASKS, add_plugin_file
from ssl_bench.api.rng import Draws
from ssl_bench.backbones.unet3d import UNet3D
from ssl_bench.conformance import Check
from ssl_bench.conformance.backbone_checks import BACKBONE_CHECKS, BackboneUnderTest
from ssl_bench.conformance.measurement_checks import MEASUREMENT_CHECKS, MeasurementUnderTest
from ssl_bench.conformance.method_checks import METHOD_CHECKS, VOLUMES, MethodUnderTest, windows_are_in_range
from ssl_bench.conformance.protocol_checks import PROTOCOL_CHECKS, ProtocolUnderTest
from ssl_bench.conformance.task_checks import TASK_CHECKS, TaskUnderTest

from ..api.test_throwaway_plugins import BACKBONE, PROTOCOL

PRETRAINING = [name for name in METHODS.names() if name != "scratch"]
LARGE = ("primus_m", "resenc_l", "swinunetr")
"""Backbones that even their smallest width leaves large."""
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


@pytest.mark.parametrize("check", BACKBONE_CHECKS, ids=lambda check: check.find_problem.__name__)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in BACKBONES.names()]
)
def test_every_backbone_keeps_its_promises(name: str, check: Check[BackboneUnderTest]) -> None:
    assert check.problem(BackboneUnderTest(name)) is None


MEASUREMENTS = [name for name in PROTOCOLS.names() if issubclass(PROTOCOLS.load(name), Measurement)]


@pytest.mark.parametrize("check", MEASUREMENT_CHECKS, ids=lambda check: check.find_problem.__name__)
@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_measurement_keeps_its_promises(name: str, check: Check[MeasurementUnderTest]) -> None:
    assert check.problem(MeasurementUnderTest(name)) is None


@pytest.mark.parametrize("check", PROTOCOL_CHECKS, ids=lambda check: check.find_problem.__name__)
@pytest.mark.parametrize("name", [name for name in PROTOCOLS.names() if name not in MEASUREMENTS])
def test_every_protocol_keeps_its_promises(name: str, check: Check[ProtocolUnderTest]) -> None:
    assert check.problem(ProtocolUnderTest(name)) is None


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
            "restores_one_channel",
            "three_channels_work",
            "raises UserWarning: Using a target size (torch.Size([4, 3, 32,",
        ),
        (
            "cannot_be_watched",
            "held_out_step_works",
            "raises AttributeError: 'CannotBeWatched' object has no attribute",
        ),
        ("cannot_be_watched", "own_map_fits", "between volumes of (1, 1, 31, 29, 24); (B, 3, D, H, W)"),
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
@pytest.mark.parametrize(
    ("right", "wrong", "check", "sentence"),
    [
        ('"nobody"', '""', "facts_are_complete", "facts.title and facts.paper must say"),
        (
            "        noise =",
            "        return {'loss': 2 + 0 * self.restoration[0].weight.sum()}\n        noise =",
            "loss_falls",
            "16 updates on one batch moved the loss from 2 to 2",
        ),
        (
            '"loss": ',
            '"loss": (float("nan") if len(volumes) == 2 else 1) * ',
            "batches_work",
            "the loss of 2 volumes is nan; is facts.smallest_batch too small?",
        ),
        (
            "        noise =",
            "        assert volumes.shape[-1] == 32\n        noise =",
            "other_windows_work",
            "raises AssertionError",
        ),
        ("restored.float()", "100 * (restored + 1e4 - 1e4)", "mixed_precision_works", "under bf16 autocast"),
        (
            "restored.float(), volumes)",
            "restored.float(), volumes).to(restored.dtype)",
            "mixed_precision_works",
            "under autocast the loss is torch.bfloat16",
        ),
        (
            "        noise =",
            "        self.calls = 1 + getattr(self, 'calls', 0)\n"
            "        return {'loss': (self.restoration[0].weight.mean() - self.calls).square()}\n        noise =",
            "state_round_trips",
            "after loading its state it goes on differently in restoration.0.weight",
        ),
        ('{"loss": self.no_such_loss}', "{}", "held_out_step_works", "held_out_step gives nothing and no loss"),
        (
            "self.no_such_loss",
            'float("inf"), "share": 0.5',
            "held_out_step_works",
            "held_out_step gives loss inf",
        ),
    ],
)
def test_a_method_that_breaks_one_promise_is_told_which(
    right: str, wrong: str, check: str, sentence: str, tmp_path: Path
) -> None:
    text = (BROKEN / "cannot_be_watched.py").read_text()
    assert right in text
    (tmp_path / "breaks_one.py").write_text(text.replace(right, wrong))
    add_plugin_file(tmp_path / "breaks_one.py")
    (found,) = (one for one in METHOD_CHECKS if one.find_problem.__name__ == check)
    problem = found.problem(MethodUnderTest("breaks_one"))
    assert problem is not None
    assert sentence in problem


@pytest.mark.usefixtures("fresh_registry")
@pytest.mark.parametrize(
    ("right", "wrong", "check", "sentence"),
    [
        ("stride = 2", "stride = 4", "stages_fit", "2 stages make a stride of 2, not 4"),
        ("return self.width, 2 * self.width", "return self.width, self.width", "stages_fit", "promised [(2, 8,"),
        (
            "coarse, fine)",
            "coarse, fine.detach())",
            "gradients_reach_all",
            "from the global features no gradient reaches",
        ),
        ('("join",)', "()", "gradients_reach_all", "a gradient reaches join.bias, join.weight, which"),
        ("fine).tanh()", "fine).tanh().bernoulli(0.5)", "seeds_reproduce", "two passes differ, or draw random numbers"),
        (
            "return stages[0]",
            "self.join.bias.data += 1; return 0",
            "passes_change_nothing",
            "changes join.bias",
        ),
        ("self.pad(volumes)", "volumes", "features_fit", "raises RuntimeError"),
        (
            "def decode(self, stages):",
            "def decode(self, stages):\n        1 / 0",
            "features_fit",
            "ZeroDivision",
        ),
        (
            "stages[0] + self.run(self.join, stages[1])",
            "stages[0][:, 1:]",
            "features_fit",
            "the local features are (2, 7",
        ),
        ("return stages[0] +", "return float('nan') *", "features_fit", "the local features are not finite"),
        ("pad(volumes)).tanh()", "pad(volumes)).add(1e4).sub(1e4)", "mixed_precision_works", "under bf16"),
        ('source="a test"', 'source=""', "facts_are_complete", "facts.title and facts.source must say"),
        (
            "self.join =",
            "self.again = self.coarse; self.join =",
            "weights_have_one_name",
            "coarse.weight and again.weight are one tensor",
        ),
        (
            'source="a test"',
            'source="a test", gives=("sparse encoder",)',
            "gives_what_it_says",
            "promises a sparse encoder: the encoder of the backbone Two stages is more than its layers in turn",
        ),
        (
            "    def stages(self",
            "    @property\n    def stage_strides(self):\n        return 1, 4\n\n    def stages(self",
            "stages_fit",
            "promised [(2, 8,",
        ),
        (
            "fine).tanh()",
            "fine).tanh() * (1 + self.checkpointing)",
            "checkpointing_is_exact",
            "differ under checkpointing",
        ),
        ("volumes)).tanh()", "volumes)).tanh() * hasattr(self, 'join')", "encoder_stands_alone", "needs the decoder"),
    ],
)
def test_a_broken_backbone_is_told_what_is_wrong(
    right: str, wrong: str, check: str, sentence: str, tmp_path: Path
) -> None:
    assert right in BACKBONE
    (tmp_path / "tiny.py").write_text(BACKBONE.replace(right, wrong))
    add_plugin_file(tmp_path / "tiny.py")
    (found,) = (one for one in BACKBONE_CHECKS if one.find_problem.__name__ == check)
    problem = found.problem(BackboneUnderTest("tiny"))
    assert problem is not None
    assert sentence in problem


@pytest.mark.usefixtures("fresh_registry")
@pytest.mark.parametrize(
    ("right", "wrong", "check", "sentence"),
    [
        (
            "frozen_backbone=True",
            "frozen_backbone=False",
            "training_moves_what_it_may",
            "the backbone learns",
        ),
        (
            "features(volumes), targets",
            "[w.add_(1) for w in model.backbone.parameters()] and features(volumes), targets",
            "training_moves_what_it_may",
            "the facts call the backbone frozen, and training moves backbone.",
        ),
        (
            'numpy_generator(self.seed, "anywhere", step)',
            "state",
            "draws_reproduce",
            "shc: step 0 draws another batch after step 1",
        ),
        ("self.seed, ", "", "draws_reproduce", "shc: another seed draws the same batches"),
        ("frozen_backbone=True", "frozen_backbone=True, reads='encoder'", "reads_what_it_says", "passes the decoder"),
        (
            "m(backbone, kind, classes)",
            "m(backbone, kind, classes + 1)",
            "logits_fit",
            "segmentation: the probabilities are (2, ",
        ),
        ("(self.settings.optimiser,)", "()", "optimisers_are_there", "no optimisers"),
        ("PAPER_LOSSES[model.kind]", "lambda output, _: output", "loss_is_a_number", "shc: the loss is torch.bfloat16"),
        ('source="a test"', 'source=""', "facts_are_complete", "facts.title and facts.source must say"),
        (
            "PAPER_LOSSES[model.kind]",
            "{kind: PAPER_LOSSES[kind] for kind in ('segmentation', 'classification')}[model.kind]",
            "knows_every_kind",
            "sparse segmentation",
        ),
    ],
)
def test_a_broken_protocol_is_told_what_is_wrong(
    right: str, wrong: str, check: str, sentence: str, tmp_path: Path
) -> None:
    assert right in PROTOCOL
    text = PROTOCOL.replace(right, wrong).replace("def draw", "state = numpy_generator(self.seed)\n        def draw")
    (tmp_path / "anywhere_v2.py").write_text(text)
    add_plugin_file(tmp_path / "anywhere_v2.py")
    (found,) = (one for one in PROTOCOL_CHECKS if one.find_problem.__name__ == check)
    problem = found.problem(ProtocolUnderTest("anywhere"))
    assert problem is not None
    assert sentence in problem


@pytest.mark.parametrize(
    ("volumes", "places", "sentence"),
    [
        ([0], [[0, 0, 0]], "choose_windows gives (1,) volumes at (1, 3) places"),
        ([0, 1, 2, VOLUMES], [[0, 0, 0]] * 4, "choose_windows names volumes that are not in the corpus"),
        ([0, 1, 2, 3], [[0, 0, 1.1]] * 4, "choose_windows gives places outside 0..1"),
        ([1, 1, 2, 3], [[0, 0, 1]] * 4, "choose_windows gives one volume twice in a batch"),
        ([0, 1, 2, 3], [[0, 0, 1]] * 4, None),
    ],
)
def test_windows_out_of_range_are_told(
    volumes: list[int], places: list[list[float]], sentence: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = Windows(np.array(volumes), np.array(places))
    method = SimpleNamespace(choose_windows=lambda *_: windows, refresh_every=None)
    monkeypatch.setattr(MethodUnderTest, "ready", lambda _: (method, None))
    subject = MethodUnderTest("denoising")
    assert subject.batch == 4
    assert windows_are_in_range(subject) == sentence


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


def test_a_method_is_asked_for_its_loss_under_the_draws_of_the_key() -> None:
    def training_step(volumes: Tensor, draws: Draws) -> dict[str, Tensor]:
        return {"loss": draws.uniform().sum(), "other": volumes.sum()}

    volumes = torch.zeros(3, 1, 2, 2, 2)
    method: Any = SimpleNamespace(training_step=training_step)
    expected = [Draws.keyed("kit", key, samples=range(3)).uniform().sum() for key in (0, 7)]
    subject = MethodUnderTest("denoising")
    assert [subject.loss(method, volumes), subject.loss(method, volumes, 7)] == expected
    assert subject.finite_loss(method, volumes, 7) == expected[1]


def test_the_kit_asks_a_backbone_about_volumes_in_range_whose_sides_no_stride_divides_but_one() -> None:
    subject = BackboneUnderTest("unet3d")
    volumes = subject.volumes
    assert volumes.shape[:2] == (2, 1)
    assert [side % UNet3D.stride == 0 for side in volumes.shape[2:]].count(True) == 1
    assert 0 <= volumes.min() < 0.01
    assert 0.99 < volumes.max() <= 1
    assert torch.equal(volumes, subject.volumes)
