"""Weights by name: every layout comes whole through a hub on this machine, pinned, with what its card says."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from ssl_bench.errors import UserError
from ssl_bench.spec.specification import HubFile
from ssl_bench.weights.hub import fetch, parsed
from ssl_bench.weights.loading import build_external
from ssl_bench.weights.located import locate
from ssl_bench.weights.released import read_weights
from tests.hub_server import ServedHub

from .layouts import gvsl_shapes, unet_shapes, values
from .published_layouts import later_transformer, nnssl_file, primus, released_transformer, resenc, swinunetr

CARD = b"---\nlicense: cc-by-4.0\ndatasets:\n- LUNA16\n- someone/MM-WHS\n---\n# A network\n"


def silent(_: str) -> None:
    pass


def pickled(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


LAYOUTS: dict[str, tuple[str, Any]] = {
    "ssl-bench": ("model.safetensors", lambda: save(values(unet_shapes(8)), {"ssl_bench_key": "0" * 16})),
    "GVSL": ("GVSL.pth", lambda: pickled(values(gvsl_shapes(8)))),
    "nnssl ResEnc": ("checkpoint_final.pth", lambda: pickled(nnssl_file(resenc().state_dict(), "ResEncL"))),
    "nnssl Primus": ("checkpoint_final.pth", lambda: pickled(nnssl_file(primus().state_dict(), "PrimusM"))),
    "VoCo": ("VoCo_B.pt", lambda: pickled({"state_dict": swinunetr(second=True).state_dict()})),
    "MONAI 2022": ("model_swinvit.pt", lambda: pickled(released_transformer(swinunetr()))),
    "MONAI 2023": ("ssl_pretrained_weights.pth", lambda: pickled(later_transformer(swinunetr()))),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_comes_whole_through_a_hub(layout: str, hub: ServedHub, tmp_path: Path) -> None:
    name, make = LAYOUTS[layout]
    content = make()
    commit = hub.put("org/net", {"README.md": CARD, name: content})
    said: list[str] = []
    path, backbone = locate("hf:org/net@main", said.append)
    direct = tmp_path / name
    direct.write_bytes(content)
    expected: dict[str, Tensor] = read_weights(direct).tensors
    state = build_external(backbone, path)[0].state_dict()
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    assert backbone.hub == HubFile(repository="org/net", commit=commit, file=name, licence="cc-by-4.0")
    assert backbone.sha256 == hashlib.sha256(content).hexdigest()
    assert backbone.method == f"external:org/net/{Path(name).stem}"
    assert {"LUNA16", "someone/MM-WHS"} <= set(backbone.origin.trained_on)
    assert said[0] == f"hf:org/net@main: main is {commit} now; {backbone.hub}: licence by its card: cc-by-4.0"
    assert build_external(backbone, path)[2].startswith("cc-by-4.0, by the card of org/net; layout ")


def test_models_genesis_comes_whole_through_a_hub(hub: ServedHub, genesis_file: Path) -> None:
    hub.put("org/genesis", {"Genesis_Chest_CT.pt": genesis_file.read_bytes()})
    _, backbone = locate("hf:org/genesis@main:Genesis_Chest_CT.pt", silent)
    assert backbone.network == "models_genesis"
    assert backbone.origin.trained_on == ("LUNA16",)
    assert backbone.hub is not None
    assert backbone.hub.licence == ""


def test_the_licence_is_said_before_the_file_is_asked_for(hub: ServedHub) -> None:
    hub.put("org/net", {"README.md": CARD, "model.safetensors": b"-"})
    asked_when_said: list[bool] = []
    fetch("hf:org/net@main", lambda _: asked_when_said.append(any("model.safetensors" in one for one in hub.asked)))
    assert asked_when_said == [False]
    assert any("model.safetensors" in one for one in hub.asked)


@pytest.mark.parametrize(
    ("card", "licence", "trained_on"),
    [
        (b"no head", "", ()),
        (b"---\nlicense: [1, 2]\ndatasets: 7\n---\n", "", ()),
        (b"---\nlicense: other\nlicense_name: only-for-mice\ndatasets: one\n---\n", "other, only-for-mice", ("one",)),
        (b"---\nlicense: {a: [\n---\n", "", ()),
        (b'---\nlicense: "mit\\e[31m"\n---\n', "mit[31m", ()),
        (b"\xff\xfe", "", ()),
    ],
)
def test_a_card_says_what_it_says(card: bytes, licence: str, trained_on: tuple[str, ...], hub: ServedHub) -> None:
    hub.put("org/net", {"README.md": card, "model.safetensors": b"-"})
    said: list[str] = []
    found = fetch("hf:org/net@main", said.append)
    assert (found.hub.licence, found.trained_on) == (licence, trained_on)
    assert f"licence by its card: {licence or 'none stated'}" in said[0]


def test_a_pinned_file_that_was_fetched_needs_no_hub_and_a_moved_branch_is_another_commit(
    hub: ServedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hub.put("org/net", {"README.md": CARD, "model.safetensors": b"first"})
    pinned = str(fetch("hf:org/net@main", silent).hub)
    assert pinned == f"hf:org/net@{first}:model.safetensors"
    second = hub.put("org/net", {"model.safetensors": b"second"})
    assert fetch("hf:org/net@main", silent).hub.commit == second != first
    assert fetch(f"hf:org/net@{first}", silent).path.read_bytes() == b"first"
    hub.asked.clear()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    again = fetch(pinned, silent)
    assert (again.path.read_bytes(), again.hub.licence, hub.asked) == (b"first", "cc-by-4.0", [])


def test_the_one_file_of_weights_is_meant_safetensors_first(hub: ServedHub) -> None:
    hub.put("org/net", {"a.pth": b"1", "b.bin": b"2", "model.safetensors": b"3", "readme.txt": b"4"})
    assert fetch("hf:org/net@main", silent).path.read_bytes() == b"3"
    assert fetch("hf:org/net@main:a.pth", silent).path.read_bytes() == b"1"


@pytest.mark.parametrize(
    "address",
    [
        *("hf:", "hf:net@main", "hf:a/b/c@main", "hf:org/net", "hf:org/net:file", "hf:../net@main", "hf:org/..@main"),
        *("hf:org/net@", "hf:org/net@..", "hf:org/net@a/../b", "hf:org/net@main:", "hf:org/net@main:../file"),
        *("hf:org/net@main:/etc/passwd", "hf:org/net@main:a\\b", "hf:org/net@main:a\nb", "hf:örg/net@main"),
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_asked(address: str) -> None:
    with pytest.raises(UserError, match="give hf:ORG/NAME@REVISION"):
        parsed(address)


def test_a_wrong_file_is_dropped_from_the_cache(hub: ServedHub) -> None:
    commit = hub.put("org/net", {"model.safetensors": b"content"})
    hub.repositories["org/net"].stated_hash = "0" * 64
    with pytest.raises(UserError, match="its content is not what the hub says; fetch it again"):
        fetch("hf:org/net@main", silent)
    hub.repositories["org/net"].stated_hash = ""
    assert fetch(f"hf:org/net@{commit}:model.safetensors", silent).path.read_bytes() == b"content"
