"""``--backbone`` and ``--backbones``: an axis of keys, with the pairs that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssl_bench.api.registry import BACKBONES, METHODS
from ssl_bench.api.settings import load_preset
from ssl_bench.errors import UserError
from ssl_bench.planning.pairs import check_pair, possible_pairs, why_impossible
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from tests.api.test_throwaway_plugins import BACKBONE

from .conftest import Invoke

SMOKE = ("--preset", "smoke", "--precision", "float32", "--threads", "1")
DRY = ("matrix", "--dry-run", "--tasks", "shc", "--protocols", "probe", *SMOKE)


def lines(text: str) -> dict[str, str]:
    """Titles of a dry run with their keys."""
    parts = [line.partition("  to do  ") for line in text.splitlines() if "  to do  " in line]
    return {title: key for key, _, title in parts}


def planned(backbone: str, method: str = "mae", **settings: int) -> Cell:
    overrides = [f"backbone={backbone}", *(f"{name.replace('__', '.')}={value}" for name, value in settings.items())]
    return Planner(load_preset("smoke", overrides), overrides, "float32").evaluation(method, "shc", "probe", 0)


def test_backbones_are_an_axis_and_the_shared_ones_keys_stay(invoke: Invoke, tmp_path: Path) -> None:
    results = ("--results", tmp_path)
    alone = lines(invoke(*DRY, "--methods", "scratch,mae", *results).out)
    both = lines(invoke(*DRY, "--methods", "scratch,mae", "--backbones", "unet3d,resenc", *results).out)
    assert {title: both[title] for title in alone} == alone
    others = both.keys() - alone.keys()
    assert others == {
        "scratch on resenc shc probe-v2, seed 0",
        "mae on resenc pre-training, seed 0",
        "mae on resenc shc probe-v2, seed 0",
    }
    assert len(set(both.values())) == len(both)
    assert both["mae on resenc shc probe-v2, seed 0"] == planned("resenc").key


def test_a_matrix_leaves_out_what_cannot_be_and_says_why(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke(*DRY, "--methods", "mae,spark", "--backbones", "unet3d,primus", "--results", tmp_path)
    assert done.code == 0
    assert "spark on primus" not in done.out
    assert "spark shc probe-v2, seed 0" in done.out
    assert done.err.splitlines()[-1] == (
        "left out: the method spark needs an encoder that runs on visible voxels alone, a chain of convolutions, group "
        "norms and poolings, and the backbone primus has none"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((*DRY, "--methods", "spark", "--backbones", "primus"), "the backbone primus has none; choose others"),
        ((*DRY, "--backbones", "resnet"), "unknown backbone 'resnet'"),
        ((*DRY, "--backbones", "weights.pt"), "--backbones weights.pt: a file, and a network is meant here"),
        (
            ("run", "--method", "spark", "--task", "shc", "--backbone", "resenc", *SMOKE),
            "the backbone resenc has none; use --backbone unet3d",
        ),
        (
            ("pretrain", "--method", "spark", "--out", "x.safetensors", "--backbone", "resenc", *SMOKE),
            "the backbone resenc has none; use --backbone unet3d",
        ),
        (
            ("run", "--method", "mae", "--task", "shc", "--backbone", "weights.pt", *SMOKE),
            "weights in a file are for ssl-bench evaluate --backbone FILE",
        ),
        (
            ("run", "--method", "mae", "--task", "shc", "--backbone", "resenc", "--set", "backbone=primus", *SMOKE),
            "--backbone resenc: --set backbone=primus names another; leave one out",
        ),
        (
            ("run", "--method", "mae", "--task", "shc", "--backbone", "resenc_l", *SMOKE),
            "the backbone resenc_l needs windows of 64 voxels and has 32; use --set pretraining.crop=64",
        ),
        (("check", "task", "shc", "--backbone", "resenc"), "--backbone resenc: is for methods; leave it out"),
        (("check", "method", "spark", "--backbone", "resenc"), "the backbone resenc has none; use --backbone unet3d"),
    ],
)
def test_what_cannot_be_is_one_line(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pt").write_bytes(b"")
    done = invoke(*arguments)
    assert done.code == 2
    assert sentence in done.err.splitlines()[-1]
    assert not (tmp_path / "results").exists()


def test_listings_say_what_methods_need_and_which_backbones_lack_it(invoke: Invoke) -> None:
    backbones = {line["name"]: line["not_with"] for line in json.loads(invoke("backbones", "--json").out)}
    assert backbones["unet3d"] == ""
    assert {name for name, lacking in backbones.items() if lacking == "spark"} == backbones.keys() - {"unet3d"}
    methods = {line["name"]: line["needs"] for line in json.loads(invoke("methods", "--json").out)}
    assert {name for name, needs in methods.items() if needs} == {"spark"}


def test_every_pair_is_possible_or_says_what_is_lacking() -> None:
    kept, reasons = possible_pairs(METHODS.names(), BACKBONES.names())
    assert len(kept) + len(reasons) == len(METHODS.names()) * len(BACKBONES.names())
    assert {method for method, backbone in kept if backbone == "unet3d"} == set(METHODS.names())
    assert why_impossible("mae", "primus") == ""
    with pytest.raises(UserError, match=r"^the method spark needs .*, and the backbone primus has none; use"):
        check_pair("spark", "primus")


def test_scratch_has_a_row_of_its_own_on_every_backbone() -> None:
    cells = {name: planned(name, "scratch") for name in ("unet3d", "resenc", "primus", "swinunetr")}
    assert len({cell.key for cell in cells.values()}) == len({cell.setting.digest for cell in cells.values()}) == 4
    assert all(cell.pretraining is None for cell in cells.values())


@pytest.mark.usefixtures("fresh_registry")
def test_a_backbone_in_a_file_is_on_the_axis_too(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(BACKBONE)
    call = ("--methods", "scratch", "--backbones", "unet3d,tiny", "--plugin", tmp_path / "tiny.py")
    assert list(lines(invoke(*DRY, *call, "--results", tmp_path).out)) == [
        "scratch shc probe-v2, seed 0",
        "scratch on tiny shc probe-v2, seed 0",
    ]
    assert invoke("check", "method", "spark", "--backbone", "tiny").err.endswith("use --backbone unet3d\n")
