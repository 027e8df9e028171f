"""``--reset``: which weights an evaluation starts from, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.registry import PROTOCOLS
from ssl_bench.executors.inline import run_cells
from ssl_bench.planning.planner import Planner
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.results import load_results
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.spec.specification import EvaluationSpec, Part
from ssl_bench.store.store import Store
from ssl_bench.training import evaluation
from ssl_bench.training.pretraining import build_backbone
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime
from ssl_bench.weights.loading import describe_external, module_report, reset_part
from ssl_bench.weights.released import Match

ENCODER, DECODER = ("inc", "down1", "down2", "down3", "down4"), ("up1", "up2", "up3", "up4")
RESETS: tuple[Part, ...] = ("encoder", "decoder")


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """A backbone that no seed of these tests draws."""
    path = tmp_path / "pretrained.safetensors"
    save_file({name: value.contiguous() for name, value in build_backbone(8, 99).state_dict().items()}, path)
    return path


def spec_of(planner: Planner, pretrained: Path, reset: Part, external: bool) -> EvaluationSpec:
    if external:
        found = describe_external(pretrained)
        return planner.external(pretrained, found, "shc", "finetune", 3, reset).evaluation
    return planner.evaluation("gvsl", "shc", "finetune", 3, reset).evaluation


def same(backbone: Backbone, weights: dict[str, torch.Tensor], part: tuple[str, ...]) -> bool:
    found = {name: value for name, value in backbone.state_dict().items() if name.split(".")[0] in part}
    assert found
    return all(torch.equal(value, weights[name]) for name, value in found.items())


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("reset", ["", *RESETS])
def test_what_is_reset_has_the_bits_of_the_seed_and_the_rest_those_of_the_file(
    reset: Part, external: bool, pretrained: Path, planner: Planner
) -> None:
    spec = spec_of(planner, pretrained, reset, external)
    backbone, match, _ = evaluation._backbone(spec, pretrained)
    made, start = load_file(pretrained), build_backbone(8, 3).state_dict()
    assert same(backbone, start if reset == "encoder" else made, ENCODER)
    assert same(backbone, start if reset == "decoder" else made, DECODER)
    assert not same(backbone, start if reset != "encoder" else made, ENCODER)
    counts = {"": Match(72, 0, 0), "encoder": Match(32, 40, 40), "decoder": Match(40, 32, 32)}
    assert match == counts[reset]
    report = module_report(spec, "segmentation", PROTOCOLS.load("finetune-v1").facts, match)
    expected = {"": ([*ENCODER, *DECODER], []), "encoder": (list(DECODER), list(ENCODER)),
                "decoder": (list(ENCODER), list(DECODER))}[reset]  # fmt: skip
    assert (report.pretrained, report.random) == (expected[0], [*expected[1], "head"])
    assert report.decoder == ("random, trained" if reset == "decoder" else "pre-trained, trained")


def test_with_both_parts_reset_a_backbone_is_that_of_scratch(pretrained: Path, planner: Planner) -> None:
    backbone, match, _ = evaluation._backbone(spec_of(planner, pretrained, "", False), pretrained)
    start = build_backbone(8, 3)
    for part in ("encoder", "decoder"):
        match = reset_part(backbone, start, part, match)  # type: ignore[arg-type]
    scratch, unmatched, _ = evaluation._backbone(planner.evaluation("scratch", "shc", "finetune", 3).evaluation, None)
    assert same(backbone, scratch.state_dict(), (*ENCODER, *DECODER))
    assert match[:2] == unmatched[:2] == (0, 72)


def test_a_reset_has_a_key_of_its_own_and_none_is_not_hashed(planner: Planner) -> None:
    plain, *resets = (planner.evaluation("gvsl", "shc", "finetune", 0, reset) for reset in ("", *RESETS))
    assert len({plain.key, *(cell.key for cell in resets)}) == 3
    assert all(cell.pretraining == plain.pretraining for cell in resets)
    assert "reset" not in plain.spec.model_dump(exclude_defaults=True)


def test_rows_say_what_was_reset(tmp_path: Path, planner: Planner, runtime: Runtime) -> None:
    store = Store(tmp_path / "results")
    cells = [planner.evaluation("denoising", "shc", "linear", 0, reset) for reset in ("", "decoder")]
    plain, reset = run_cells(cells, store, runtime, Progress(shown=False))
    assert isinstance(plain, EvaluationRecord)
    assert isinstance(reset, EvaluationRecord)
    assert (plain.scene, plain.paradigm) == (reset.scene, reset.paradigm) == ("inner", "centroid-hidden")
    assert plain.modules is not None
    assert reset.modules is not None
    assert (plain.modules.decoder, reset.modules.decoder) == ("pre-trained, frozen", "random, frozen")
    assert [line.split("|")[2].strip() for line in write_markdown(store).splitlines() if "| centroid" in line][:2] == [
        "denoising",
        "denoising (reset decoder)",
    ]
    found = load_results(store.folder).cells.set_index("key")
    assert (found.row[plain.key], found.row[reset.key]) == ("denoising", "denoising (reset decoder)")
    assert (found.reset[plain.key], found.reset[reset.key]) == ("", "decoder")
    assert found.cases_digest[plain.key] == found.cases_digest[reset.key] == plain.cases_digest
