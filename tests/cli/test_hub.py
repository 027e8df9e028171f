"""Weights by name and weights out, as commands: what goes wrong is one line and exit 2, and what went out comes in."""

from __future__ import annotations

import io
import json
import os
import pickle
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from ssl_bench.store.store import Store
from ssl_bench.weights.released import read_weights
from ssl_bench.weights.trained_on import EMBEDDED_NAME
from tests.hub_server import ServedHub, serving
from tests.weights.layouts import unet_shapes, values

from .conftest import Invoke

Files = dict[str, bytes]
CARD = b"---\nlicense: cc-by-4.0\n---\n"
SETTINGS = ("--preset", "smoke", "--quiet")


def network(**changes: Any) -> Files:
    return {"README.md": CARD, "model.safetensors": save({**values(unet_shapes(8)), **changes})}


def torch_file(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


class Harmless:
    """A pickle of it asks for a function by name; it is never called."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.getcwd, ()


WEIGHT = "up4.conv.double_conv.0.weight"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 94000000\n"
THREE = {"inc.double_conv.0.weight": torch.ones(8, 3, 3, 3, 3)}
MALFORMED: dict[str, tuple[Files, str, str]] = {
    "wrong revision": (network(), "hf:org/net@nowhere", "no such revision"),
    "no revision": (network(), "hf:org/net", "names no revision"),
    "no such repository": (network(), "hf:org/other@main", "no such repository, or a private one"),
    "a name with ..": (network(), "hf:org/..@main", "holds a name that no repository has"),
    "a file outside": (network(), "hf:org/net@main:../../model.safetensors", "holds a name that no repository has"),
    "missing file": (network(), "hf:org/net@main:other.pth", "has no such file, but README.md, model.safetensors"),
    "no weights": ({"README.md": CARD}, "hf:org/net@main", "holds no file of weights"),
    "several files": ({"a.pth": b"1", "b.pth": b"2"}, "hf:org/net@main", "several files of weights, a.pth, b.pth"),
    "LFS pointer": ({"model.safetensors": POINTER}, "hf:org/net@main", "is a Git LFS pointer and not the weights"),
    "empty file": ({"model.pth": b""}, "hf:org/net@main", "is empty"),
    "JSON": ({"model.pth": json.dumps({"weights": 1}).encode()}, "hf:org/net@main", "not a safetensors file or torch"),
    "pickle with code": ({"model.pth": pickle.dumps(Harmless(), 2)}, "hf:org/net@main", "asks for posix.getcwd"),
    "code beside weights": ({"m.pth": torch_file({"a": Harmless()})}, "hf:org/net@main", "asks for posix.getcwd"),
    "wrong shapes": (network(**{WEIGHT: torch.ones(8, 24, 1, 1, 1)}), "hf:org/net@main", "1 missing, 1 left over"),
    "NaN": (network(**{WEIGHT: torch.full((8, 24, 3, 3, 3), torch.nan)}), "hf:org/net@main", f"{WEIGHT} is not finite"),
    "wrong channels": (network(**THREE), "hf:org/net@main", "say how they enter with --stem mean"),
    "half a file": ({"model.safetensors": network()["model.safetensors"][:9000]}, "hf:org/net@main", "reads whole"),
}


def refused(invoke: Invoke, address: str, complaint: str) -> None:
    done = invoke("evaluate", "--backbone", address, "--task", "shc", *SETTINGS)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("ssl-bench: ")
    assert done.err.count("\n") == 1, done.err
    assert complaint in done.err
    if "--stem" not in complaint:
        assert done.err.startswith(f"ssl-bench: {address.partition('@')[0]}"), done.err


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_repository_is_one_line_and_exit_2(case: str, hub: ServedHub, invoke: Invoke) -> None:
    files, address, complaint = MALFORMED[case]
    hub.put("org/net", files)
    refused(invoke, address, complaint)


def test_a_private_repository_is_one_line(hub: ServedHub, invoke: Invoke) -> None:
    hub.put("org/net", network())
    hub.repositories["org/net"].private = True
    refused(invoke, "hf:org/net@main", "or a private one; log in with HF_TOKEN")


def test_a_download_that_breaks_off_is_one_line(
    hub: ServedHub, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put("org/net", network())
    hub.repositories["org/net"].cut_to = 5000
    monkeypatch.setattr(time, "sleep", lambda _: None)
    done = invoke("evaluate", "--backbone", "hf:org/net@main", "--task", "shc", *SETTINGS)
    assert done.code == 2
    assert "ssl-bench: hf:org/net@main: cannot be fetched" in done.err.splitlines()[-1]


def test_no_network_is_one_line(hub: ServedHub, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refused(invoke, "hf:org/net@main", "is there a network? see $HF_ENDPOINT")


@pytest.mark.parametrize("answer", [b"<html>hello</html>", b"[]", b'{"id": "org/net"}'])
def test_what_answers_and_is_no_hub_is_one_line(
    answer: bytes, hub: ServedHub, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *unused: object) -> None:
            pass

    with serving(Other) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        refused(invoke, "hf:org/net@main", "hub")


@pytest.fixture
def pretrained(invoke: Invoke, tmp_path: Path) -> tuple[str, Path]:
    """The key of a small pre-training in a store, and the file that it wrote."""
    out = tmp_path / "net.safetensors"
    done = invoke("pretrain", "--method", "denoising", "--out", out, "--set", "pretraining.steps=1", *SETTINGS)
    assert done.code == 0, done.err
    return done.out.rpartition("[")[2].partition("]")[0], out


def test_weights_go_out_and_come_in_and_start_a_pretraining(
    pretrained: tuple[str, Path], hub: ServedHub, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, file = pretrained
    to = tmp_path / "published"
    done = invoke("publish", key[:8], "--to", to, "--licence", "cc-by-4.0", "--data-licence", "Apache-2.0")
    assert (done.code, done.err) == (0, "")
    published = ["README.md", "config.json", "model.safetensors", "record.json"]
    assert sorted(path.name for path in to.iterdir()) == published
    card = (to / "README.md").read_text("utf-8")
    assert card.startswith('---\nlicense: "cc-by-4.0"\n')
    assert f"Record: `{key}`" in card
    assert "It has not been evaluated" in card

    # The three lines of the card, as a stranger runs them.
    lines = card.partition("```python\n")[2].partition("```")[0]
    assert len(lines.splitlines()) == 3
    monkeypatch.chdir(to)
    found: dict[str, Any] = {}
    exec(lines, found)
    volume = torch.rand(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    own = type(found["network"])(8)
    own.load_state_dict(load_file(file))
    with torch.no_grad():
        for one, other in zip(found["network"](volume), own(volume), strict=True):
            assert torch.equal(one, other)

    refused_again = invoke("publish", key, "--to", to)
    assert refused_again.code == 2
    assert "is not empty; name another folder, or say --overwrite" in refused_again.err
    (to / "mine.txt").write_text("kept")
    assert invoke("publish", key, "--to", to, "--overwrite", "--trained-on", "MM-WHS").code == 0
    assert (to / "mine.txt").read_text() == "kept"
    assert 'datasets: ["MM-WHS"]' in (to / "README.md").read_text("utf-8")
    assert not list(tmp_path.glob(".published.*"))

    sent = invoke("publish", key, "--to", "hf:me/net", "--trained-on", "MM-WHS")
    assert sent.code == 0, sent.err
    address = f"{sent.out.partition(': ')[2].strip()}:model.safetensors"
    again = invoke("publish", key, "--to", "hf:me/net")
    assert (again.code, "holds model.safetensors already" in again.err) == (2, True)

    start = ("--method", "denoising", "--init", address, "--set", "pretraining.steps=1", *SETTINGS)
    more = invoke("pretrain", *start, "--out", tmp_path / "more.safetensors")
    assert more.code == 0, more.err
    record = Store(Path(os.environ["SSL_BENCH_RESULTS"])).find_record(more.out.rpartition("[")[2].partition("]")[0])
    assert record is not None
    assert record.kind == "pretraining"
    assert record.spec.init is not None
    assert str(record.spec.init.hub) == address
    assert record.spec.init.origin.trained_on == ("MM-WHS",)
    assert read_weights(tmp_path / "more.safetensors").origin.trained_on == ("MM-WHS", EMBEDDED_NAME)
    assert invoke("publish", record.key, "--to", tmp_path / "more").code == 0
    assert read_weights(tmp_path / "more" / "model.safetensors").origin.trained_on == ("MM-WHS", EMBEDDED_NAME)
    # One step from there is near it, and none from the seed's start.
    begun, ended = load_file(file), load_file(tmp_path / "more.safetensors")
    assert max(float((ended[name] - begun[name]).abs().max()) for name in begun) < 0.1
    assert not torch.equal(ended["inc.double_conv.0.weight"], begun["inc.double_conv.0.weight"])


def test_a_network_without_a_licence_is_evaluated_and_its_record_says_all(hub: ServedHub, invoke: Invoke) -> None:
    commit = hub.put("org/net", {"model.safetensors": network()["model.safetensors"]})
    given = ("--expects", "axes=RAS", "--trained-on", "MM-WHS")
    done = invoke("evaluate", "--backbone", "hf:org/net@main", "--task", "shc", "--protocol", "linear", *given,
                  "--preset", "smoke", "--set", "protocols.linear-v2.steps=2")  # fmt: skip
    assert done.code == 0, done.err
    assert f"hf:org/net@{commit}:model.safetensors: licence by its card: none stated" in done.err
    assert "trained on MM-WHS" in done.err
    assert "expects axes RAS, spacing not stated" in done.err
    (record,) = Store(Path(os.environ["SSL_BENCH_RESULTS"])).evaluations()
    assert record.spec.backbone.contract.axes == "RAS"
    assert record.spec.method == "external:org/net/model"
    assert record.licence == "none stated, by the card of org/net; layout 3D U-Net of unknown origin: unknown"
    table = invoke("report", "--format", "md")
    assert "trained on: MM-WHS" in table.out
    line = invoke("report", "--format", "csv").out.splitlines()
    assert dict(zip(line[0].split(","), line[1].split(","), strict=False))["licence"].startswith('"none stated')


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("0000", "--to", "x"), "neither planned nor run"),
        (("xyz", "--to", "x"), "a key is 16 hexadecimal digits"),
    ],
)
def test_publishing_what_is_not_there_is_one_line(
    arguments: tuple[str, ...], complaint: str, invoke: Invoke, tmp_path: Path
) -> None:
    done = invoke("publish", *arguments)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert complaint in done.err


def test_publishing_what_began_with_unknown_weights_claims_nothing_of_them(
    hub: ServedHub, invoke: Invoke, tmp_path: Path
) -> None:
    hub.put("org/net", {"model.safetensors": network()["model.safetensors"]})
    start = ("--method", "denoising", "--init", "hf:org/net@main", "--set", "pretraining.steps=1", *SETTINGS)
    done = invoke("pretrain", *start, "--out", tmp_path / "more.safetensors")
    assert done.code == 0, done.err
    sent = invoke("publish", done.out.rpartition("[")[2].partition("]")[0], "--to", tmp_path / "more")
    assert sent.code == 0, sent.err
    assert "the card will not say what the weights were trained on" in sent.err
    assert read_weights(tmp_path / "more" / "model.safetensors").origin.trained_on == ()


def test_an_init_of_another_width_names_the_options(hub: ServedHub, invoke: Invoke, tmp_path: Path) -> None:
    hub.put("org/net", {"model.safetensors": save(values(unet_shapes(16)))})
    done = invoke("pretrain", "--method", "denoising", "--init", "hf:org/net@main", "--out", tmp_path / "x", *SETTINGS)
    assert done.code == 2
    assert "holds unet3d of width 16, and unet3d of 8 is asked for; use --backbone unet3d --set width=16" in done.err


def test_an_init_where_nothing_is_pretrained_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(save(values(unet_shapes(8))))
    start = ("--init", tmp_path / "x.safetensors", *SETTINGS)
    for arguments in (
        ("run", "--method", "scratch", "--task", "shc"),
        ("matrix", "--methods", "scratch,control:mind", "--tasks", "shc", "--dry-run"),
    ):
        done = invoke(*arguments, *start)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert f"nothing is pre-trained by {arguments[1]} {arguments[2]}" in done.err
        assert f"ssl-bench evaluate --backbone {tmp_path / 'x.safetensors'}" in done.err
    both = invoke("matrix", "--methods", "scratch,denoising", "--tasks", "shc", "--dry-run", *start)
    assert both.code == 0, both.err


def test_of_several_backbones_those_that_init_fits_start_from_it(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(save(values(unet_shapes(8))))
    start = ("--init", tmp_path / "x.safetensors", "--tasks", "shc", "--protocols", "linear", "--dry-run", *SETTINGS)
    done = invoke("matrix", "--methods", "scratch,denoising", "--backbones", "unet3d,resenc", *start)
    assert done.code == 0, done.err
    said = "left out: --init holds weights of unet3d, from which no pre-training of resenc can start"
    assert done.err.splitlines() == [said]
    assert "4 cells, 0 done" in done.out
    none = invoke("matrix", "--methods", "denoising", "--backbones", "resenc,primus", *start)
    assert (none.code, none.err.count("\n")) == (2, 1)
    assert "weights of unet3d" in none.err
    assert "choose others" in none.err
