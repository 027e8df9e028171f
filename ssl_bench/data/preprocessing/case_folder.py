"""One prepared case on disk: a folder with an image, perhaps a label, and ``case.json``, whole or not there.

An array lies in a ``.npy`` that is memory-mapped, or compressed in a ``.b2nd`` of blosc2. A scan's image is in whole
levels, plain or compressed as the user says; its label is compressed always, since label maps shrink to a tenth and
less. What was generated is plain, in float32.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PlainSerializer, PlainValidator, ValidationError

from ssl_bench.api.cases import Case, Doubt, Voxels
from ssl_bench.api.settings import Settings
from ssl_bench.data.preprocessing.labels import of_a_class
from ssl_bench.data.preprocessing.signature import Signature
from ssl_bench.data.preprocessing.stored import DAMAGED, Scale, Stored, in_levels, packed, unpacked
from ssl_bench.errors import UserError
from ssl_bench.files import TEMPORARY_SUFFIX, atomic_write, cache_root
from ssl_bench.spec.locations import ImageStore

_ABANDONED_SECONDS = 24 * 3600
"""After which no process still works on an unfinished folder."""
_ATTEMPTS = 3
"""How often a process tries to replace a damaged folder while others try the same."""


_ENDINGS: dict[ImageStore, str] = {"plain": "npy", "compressed": "b2nd"}

StoredSignature = Annotated[Signature, PlainValidator(Signature.of), PlainSerializer(Signature.to_json)]


class PreparedCase(Settings):
    """A case whose arrays lie ready on disk; ``case.json`` holds these fields but the last.

    Those of further channels are not there for one.
    """

    identifier: str
    """The case's name; in ``case.json`` that of the case prepared first, since cases of the same files share it."""
    shape: tuple[int, int, int]
    """(D, H, W)."""
    spacing_mm: tuple[float, float, float]
    """(D, H, W)."""
    label: int | float | None
    """The class of the whole volume, or as a float its number; None where each voxel has one."""
    notes: tuple[str, ...]
    """What a user should know about this case, one line each."""
    doubts: tuple[Doubt, ...]
    has_class: bool
    """Whether a voxel is of a class, or the whole volume is."""
    sources: dict[str, str]
    """Digests of the files that it was made from; empty for a case that was generated."""
    signature: StoredSignature
    """The signature of the scan before anything was cropped or resampled; of several channels, of the first."""
    further_signatures: tuple[StoredSignature, ...] = ()
    """Those of the other channels that are there."""
    channels: int = 1
    scales: tuple[Scale, ...] = ()
    """What the levels of each channel mean; empty where the image is float32."""
    folder: Path = Field(default=Path(), exclude=True)

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """Of every channel that is there."""
        return (self.signature, *self.further_signatures)

    @property
    def digest(self) -> str:
        """Digest of what the files hold and how they were prepared."""
        return self.folder.name

    def load(self) -> Case:
        """The arrays, read when they are looked at. Raises UserError if they were damaged since they were prepared."""
        try:
            image, label = self._arrays()
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{self.folder}: {DAMAGED}") from error
        return Case(self.identifier, image, label, self.spacing_mm)

    def is_whole(self) -> bool:
        """Whether the arrays are there, as long as they should be and of the right shape."""
        try:
            image, label = self._arrays()
        except (OSError, ValueError, EOFError):
            return False
        several = (self.channels,) if self.channels > 1 else ()
        has_shape = isinstance(label, int | float) or label.shape == self.shape
        return image.shape == (*several, *self.shape) and has_shape

    def lies_in(self, store: ImageStore) -> bool:
        """Whether the image is there as `store` says, and not the other way too."""
        return {path.suffix for path in self.folder.glob("image.*")} == {f".{_ENDINGS[store]}"}

    def move_to(self, store: ImageStore) -> None:
        """Keep the image as `store` says from now on. Others may read meanwhile: there is always one of the two files.

        Raises UserError if there is no room or no permission; then nothing has changed.
        """
        (other,) = set(_ENDINGS.values()) - {_ENDINGS[store]}
        with _room(self.folder):
            with atomic_write(self.folder / f"image.{_ENDINGS[store]}") as temporary:
                _write(temporary, _content(self._stored("image").levels[...], store))
            (self.folder / f"image.{other}").unlink(missing_ok=True)

    def _arrays(self) -> tuple[Voxels, Voxels | int | float]:
        image = self._stored("image", self.scales)
        if self.label is not None:
            return (image if self.scales else image.levels), self.label
        return (image, self._stored("label")) if self.scales else (image.levels, _map(self.folder / "label.npy"))

    def _stored(self, name: str, scales: tuple[Scale, ...] = ()) -> Stored:
        try:
            return Stored(self.folder, _map(self.folder / f"{name}.npy"), scales)
        except FileNotFoundError:
            return Stored(self.folder, unpacked(self.folder / f"{name}.b2nd"), scales)


