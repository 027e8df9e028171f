"""Each published layout fills a network that computes what its own library's network does, or says what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import SwinUNETR
from monai.networks.nets.swin_unetr import filter_swinunetr
from monai.networks.utils import copy_model_state
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.errors import UserError
from ssl_bench.spec.contract import InputContract
from ssl_bench.weights.loading import build_external, describe_external
from ssl_bench.weights.released import Weights, read_weights

from .published_layouts import drawn, later_transformer, nnssl_file, primus, released_transformer, resenc, swinunetr

ALIKE = {"atol": 1e-5, "rtol": 1e-5}
ONE_MM = InputContract(spacing_mm=(1, 1, 1), intensity="z-score", patch=(160, 160, 160))


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def filled(path: Path, seed: int = 0) -> tuple[Backbone, Weights]:
    weights = read_weights(path)
    backbone, match, _ = build_external(describe_external(path, weights), path, seed=seed)
    assert match == weights.match
    return backbone.requires_grad_(False).eval(), weights


def volumes(side: int) -> Tensor:
    return torch.rand(1, 1, side, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
def test_nnssls_resenc_computes_what_its_library_does(prefix: str, tmp_path: Path) -> None:
    theirs = resenc()
    state = {prefix + name: value for name, value in theirs.state_dict().items()}
    ours, weights = filled(saved(tmp_path / "checkpoint_final.pth", nnssl_file(state, "ResEncL")))
    given = volumes(16)
    torch.testing.assert_close(ours.stages(given), theirs.encoder(given), **ALIKE)
    torch.testing.assert_close(theirs.decoder.seg_layers[-1](ours(given).local), theirs(given), **ALIKE)
    assert weights.match.missing == 0
    assert weights.release.contract == ONE_MM
    assert weights.origin.trained_on == ("Dataset745_OpenMind",)
    assert weights.origin.pretrains == "encoder and decoder"


def test_an_encoder_alone_is_taken_and_the_seed_draws_the_rest(tmp_path: Path) -> None:
    theirs = resenc()
    # A decoder of which a part is left is none.
    state = {name: value for name, value in theirs.state_dict().items() if not name.startswith("decoder.stages.1")}
    path = saved(tmp_path / "checkpoint_final.pth", nnssl_file(state, "ResEncL"))
    ours, weights = filled(path)
    given = volumes(16)
    torch.testing.assert_close(ours.stages(given), theirs.encoder(given), **ALIKE)
    assert weights.match.missing == len([name for name in ours.state_dict() if name.startswith("up")]) > 0
    assert weights.origin.pretrains == "encoder"
    assert "the encoder alone is there; the seed draws the rest (up1.convs" in str(weights)
    kernel = "up3.transpconv.weight"
    drawn_again, other = filled(path)[0].state_dict()[kernel], filled(path, seed=1)[0].state_dict()[kernel]
    assert torch.equal(ours.state_dict()[kernel], drawn_again)
    assert not torch.equal(drawn_again, other)
    assert not torch.equal(drawn_again, theirs.decoder.transpconvs[0].weight)


def test_a_part_of_an_encoder_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    state = {name: value for name, value in resenc().state_dict().items() if "stages.2.blocks.1.conv2." not in name}
    with pytest.raises(UserError, match=r"missing.* resenc of width 8; .* lacks stage3\.blocks\.1\.conv2\."):
        read_weights(saved(tmp_path / "checkpoint_final.pth", nnssl_file(state, "ResEncL")))


@pytest.mark.parametrize("wrapper", ["", "encoder."])
def test_nnssls_primus_fills_every_tensor_of_the_encoder(wrapper: str, tmp_path: Path) -> None:
    theirs = primus().state_dict()
    state = {wrapper + name: value for name, value in theirs.items()}
    path = saved(tmp_path / "checkpoint_final.pth", nnssl_file(state, "PrimusM", key_to_encoder=f"{wrapper}eva"))
    ours, weights = filled(path)
    state = ours.state_dict()
    assert weights.match.matched == len([name for name in state if not name.startswith("decoder.")])
    # The token at (z, y, x) of 8 x 8 x 8 has the row 64 z + 8 y + x there.
    assert torch.equal(state["tokens.position"][0, :, 3, 5, 6], theirs["eva.pos_embed"][0, 64 * 3 + 8 * 5 + 6])
    for block in range(12):
        place, inner = f"blocks{1 + block // 3}.blocks.{block % 3}.", f"eva.blocks.{block}."
        own = {name.removeprefix(inner): value for name, value in theirs.items() if name.startswith(inner)}
        assert own
        assert all(torch.equal(state[place + name], value) for name, value in own.items())
    assert torch.equal(state["tokens.proj.weight"], theirs["down_projection.proj.weight"])
    assert torch.equal(state["blocks4.norm.bias"], theirs["eva.norm.bias"])
    assert weights.origin.pretrains == "encoder"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (nnssl_file({}, "ResEncL") | {"network_weights": {"a.weight": torch.ones(2)}}, "no encoder.stem.convs.0.conv"),
        (nnssl_file({"a.weight": torch.ones(2)}, "SwinUNETR"), "nnssl's architecture 'SwinUNETR' has no reader"),
        (
            {"other": {"a.weight": torch.ones(2)}} | {"nnssl_adaptation_plan": {"architecture_plans": {}}},
            "has nnssl's adaptation plan and no network_weights",
        ),
        (
            nnssl_file({"encoder.stem.convs.0.conv.weight": torch.ones(8, 1, 3, 3, 3)}, "ResEncL"),
            "of 0 stages; 4 and 6 have a backbone here",
        ),
    ],
)
def test_what_is_no_checkpoint_of_nnssl_is_refused(content: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint):
        read_weights(saved(tmp_path / "checkpoint_final.pth", content))


@pytest.mark.parametrize("second", [False, True], ids=["first version", "second version"])
def test_a_whole_swin_unetr_computes_what_monais_does(second: bool, tmp_path: Path) -> None:
    theirs = swinunetr(second)
    ours, weights = filled(saved(tmp_path / "VoCo.pt", {"state_dict": theirs.state_dict()}))
    given = volumes(64)[:, :, :32, :32]
    # Sums of many instance norms, in another order.
    alike = {"atol": 5e-5, "rtol": 1e-5}
    torch.testing.assert_close(ours.stages(given)[1:], theirs.swinViT(given, True), **alike)
    torch.testing.assert_close(theirs.out(ours(given).local), theirs(given), **alike)
    assert weights.match.missing == 0
    assert weights.release.contract.window_hu == (-175, 250)
    assert weights.release.network == ("swinunetr_v2" if second else "swinunetr")


def loaded_by_monai(content: dict[str, Any]) -> dict[str, Tensor]:
    """The transformer as MONAI's own functions load it into its network."""
    network = drawn(SwinUNETR(1, 2, feature_size=24), seed=5)
    if "state_dict" in content:
        network.load_from(content)
    else:
        copy_model_state(network, content["model"], filter_func=filter_swinunetr)
    return dict(network.swinViT.state_dict())


@pytest.mark.parametrize("release", [released_transformer, later_transformer])
def test_a_transformer_alone_comes_in_as_monai_loads_it(release: Any, tmp_path: Path) -> None:
    content = release(swinunetr())
    ours, weights = filled(saved(tmp_path / "model_swinvit.pt", content))
    state, expected = ours.state_dict(), loaded_by_monai(content)
    for name, value in expected.items():
        head, _, rest = name.partition(".")
        assert torch.equal(state[name if head == "patch_embed" else f"{head}.{rest.removeprefix('0.')}"], value), name
    assert weights.match.matched == len(expected)
    assert weights.origin.pretrains == "encoder"
    assert weights.release.contract.window_hu == (-1000, 1000)
