"""Malformed files: exit 2 and one line that names the file, whatever is in it; nothing in a file ever runs."""

from __future__ import annotations

import argparse
import os
import pickle
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath, PureWindowsPath
from subprocess import CompletedProcess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ssl_bench.cli import main
from ssl_bench.errors import UserError
from ssl_bench.weights.tensors import listed, read

from .layouts import unet_shapes, values

WEIGHT = "up4.conv.double_conv.0.weight"


def unet(width: int = 8) -> dict[str, Tensor]:
    return values(unet_shapes(width))


class Code:
    """What a hostile pickle holds: a call."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch it_ran",)


class Trainer:
    """A class that only its author's program knows."""


def _torch(content: object, **options: bool | int) -> Callable[[Path], object]:
    return lambda path: torch.save(content, path, **options)


def _pickle(content: object, protocol: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(pickle.dumps(content, protocol))


class _Elsewhere:
    """An object as another system, Python or numpy writes it."""

    def __init__(self, module: str, name: str, argument: object) -> None:
        self.called = (module, name, argument)


class _Forging:
    """`pickle`, which writes `_Elsewhere` by the names that it holds."""

    dump = staticmethod(pickle.dump)

    class Pickler(pickle._Pickler):
        def save(self, obj: object, save_persistent_id: bool = True) -> None:
            if not isinstance(obj, _Elsewhere):
                super().save(obj, save_persistent_id)
                return
            module, name, argument = obj.called
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
            super().save((argument,))
            self.write(pickle.REDUCE)


def _cut(write: Callable[[Path], object], keep: float) -> Callable[[Path], object]:
    def cut(path: Path) -> None:
        write(path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])

    return cut


def _safetensors(tensors: dict[str, Tensor]) -> Callable[[Path], object]:
    return lambda path: save_file(tensors, path)


def _changed(name: str, value: Tensor) -> dict[str, Tensor]:
    return {**unet(), name: value}


def _looped() -> dict[str, object]:
    loop: dict[str, object] = {}
    loop["model"] = loop
    return loop