def write_case(
    folder: Path,
    case: Case,
    outlines: Sequence[Signature],
    sources: Mapping[str, str] = MappingProxyType({}),
    notes: tuple[str, ...] = (),
    doubts: tuple[Doubt, ...] = (),
    steps: Sequence[float | None] = (),
    store: ImageStore = "plain",
) -> None:
    """Make `folder` out of `case`, all at once; two processes may do it at the same time.

    `outlines` are the signatures of its channels, `steps` those of `CaseReport`. What is not given is that of a case
    that was generated, whose image stays float32.

    Raises UserError if there is no room or no permission; then nothing is left.
    """
    label = None if isinstance(case.label, int | float) else np.asarray(case.label)
    image, scales = in_levels(np.asarray(case.image), steps) if steps else (np.asarray(case.image), ())
    described = PreparedCase(
        identifier=case.identifier,
        shape=case.size,
        spacing_mm=case.spacing_mm,
        label=case.label if isinstance(case.label, int | float) else None,
        notes=notes,
        doubts=doubts,
        has_class=bool(of_a_class(case.label).any()),
        sources=dict(sources),
        signature=outlines[0],
        further_signatures=tuple(outlines[1:]),
        channels=len(case.channels),
        scales=scales,
    )
    left_out = set() if scales else {"scales"}
    left_out |= {"further_signatures", "channels"} if described.channels == 1 else set()
    with _room(folder), _complete_folder(folder) as temporary:
        _write(temporary / f"image.{_ENDINGS[store]}", _content(image, store))
        if label is not None:
            kept: ImageStore = "compressed" if steps else "plain"
            _write(temporary / f"label.{_ENDINGS[kept]}", _content(label, kept))
        _write(temporary / "case.json", described.model_dump_json(exclude=left_out).encode())


def find_case(folder: Path, identifier: str) -> PreparedCase | None:
    """What a folder holds, as the case `identifier`; None if anything in it is missing or cut off."""
    try:
        described = PreparedCase.model_validate_json((folder / "case.json").read_bytes())
    except (OSError, ValidationError):
        return None
    found = described.model_copy(update={"folder": folder, "identifier": identifier})
    return found if found.is_whole() else None


def prepared_root() -> Path:
    """The cache folder of all prepared cases."""
    return cache_root() / "prepared"


def remove_abandoned() -> None:
    """Remove what processes that were killed a day or longer ago left unfinished: folders, and files in whole ones."""
    root, name = prepared_root(), f".*{TEMPORARY_SUFFIX}"
    for left in (*root.glob(name), *root.glob(f"*/{name}")):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """Raise UserError for what the system says while something is written in `folder`, or in its place."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot be kept in {folder.parent} ({reason}); free space or set SSL_BENCH_CACHE") from error


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
        if find_case(folder, "") is not None:
            return  # another process was first
        # A damaged folder cannot be replaced in one step.
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=TEMPORARY_SUFFIX, dir=folder.parent))
        with suppress(FileNotFoundError):
            folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _content(volume: NDArray[Any], store: ImageStore) -> NDArray[Any] | bytes:
    return packed(volume) if store == "compressed" else volume


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
