"""Every accepted layout comes in whole, and what was done is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ssl_bench.api.registry import PROTOCOLS
from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.weights.loading import build_external, check_fits, describe_external, module_report
from ssl_bench.weights.released import Weights, read_weights

from .layouts import genesis_shapes, gvsl_shapes, unet_shapes, values

GROUPS = "f_conv, fc_rot, fc_scl, fc_shear, fc_trans, out_flow, res_conv, sp_conv"
GVSL = ("released GVSL", "none stated by its authors: do not redistribute")
UNKNOWN = ("3D U-Net of unknown origin", "unknown")


def said_to_be(weights: Weights) -> tuple[str, str]:
    return weights.release.title, weights.release.licence


def unet(seed: int = 0) -> dict[str, Tensor]:
    return values(unet_shapes(8), seed)


def module(seed: int = 0) -> dict[str, Tensor]:
    return values(gvsl_shapes(8), seed)


def prefixed(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def downstream(copy_seed: int = 0) -> dict[str, Tensor]:
    """GVSL's best downstream file: the U-Net twice, GVSL's heads, and the segmentation's last layer."""
    inner = prefixed(module(), "unet_pre.")
    outer = {name: value for name, value in module(copy_seed).items() if name.startswith("unet.")}
    last = {"out_conv.weight": torch.ones(3, 8, 3, 3, 3), "out_conv.bias": torch.zeros(3)}
    return {**inner, **outer, **last}


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def holds(path: Path, expected: dict[str, Tensor], prefix: str = "") -> None:
    backbone, match, _ = build_external(describe_external(path), path)
    assert match.matched == 72
    assert all(torch.equal(value, expected[prefix + name]) for name, value in backbone.state_dict().items())


def test_the_written_layouts_are_as_described() -> None:
    shapes = gvsl_shapes(32)
    assert len(shapes) == 104
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == 32_440_739
    assert sum(torch.Size(shape).numel() for shape in unet_shapes(32).values()) == 23_538_144


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_own_safetensors_whatever_its_suffix(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    save_file(unet(), path, {"ssl_bench_key": "0123456789abcdef"})
    holds(path, unet())
    assert str(read_weights(path)) == (
        "72 tensors matched, 0 missing, 0 left over; layout ssl-bench; licence: as its maker says"
    )


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "network_weights", "model_state_dict"])
@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "unet.", "module.unet.", "unet_pre.unet.", "module.unet_pre.unet.", "unet_pre.module.unet."],
)
def test_the_unet_comes_in_under_every_prefix_and_only_gvsls_own_name_says_whose_it_is(
    prefix: str, wrapper: str | None, tmp_path: Path
) -> None:
    tensors = prefixed(unet(), prefix)
    path = saved(tmp_path / "gvsl.pth", {wrapper: tensors, "epoch": 7} if wrapper else tensors)
    holds(path, unet())
    weights = read_weights(path)
    assert weights.match == (72, 0, 0)
    assert said_to_be(weights) == (GVSL if "unet_pre." in prefix else UNKNOWN)
    assert weights.remarks == ([f"taken from {prefix}*"] if prefix else [])


PREFIXES = ("_orig_mod.", "module._orig_mod.", "model.", "net.", "backbone.", "encoder.net_2.module.", "_a._b.c.d.")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_any_wrappers_name_may_precede_a_whole_network(prefix: str, tmp_path: Path) -> None:
    beside = {"head.weight": torch.zeros(3), "model.head.bias": torch.zeros(3)}
    path = saved(tmp_path / "net.ckpt", {"state_dict": prefixed(unet(), prefix) | beside, "epoch": 7})
    holds(path, unet())
    weights = read_weights(path)
    assert weights.match == (72, 0, 2)
    assert weights.remarks == [f"taken from {prefix}*"]
    assert describe_external(path).weights == ""


