"""What a file of ssl-bench says of its own pre-training: which parts, on what; believed where it makes sense only."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from ssl_bench.api.registry import TASKS
from ssl_bench.errors import UserError
from ssl_bench.executors.cells.run_cell import run_cell
from ssl_bench.executors.inline import run_cells
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.locations import Locations
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.spec.specification import CorpusSpec, ExternalBackbone, Origin
from ssl_bench.store.store import Store
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime
from ssl_bench.weights.loading import describe_external, origin_of, scene_of
from ssl_bench.weights.released import read_weights
from tests.report.made_up import tables

from .layouts import unet_shapes, values

SILENT = Progress(shown=False)
SIMCLR = Origin(pretrains="encoder", modality="CT", region="heart")


def written(path: Path, **said: object) -> Path:
    texts = {f"ssl_bench_{name}": text if isinstance(text, str) else json.dumps(text) for name, text in said.items()}
    save_file(values(unet_shapes(8)), path, {"ssl_bench_key": "0123456789abcdef", **texts})
    return path


def test_a_backbone_that_went_out_and_came_back_in_is_what_it_was(
    tmp_path: Path, planner: Planner, runtime: Runtime
) -> None:
    store, file = Store(tmp_path / "results"), tmp_path / "net.safetensors"
    cell = planner.evaluation("simclr", "shc", "linear", 0)
    (direct,) = run_cells([cell], store, runtime, SILENT)
    assert cell.pretraining is not None
    shutil.copyfile(store.backbone_path(cell.pretraining.key), file)
    again = run_cell(planner.external(file, describe_external(file), "shc", "linear", 0), store, runtime, SILENT)
    assert isinstance(direct, EvaluationRecord)
    assert isinstance(again, EvaluationRecord)
    assert again.modules is not None
    assert again.modules.decoder == "random, frozen"
    assert again.modules == direct.modules
    assert again.scene == direct.scene == "inner"
    assert (again.score, again.cases) == (direct.score, direct.cases)
    (one,), (other,) = tables(again), tables(direct)
    assert [place.marks for place in one.places.values()] == [place.marks for place in other.places.values()]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, Origin()),
        ({"origin": SIMCLR.model_dump()}, SIMCLR),
        ({"origin": SIMCLR.model_dump(), "science": {"method": "gvsl"}}, SIMCLR),
        # As ssl-bench wrote files before they said it themselves.
        ({"science": {"method": "rotation"}}, Origin(pretrains="encoder")),
        ({"science": {"method": "gvsl"}}, Origin()),
        ({"science": {"method": "a_plugin_that_is_not_here"}}, Origin()),
        ({"science": {"method": ["rotation"]}}, Origin()),
        ({"science": ["rotation"]}, Origin()),
        ({"science": "{"}, Origin()),
        ({"science": "[" * 100_000}, Origin()),
    ],
)
def test_what_was_pretrained_is_what_the_file_says(metadata: dict[str, Any], expected: Origin, tmp_path: Path) -> None:
    assert describe_external(written(tmp_path / "net.safetensors", **metadata)).origin == expected


def test_the_command_says_that_a_decoder_is_random(tmp_path: Path) -> None:
    said = str(read_weights(written(tmp_path / "net.safetensors", origin=SIMCLR.model_dump())))
    assert said == (
        "72 tensors matched, 0 missing, 0 left over; layout ssl-bench; pre-trained: encoder; licence: as its maker says"
    )


@pytest.mark.parametrize(
    "origin",
    ["{", "[" * 100_000, [], {"pretrains": "decoder"}, {"region": 3}, {"region": "x" * 1000}, {"other": 1}],
    ids=["no JSON", "deep", "a list", "another word", "a number", "long", "unknown"],
)
def test_an_origin_that_makes_no_sense_is_refused(origin: object, tmp_path: Path) -> None:
    path = written(tmp_path / "net.safetensors", origin=origin)
    with pytest.raises(UserError, match=r"net\.safetensors: its metadata ssl_bench_origin .*; .* anew") as refused:
        read_weights(path)
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)


def test_another_layout_is_not_asked_for_an_origin(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file(values(unet_shapes(8)), path, {"ssl_bench_origin": "{"})
    assert read_weights(path).origin == Origin()


def test_metadata_that_are_null_are_none(tmp_path: Path) -> None:
    path = written(tmp_path / "net.safetensors")
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.dumps({**json.loads(data[8 : 8 + length]), "__metadata__": None}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    assert read_weights(path).match == (72, 0, 0)


@pytest.mark.parametrize(
    ("origin", "task", "scene"),
    [
        (SIMCLR, "shc", "inner"),
        (SIMCLR, "ccc", "inter"),
        (SIMCLR, "sbm", "inter"),
        (Origin(modality="MR", region="heart"), "shc", "inter"),
        (Origin(modality="CT"), "shc", "unknown"),
        (Origin(), "shc", "unknown"),
    ],
)
def test_the_scene_follows_from_what_the_corpus_showed(origin: Origin, task: str, scene: str) -> None:
    backbone = ExternalBackbone(name="net", sha256="0", width=8, origin=origin)
    assert scene_of(backbone, TASKS.load(task).facts) == scene


@pytest.mark.parametrize(("region", "kept"), [("", ""), ("heart", "heart"), ("x" * 1000, "x" * 100)])
def test_what_a_folder_shows_is_written_as_its_user_said(region: str, kept: str, planner: Planner) -> None:
    embedded = planner.pretraining("rotation", 0)
    folder = CorpusSpec(source="folder", fingerprint="0", recipe={"intensity": "mr"}, volumes=9, held_out=1)
    spec = embedded.spec.model_copy(update={"corpus": folder})
    cell = embedded.model_copy(update={"spec": spec, "locations": Locations(corpus_region=region)})
    assert origin_of(cell) == Origin(pretrains="encoder", modality="MR", region=kept)
