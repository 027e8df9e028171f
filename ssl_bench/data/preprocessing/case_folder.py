"""One prepared case on disk: a folder with ``image.npy``, ``label.npy`` and ``case.json``, whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ssl_bench.api.settings import Settings
from ssl_bench.data.preprocessing.arrays import PreparedArrays
from ssl_bench.errors import UserError
from ssl_bench.files import TEMPORARY_SUFFIX

_ABANDONED_SECONDS = 24 * 3600
"""After which an unfinished folder is nobody's any more."""
_ATTEMPTS = 3
"""At taking the place of a damaged folder, while other processes try the same."""


class CaseFile(Settings):
    """What ``case.json`` says."""

    identifier: str
    """Of the case that was prepared first: cases with the same files share a folder."""
    shape: tuple[int, int, int]
    """(D, H, W)."""
    spacing_mm: tuple[float, float, float]
    """(D, H, W)."""
    label: int | None
    """The class of the whole volume; None for ``label.npy``."""
    notes: tuple[str, ...]
    sources: dict[str, str]
    """Digests of the files that it was made from."""
    signature: dict[str, list[float]]


def write_folder(folder: Path, identifier: str, arrays: PreparedArrays, sources: dict[str, str]) -> None:
    """Make `folder` out of `arrays`, all at once; two processes may do it at the same time.

    Raises UserError if there is no room or no permission; then nothing is left.
    """
    whole = isinstance(arrays.label, int)
    described = CaseFile(
        identifier=identifier,
        shape=arrays.image.shape,
        spacing_mm=arrays.spacing_mm,
        label=arrays.label if whole else None,  # type: ignore[arg-type]
        notes=arrays.notes,
        sources=sources,
        signature=arrays.signature.to_json(),
    )
    try:
        with _complete_folder(folder) as temporary:
            _write(temporary / "image.npy", arrays.image)
            if not isinstance(arrays.label, int):
                _write(temporary / "label.npy", arrays.label)
            _write(temporary / "case.json", described.model_dump_json().encode())
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot be kept in {folder.parent} ({reason}); free space or set SSL_BENCH_CACHE") from error


def read_folder(folder: Path) -> CaseFile | None:
    """What a folder holds; None if it is not there, or if anything in it is missing or cut off."""
    try:
        found = CaseFile.model_validate_json((folder / "case.json").read_bytes())
        image, label = map_arrays(folder, found.label)
    except (OSError, ValueError, EOFError, ValidationError):
        return None
    shapes = {volume.shape for volume in (image, label) if not isinstance(volume, int)}
    return found if shapes == {found.shape} else None


def map_arrays(folder: Path, label: int | None) -> tuple[NDArray[np.float32], NDArray[np.uint8] | int]:
    """The memory-mapped image and label; `label` is given back unless it is None.

    Raises OSError, EOFError or ValueError for files that are missing or are not as long as their headers say.
    """
    return _map(folder / "image.npy"), _map(folder / "label.npy") if label is None else label


def remove_abandoned(root: Path) -> None:
    """Remove what processes that were killed a day or longer ago left unfinished in `root`."""
    for folder in root.glob(f".*{TEMPORARY_SUFFIX}"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(folder)


@contextmanager
def _complete_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; it takes the place of `folder`, or leaves no trace on an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=TEMPORARY_SUFFIX, dir=folder.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        _sync(temporary)
        _put(temporary, folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(temporary: Path, folder: Path) -> None:
    for _ in range(_ATTEMPTS):
        try:
            temporary.rename(folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if read_folder(folder) is not None:
            return  # another process was first
        # A damaged folder cannot be replaced in one step.
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=TEMPORARY_SUFFIX, dir=folder.parent))
        with suppress(FileNotFoundError):
            folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _write(path: Path, content: NDArray[Any] | bytes) -> None:
    with path.open("wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            # As np.save, which does not say why a write failed.
            header = np.lib.format.header_data_from_array_1_0(content)
            np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(content).data)
        file.flush()
        os.fsync(file.fileno())


def _map(path: Path) -> NDArray[Any]:
    array: np.memmap[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if path.stat().st_size != array.offset + array.nbytes:
        raise ValueError(f"{path}: longer or shorter than its header says")
    return array


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