def test_models_genesis_may_be_wrapped_too(tmp_path: Path) -> None:
    path = saved(tmp_path / "genesis.pt", {"model": prefixed(values(genesis_shapes()), "_orig_mod.")})
    assert read_weights(path).match == (106, 0, 0)


def test_a_network_of_which_a_part_lies_after_another_prefix_is_none(tmp_path: Path) -> None:
    tensors = prefixed(unet(), "model.")
    tensors["net.up4.conv.double_conv.0.weight"] = tensors.pop("model.up4.conv.double_conv.0.weight")
    path = saved(tmp_path / "net.pth", tensors)
    with pytest.raises(UserError, match="71 tensors matched, 1 missing, 1 left over of a 3D U-Net of width 8"):
        read_weights(path)


TEACHERS: dict[str, tuple[object, str]] = {
    "DINO": ({"student": prefixed(unet(1), "module.backbone."), "teacher": prefixed(unet(), "backbone.")}, "teacher"),
    "EMA of timm": ({"state_dict": unet(1), "state_dict_ema": unet(), "epoch": 1}, "state_dict_ema"),
    "EMA within": ({"model": unet(1), "ema": {"shadow": unet()}}, "ema"),
    "MoCo": (prefixed(unet(1), "encoder.") | prefixed(unet(), "momentum_encoder."), "momentum_encoder"),
    "a trainer's": (
        {"state_dict": prefixed(unet(1), "model.student.") | prefixed(unet(), "model.teacher.")},
        "teacher",
    ),
    "bare names": (unet() | prefixed(unet(1), "ema."), "."),
    "another width": ({"teacher": unet(), "student": values(unet_shapes(16))}, "teacher"),
}


@pytest.mark.parametrize("case", TEACHERS)
def test_several_networks_are_told_apart_by_an_option(case: str, tmp_path: Path, planner: Planner) -> None:
    content, which = TEACHERS[case]
    path = saved(tmp_path / "net.pth", content)
    with pytest.raises(UserError, match=r"net\.pth: holds several networks, .*; name one with --weights NAME") as asked:
        read_weights(path)
    weights = read_weights(path, which)
    assert all(torch.equal(value, unet()[name]) for name, value in weights.tensors.items())
    assert weights.which in str(asked.value)
    assert which in (weights.which, *weights.which.split("."))
    assert any("holds other weights, which are not used" in remark for remark in weights.remarks)
    # What was chosen is kept in the cell, tells its row from others, and is found again when the cell runs.
    external = describe_external(path, weights)
    assert external.name == f"net:{weights.which}"
    assert build_external(external, path)[1][:2] == (72, 0)
    other = external.model_copy(update={"weights": "", "name": "net"})
    keys = {planner.external(path, each, "shc", "linear", 0).key for each in (external, other)}
    assert len(keys) == 2


def test_a_network_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pth", {"student": unet(1), "teacher": unet()})
    with pytest.raises(UserError, match=r"--weights techer: holds no such network, but student, teacher; name one of"):
        read_weights(path, "techer")
    path = saved(tmp_path / "two.pth", {"teacher": prefixed(unet(), "a.") | prefixed(unet(1), "b.")})
    with pytest.raises(
        UserError, match=r"--weights teacher: holds several such networks, teacher\.a, teacher\.b; name"
    ):
        read_weights(path, "teacher")


@pytest.mark.parametrize("device", ["sparse", "meta"])
def test_networks_of_tensors_without_values_are_told_apart_too(device: str, tmp_path: Path) -> None:
    odd = {name: value.to_sparse() if device == "sparse" else value.to("meta") for name, value in unet().items()}
    path = saved(tmp_path / "net.pth", {"student": odd, "teacher": unet()})
    with pytest.raises(UserError, match="holds several networks, student, teacher"):
        read_weights(path)
    with pytest.raises(UserError, match="give dense float64"):
        read_weights(path, "student")