UNREADABLE = "not a safetensors file or torch file that reads whole"
MALFORMED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file"),
    "folder": (Path.mkdir, "is a folder"),
    "empty": (Path.touch, "is empty"),
    "text": (lambda path: path.write_text("not weights\n"), UNREADABLE),
    "text with a brace": (lambda path: path.write_text('{"note":{"a": 1}}\n'), UNREADABLE),
    "noise": (lambda path: path.write_bytes(bytes(range(256)) * 8), UNREADABLE),
    "safetensors cut in its tensors": (_cut(_safetensors(unet()), 0.5), UNREADABLE),
    "safetensors cut in its header": (_cut(_safetensors(unet()), 0.001), UNREADABLE),
    "torch zip cut": (_cut(_torch(unet()), 0.5), UNREADABLE),
    "old torch file cut": (_cut(_torch(unet(), _use_new_zipfile_serialization=False), 0.5), UNREADABLE),
    "code in a torch file": (_torch({"state_dict": Code()}), f"asks for {os.system.__module__}.system"),
    "code in an old torch file": (
        _torch(Code(), _use_new_zipfile_serialization=False),
        f"asks for {os.system.__module__}.system",
    ),
    "code in a bare pickle": (_pickle(Code(), 2), f"asks for {os.system.__module__}.system"),
    "code in a newer pickle": (_pickle(Code(), 4), f"asks for {os.system.__module__}.system"),
    "an object of a class": (_torch({"model": unet(), "trainer": Trainer()}), f"asks for {__name__}.Trainer"),
    "plain pickle": (_pickle({"inc": [1.0]}, 2), UNREADABLE),
    "newer plain pickle": (_pickle({"inc": [1.0]}, 4), UNREADABLE),
    "a scripted network": (
        lambda path: torch.jit.save(torch.jit.script(torch.nn.Identity()), str(path)),
        "TorchScript archives",
    ),
    "a bare tensor": (_torch(torch.ones(3)), "holds one Tensor; give tensors by name"),
    "a list": (_torch(list(unet().values())), "holds one list; give tensors by name"),
    "empty dict": (_torch({}), "holds no tensors by name, only nothing"),
    "empty safetensors": (_safetensors({}), "holds no tensors by name, only nothing"),
    "nested without tensors": (
        _torch({"model": {"state_dict": {"width": 8, "name": "n"}}}),
        "holds no tensors by name, only model",
    ),
    "wrapped in itself": (_torch(_looped()), "holds no tensors by name, only model"),
    "optimiser alone": (
        _torch({"optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}, "epoch": 3}),
        "holds no tensors by name, only epoch, optimizer",
    ),
    "wrong shapes": (
        _torch({name: value.flatten() for name, value in unet().items()}),
        "holds no 3D U-Net of ssl-bench or GVSL: inc.double_conv.0.weight has shape (216,)",
    ),
    "a width between the groups": (
        _torch({"inc.double_conv.0.weight": torch.ones(12, 1, 3, 3, 3)}),
        "inc.double_conv.0.weight has shape (12, 1, 3, 3, 3)",
    ),
    "one tensor missing": (
        _torch({name: value for name, value in unet().items() if name != WEIGHT}),
        "71 tensors matched, 1 missing, 0 left over of a 3D U-Net of width 8",
    ),
    "one tensor of another shape": (
        _torch(_changed(WEIGHT, torch.ones(8, 24, 1, 1, 1))),
        "71 tensors matched, 1 missing, 1 left over of a 3D U-Net of width 8",
    ),
    "renamed": (_torch({f"net_{name}": value for name, value in unet().items()}), "but net_down1, net_down2"),
    "another network": (
        _torch(
            {"conv1.weight": torch.ones(64, 3, 7, 7), "layer1.0.bn1.bias": torch.ones(64), "fc.bias": torch.ones(9)}
        ),
        "holds no 3D U-Net of ssl-bench or GVSL and no network of Models Genesis, nnssl or Swin UNETR, but conv1, fc, "
        "layer1",
    ),
    "integers": (
        _torch(_changed(WEIGHT, torch.ones(8, 24, 3, 3, 3, dtype=torch.int32))),
        f"{WEIGHT} holds torch.int32",
    ),
    "too large for float32": (
        _torch(_changed(WEIGHT, torch.full((8, 24, 3, 3, 3), 1e300, dtype=torch.float64))),
        f"{WEIGHT} is not finite in float32",
    ),
    "complex numbers": (
        _torch(_changed(WEIGHT, torch.ones(8, 24, 3, 3, 3, dtype=torch.complex64))),
        "holds torch.complex64 (torch.strided); give dense float64, float32, float16 or bfloat16",
    ),
    "sparse": (_torch(_changed(WEIGHT, torch.ones(8, 24, 3, 3, 3).to_sparse())), "(torch.sparse_coo); give dense"),
    "on no device": (_torch(_changed(WEIGHT, torch.ones(8, 24, 3, 3, 3, device="meta"))), "give dense float64"),
    "not a number": (_torch(_changed(WEIGHT, torch.full((8, 24, 3, 3, 3), torch.nan))), f"{WEIGHT} is not finite"),
    "infinite": (_torch(_changed(WEIGHT, torch.full((8, 24, 3, 3, 3), torch.inf))), f"{WEIGHT} is not finite"),
    "two widths": (
        _torch({**unet(16), **{f"unet.{name}": value for name, value in unet(8).items()}}),
        "holds several networks, ., unet; name one with --weights NAME",
    ),
    "widths mixed in one network": (
        _torch({**unet(16), "inc.double_conv.0.weight": torch.ones(8, 1, 3, 3, 3)}),
        "of a 3D U-Net of width 8; give all weights",
    ),
    "a part of Models Genesis": (
        _torch({"module.down_tr64.ops.0.conv1.weight": torch.ones(32, 1, 3, 3, 3)}),
        "1 tensors matched, 105 missing, 0 left over of a Models Genesis network",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_one_line_and_exit_2(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, complaint = MALFORMED[case]
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "weights.pth")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(
        sys, "argv", ["ssl-bench", "evaluate", "--backbone", "weights.pth", "--task", "shc", "--preset", "smoke"]
    )
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("ssl-bench: weights.pth: "), err
    assert complaint in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("case", ["code in a newer pickle", "a scripted network", "torch zip cut"])
def test_no_librarys_warning_joins_the_line(
    case: str, command: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    """In a process of its own, where warnings go to stderr."""
    write, complaint = MALFORMED[case]
    write(tmp_path / "weights.pth")
    done = command("evaluate", "--backbone", "weights.pth", "--task", "shc")
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def places(path: Path, content: object) -> dict[str, list[str]]:
    """The names of the tensors that are found in a torch file, by where they lie."""
    torch.save(content, path)
    return {state.place: list(state.tensors) for state in read(path).states}


def test_entries_that_are_no_tensors_are_passed_over(tmp_path: Path) -> None:
    content = {"epoch": 3, "model": {"a": torch.ones(2), 5: torch.ones(2), "note": "n"}}
    assert places(tmp_path / "net.ckpt", content) == {"model": ["a"]}


def test_every_dictionary_is_opened_once_and_to_a_depth(tmp_path: Path) -> None:
    model: dict[str, object] = {"state_dict": {"a": torch.ones(2)}, "b": torch.ones(2)}
    content: dict[str, object] = {"ema": {"shadow": {"a": torch.ones(2)}}, "model": model, "again": model}
    model["itself"] = content
    assert places(tmp_path / "net.ckpt", content) == {"model": ["b"], "ema.shadow": ["a"], "model.state_dict": ["a"]}
    deep: dict[str, object] = {"a": torch.ones(2)}
    for _ in range(5):
        deep = {"in": deep, "b": torch.ones(2)}
    assert list(places(tmp_path / "net.ckpt", deep))[-1] == "in.in.in.in"


BESIDE = {
    "numpy scalars": [np.float64(0.5), np.float32(1), np.int64(3), np.bool_(True), np.str_("best")],
    "numpy arrays": {"losses": np.ones(3), "kind": np.dtype("float32"), "state": np.random.RandomState(0).get_state()},
    "options": argparse.Namespace(lr=1e-3, out=PurePosixPath("/data"), inner=argparse.Namespace(seed=np.int64(1))),
    "more options": SimpleNamespace(lr=1e-3),
    "paths": [Path("/data/run"), PurePosixPath("run"), PureWindowsPath("D:/run")],
    "a path of Windows": _Elsewhere("pathlib", "WindowsPath", "D:/run"),
    "a path of Python 3.13": _Elsewhere("pathlib._local", "PosixPath", "/data/run"),
    "an array of numpy 1": _Elsewhere("numpy.core.multiarray", "_reconstruct", (0,)),
    "when": [datetime.now(), datetime.now().date(), timedelta(1), torch.__version__],
}


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_scripts_keep_beside_weights_does_not_hide_them(beside: str, zipped: bool, tmp_path: Path) -> None:
    content, known = (
        {"model": {"a": torch.ones(2)}, "args": BESIDE[beside]},
        set(torch.serialization.get_safe_globals()),
    )
    torch.save(content, tmp_path / "net.pth", pickle_module=_Forging, _use_new_zipfile_serialization=zipped)
    (state,) = read(tmp_path / "net.pth").states
    assert state.place == "model"
    assert torch.equal(state.tensors["a"], torch.ones(2))
    assert set(torch.serialization.get_safe_globals()) == set(known)


def test_nothing_that_bears_the_name_of_what_lies_beside_weights_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if what is called could do harm: numpy's functions read memory where a forged file says so."""
    torch.save({"a": torch.ones(2), "loss": np.float64(1), "args": argparse.Namespace(a=1)}, tmp_path / "net.pth")

    def called(*arguments: object) -> None:
        raise AssertionError

    called.__module__, called.__qualname__ = "numpy._core.multiarray", "scalar"
    monkeypatch.setattr(np._core.multiarray, "scalar", called)
    monkeypatch.setattr(argparse.Namespace, "__setattr__", called)
    monkeypatch.setattr(argparse.Namespace, "__setstate__", called, raising=False)
    # A library may have told torch's reader to call them.
    with torch.serialization.safe_globals([called, argparse.Namespace]):
        assert list(read(tmp_path / "net.pth").states[0].tensors) == ["a"]


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.ckpt"
    path.touch()

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"net\.ckpt: cannot be read \(Permission denied\)"):
        read(path)


def test_names_that_a_file_chose_are_printed_tame() -> None:
    assert listed(["b", "a", "a"]) == "a, b"
    assert listed(["red\x1b[31m\nline"]) == "red[31mline"
    assert listed(map(str, range(20)), limit=2) == "0, 1 and 18 more"
    assert listed([]) == "nothing"
