"""Files of weights as named tensors, without running anything that a file may hold."""

from __future__ import annotations

import hashlib
import io
import json
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ssl_bench.errors import UserError

DEEPEST = 4
"""Dictionaries within dictionaries that are opened: a pickle may hold itself."""


LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How the few lines begin that stand in for a large file where Git LFS has not fetched it."""


class _Unread:
    """What stands in for an object that training scripts keep beside weights: it takes everything and keeps nothing.

    Torch's reader makes objects only of classes that it is given by name, and calls nothing else. It is given a child
    of this class for each of `BESIDE_WEIGHTS`, never what bears the name: numpy's functions read memory at any place if
    a forged dtype says that bytes are objects, and a path of Windows cannot be made elsewhere. So nothing that a file
    says of these objects reaches any code but the two methods below.
    """

    def __new__(cls, *unused: object) -> _Unread:
        return object.__new__(cls)

    def __setstate__(self, unused: object) -> None:
        """Keep nothing."""


BESIDE_WEIGHTS = (
    # Losses, scores, seeds and the state of numpy's generator: scalars and arrays, under the names of numpy 1 and 2.
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *("numpy.dtype", "numpy.ndarray"),
    # The options of the command line, and where files lay, in Python 3.13 under another name.
    *("argparse.Namespace", "types.SimpleNamespace"),
    *(
        f"{module}.{kind}Path"
        for module in ("pathlib", "pathlib._local")
        for kind in ("Posix", "Windows", "PurePosix", "PureWindows")
    ),
    # When the file was written, and by which release.
    *("datetime.datetime", "datetime.date", "datetime.timedelta", "torch.torch_version.TorchVersion"),
)
"""Names of what files keep beside weights; whoever asks for anything else is refused."""


class State(NamedTuple):
    """One dictionary of tensors in a file."""

    place: str
    """The entries under which it lies, joined by dots; empty for the whole file."""
    tensors: dict[str, Tensor]
    """Tensors by name, on the CPU, as they lie in the file."""


class Contents(NamedTuple):
    """What a file of weights holds."""

    states: list[State]
    """Every dictionary that holds tensors, the outer ones first; never none."""
    metadata: dict[str, str]
    """The metadata of a safetensors file; empty for a torch file."""
    sha256: str
    described: dict[str, Any]
    """The entries of a torch file itself, which may describe its tensors; empty for a safetensors file."""


def read(path: Path) -> Contents:
    """The named tensors of a safetensors file, or of whatever `torch.load` reads as plain tensors.

    What a file is follows from its first bytes, not from its name. Raises UserError, naming the file, if it does not
    read, asks for code, or holds no named tensors.
    """
    data = _bytes(path)
    metadata: dict[str, str] = {}
    described: dict[str, Any] = {}
    try:
        if data[8:9] == b"{":
            content = _load_safetensors(data)
            metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
        else:
            described = content = _load_torch(data)
    except Exception as error:  # A broken file makes the libraries raise nearly anything.
        if wanted := _code_wanted(data, error):
            raise UserError(
                f"{path}: asks for {wanted} and is not opened, since it may run code; save the plain tensors alone, "
                "torch.save(network.state_dict(), FILE)"
            ) from error
        said = str(error).rpartition("WeightsUnpickler error:")[2].strip() or type(error).__name__
        reason = said.splitlines()[0][:100]
        raise UserError(f"{path}: not a safetensors file or torch file that reads whole ({reason})") from error
    return Contents(_states(path, content), metadata, hashlib.sha256(data).hexdigest(), described)


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; give a file of weights")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if not data:
        raise UserError(f"{path}: is empty; give a file of weights")
    if data.startswith(LFS_POINTER):
        raise UserError(f"{path}: is a Git LFS pointer and not the weights; fetch them with git lfs pull")
    return data


def _load_safetensors(data: bytes) -> dict[str, Tensor]:
    from safetensors.torch import load

    return load(data)


def _load_torch(data: bytes) -> Any:
    with warnings.catch_warnings(), _nothing_but_unread():
        # About the kind of a file that is refused anyway.
        warnings.simplefilter("ignore")
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


@contextmanager
def _nothing_but_unread() -> Iterator[None]:
    """Torch's reader knows `BESIDE_WEIGHTS` as classes that take everything, and nothing that libraries have added."""
    parted = (name.rpartition(".") for name in BESIDE_WEIGHTS)
    unread: list[Any] = [type(name, (_Unread,), {"__module__": module}) for module, _, name in parted]
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with torch.serialization.safe_globals(unread):
            yield
    finally:
        torch.serialization.add_safe_globals(before)


def _code_wanted(data: bytes, error: Exception) -> str | None:
    """The function or class that made torch refuse a pickle, by name; None if it was something else."""
    if named := re.search(r"\bGLOBAL (\S+)", str(error)):
        return named[1]
    # Newer pickle protocols name it by an operation that torch's restricted reader does not know.
    if "Unsupported operand" not in str(error):
        return None
    words: list[str] = []
    try:
        for operation, argument, _ in pickletools.genops(_pickle_in(data)):
            if operation.name == "STACK_GLOBAL":
                return ".".join(words[-2:])
            if isinstance(argument, str):
                words.append(argument)
    except (ValueError, OSError, KeyError, StopIteration, zipfile.BadZipFile):
        pass
    return None


def _pickle_in(data: bytes) -> bytes:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))


def _states(path: Path, content: object) -> list[State]:
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds one {type(content).__name__}; give tensors by name, a state_dict")
    # A dictionary that lies in several places, or within itself, is opened once.
    states, opened, level = [], {id(content)}, [("", content)]
    for _ in range(DEEPEST + 1):
        inner = []
        for place, entries in level:
            named = {name: value for name, value in entries.items() if isinstance(name, str)}
            tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
            if tensors:
                states.append(State(place, tensors))
            for name, value in named.items():
                if isinstance(value, dict) and id(value) not in opened:
                    opened.add(id(value))
                    inner.append((f"{place}.{name}".removeprefix("."), value))
        level = inner
    if not states:
        raise UserError(f"{path}: holds no tensors by name, only {listed(content)}; give a state_dict")
    return states


def listed(names: Iterable[object], limit: int = 12) -> str:
    """The first of some names that a file chose: sorted, each once, printable and short; ``nothing`` for none."""
    clean = sorted({tame(name) for name in names})
    more = f" and {len(clean) - limit} more" if len(clean) > limit else ""
    return ", ".join(clean[:limit]) + more or "nothing"


def tame(name: object) -> str:
    """A name that a file chose, without what a terminal would obey, and short."""
    return "".join(c for c in str(name)[:40] if c.isprintable())