def test_a_prefix_that_a_terminal_would_obey_is_printed_tame(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pth", {"teacher": prefixed(unet(), "\x1b[31m."), "student\n": unet(1)})
    weights = read_weights(path, "teacher")
    assert str(weights).isprintable()
    assert describe_external(path, weights).name == "net:teacher.[31m"
    broken = {name: torch.full_like(value, torch.nan) for name, value in unet().items()}
    with pytest.raises(UserError) as refused:
        read_weights(saved(tmp_path / "broken.pth", prefixed(broken, "\x1b[31m.")))
    assert str(refused.value).isprintable()


def test_a_choice_that_makes_no_difference_is_no_part_of_a_cell(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pth", {"student": unet(), "teacher": unet(), "note": "n"})
    assert describe_external(path) == describe_external(path, read_weights(path, "teacher"))
    alone = saved(tmp_path / "alone.pth", {"teacher": prefixed(unet(), "module.")})
    assert read_weights(alone, "teacher").which == ""


def test_what_is_no_whole_network_is_no_choice(tmp_path: Path) -> None:
    part = {name: value for name, value in unet(1).items() if not name.startswith("up")}
    path = saved(tmp_path / "net.pth", {"student": part, "teacher": unet()})
    holds(path, unet())


@pytest.mark.parametrize("prefix", ["", "module.", "unet_pre.", "module.unet_pre."])
def test_the_released_module_leaves_its_heads_over(prefix: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "GVSL_epoch_1000.pth", prefixed(module(), prefix))
    holds(path, module(), "unet.")
    weights = read_weights(path)
    assert weights.match == (72, 0, 32)
    assert weights.left_over == GROUPS
    assert said_to_be(weights) == GVSL
    assert f"32 left over ({GROUPS})" in str(weights)


def test_gvsls_heads_say_whose_a_bare_unet_is_and_other_heads_do_not(tmp_path: Path) -> None:
    heads = {name: value for name, value in module().items() if not name.startswith("unet.")}
    assert said_to_be(read_weights(saved(tmp_path / "all.pth", {**unet(), **heads}))) == GVSL
    heads = {name: value for name, value in heads.items() if not name.startswith("fc_rot.")}
    assert said_to_be(read_weights(saved(tmp_path / "some.pth", {**unet(), **heads}))) == UNKNOWN


def test_weights_of_ssl_bench_saved_again_are_nobodys(tmp_path: Path) -> None:
    save_file(unet(), tmp_path / "net.safetensors", {"ssl_bench_key": "0123456789abcdef"})
    again = saved(tmp_path / "net.pth", load_file(tmp_path / "net.safetensors"))
    assert str(read_weights(again)) == (
        "72 tensors matched, 0 missing, 0 left over; layout 3D U-Net of unknown origin; licence: unknown"
    )


@pytest.mark.parametrize("legacy", [True, False])
def test_both_torch_formats(legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "gvsl.bin"
    torch.save(module(), path, _use_new_zipfile_serialization=not legacy)
    holds(path, module(), "unet.")


@pytest.mark.parametrize(("seed", "said"), [(0, "holds the same"), (1, "holds other weights, which are not used")])
def test_the_downstream_file_gives_the_unet_that_its_network_uses(seed: int, said: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "best.pth", downstream(copy_seed=seed))
    holds(path, module(seed), "unet.")
    weights = read_weights(path)
    assert weights.match == (72, 0, 106)
    assert weights.left_over == GROUPS.replace("out_flow", "out_conv, out_flow") + ", unet"
    assert weights.remarks == ["taken from unet.*", f"unet_pre.unet.* {said}"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32_exactly_and_is_said(dtype: torch.dtype, tmp_path: Path) -> None:
    halves = {name: value.to(dtype) for name, value in unet().items()}
    path = saved(tmp_path / "half.pt", halves)
    holds(path, {name: value.float() for name, value in halves.items()})
    assert "72 tensors of half precision, read as float32" in str(read_weights(path))


def test_double_precision_is_rounded_to_float32_and_said(tmp_path: Path) -> None:
    doubles = {name: value.double() + 1e-12 for name, value in unet().items()}
    path = saved(tmp_path / "double.pt", doubles)
    holds(path, {name: value.float() for name, value in doubles.items()})
    assert "72 tensors of float64, rounded to float32" in str(read_weights(path))


def test_models_genesis_is_named_with_its_licence(genesis_file: Path) -> None:
    assert str(read_weights(genesis_file)) == (
        "106 tensors matched, 0 missing, 0 left over; layout Models Genesis; taken from module.*; "
        "licence: Arizona State University, non-commercial"
    )


def test_a_file_of_another_network_or_width_does_not_pass_for_the_planned_one(tmp_path: Path) -> None:
    path = saved(tmp_path / "gvsl.pth", unet())
    with pytest.raises(UserError, match="holds unet3d of width 8, not unet3d of 16"):
        check_fits(path, "unet3d", 16)
    with pytest.raises(UserError, match="not models_genesis of 64"):
        check_fits(path, "models_genesis", 64)


def test_a_file_that_changed_after_planning_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "gvsl.pth", unet())
    planned = describe_external(path)
    saved(path, unet(seed=1))
    with pytest.raises(UserError, match=r"gvsl\.pth: changed since its cell was planned"):
        build_external(planned, path)


def test_building_leaves_the_global_random_state(tmp_path: Path) -> None:
    path = saved(tmp_path / "gvsl.pth", unet())
    before = torch.get_rng_state()
    build_external(describe_external(path), path)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_report_of_modules_speaks_of_the_networks_own(genesis_file: Path, tmp_path: Path, planner: Planner) -> None:
    linear, finetune, probe = (PROTOCOLS.load(f"{name}-v1").facts for name in ("linear", "finetune", "probe"))
    for path, count, first, last in (
        (saved(tmp_path / "gvsl.pth", unet()), 9, "inc", "up4"),
        (genesis_file, 7, "down_tr64", "up_tr64"),
    ):
        external = describe_external(path)
        spec = planner.external(path, external, "shc", "linear", 0).evaluation
        report = module_report(spec, "segmentation", linear, read_weights(path).match)
        assert (len(report.pretrained), report.pretrained[0], report.pretrained[-1]) == (count, first, last)
        assert report.frozen == report.pretrained
        assert report.random == ["head"]
        assert report.decoder == "pre-trained, frozen"
        assert module_report(spec, "classification", finetune, read_weights(path).match).decoder == "unused"
        read_by_probe = module_report(spec, "segmentation", probe, read_weights(path).match)
        assert read_by_probe.decoder == "unused"
        assert read_by_probe.pretrained == report.pretrained[: len(read_by_probe.pretrained)]
        assert not any(name.startswith("up") for name in read_by_probe.pretrained)


def test_the_command_says_what_came_in(command: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    saved(tmp_path / "released.pth", module())
    done = command(
        "evaluate", "--backbone", "released.pth", "--task", "ccc", "--preset", "smoke", "--protocol", "linear"
    )
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert f"released.pth: 72 tensors matched, 0 missing, 32 left over ({GROUPS}); layout released GVSL" in said
    assert "licence: none stated by its authors: do not redistribute" in said
    assert "external:released" in done.stdout


def test_models_genesis_is_evaluated_with_its_own_network(
    command: Callable[..., CompletedProcess[str]], tmp_path: Path, genesis_file: Path
) -> None:
    done = command(
        "evaluate", "--backbone", str(genesis_file), "--task", "ccc", "--preset", "smoke", "--protocol", "probe"
    )
    assert done.returncode == 0, done.stderr
    assert "layout Models Genesis" in " ".join(done.stderr.split())
    (path,) = (tmp_path / "results" / "records").rglob("*.json")
    record = json.loads(path.read_text())
    assert record["science"]["backbone"]["network"] == "models_genesis"
    assert record["licence"] == "Arizona State University, non-commercial"
    assert record["modules"]["pretrained"] == ["down_tr64", "down_tr128", "down_tr256", "down_tr512"]
