"""What NRRD, MetaImage and DICOM share: reading them with SimpleITK."""

from __future__ import annotations

import re
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_bench.data.io.canonical import require_grid
from ssl_bench.data.io.volume import Volume, superior_first
from ssl_bench.errors import UserError


def read_image(path: Path, reader: Any, unit_mm: float = 1.0) -> Volume:
    """The one volume of an image that `open_image` opened, whose header counts in units of `unit_mm`.

    An axis of negative spacing runs backwards from the first voxel, as in ITK. Raises UserError if it is not one scalar
    volume.
    """
    size = reader.GetSize()
    if not all(reader.GetSpacing()):
        raise UserError(f"{path}: has spacing {reader.GetSpacing()}; write the file again with its spacing in mm")
    # A fourth axis adds a row and a column behind those of space.
    directions = np.reshape(reader.GetDirection(), (len(size), len(size)))
    steps, origin = (directions * reader.GetSpacing())[:3, :3], np.array(reader.GetOrigin()[:3])
    affine = affine_from_itk(steps * unit_mm, origin * unit_mm)
    require_grid(path, size, affine)
    return Volume(read_voxels(path, reader).reshape(size[2::-1]), affine)


def open_image(path: Path, image_io: str) -> Any:
    """An ITK reader that has read the header. Raises UserError for a file of another kind or several channels."""
    reader = simpleitk().ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    kind = simpleitk().GetPixelIDValueAsString(reader.GetPixelID())
    if reader.GetNumberOfComponents() != 1 or "complex" in kind:
        raise UserError(f"{path}: its voxels are {kind}s; convert it to one number per voxel")
    return reader


def read_voxels(path: Path, reader: Any) -> NDArray[Any]:
    """(..., K, J, I): the voxels of the image that a reader was given. Raises UserError for a damaged file."""
    try:
        voxels: NDArray[Any] = simpleitk().GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    return voxels


def affine_from_itk(axes: NDArray[np.float64], origin: Any) -> NDArray[np.float64]:
    """The affine of a `Volume` from one step along i, j and k, the columns (3, 3), and the first voxel's place.

    ITK and DICOM count to the left, posterior and superior, mm.
    """
    affine = np.eye(4)
    affine[: len(axes), : len(axes)] = axes
    affine[: len(axes), 3] = origin
    affine[:2] *= -1
    return superior_first(affine)


def require_intact(path: Path, data: Path, start: int) -> None:
    """Check the zlib or gzip stream in `data` from byte `start`: ITK's readers pass over what does not inflate.

    Raises UserError, naming `path`.
    """
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS + 32)
    try:
        with data.open("rb") as file:
            file.seek(start)
            while not inflate.eof and (piece := file.read(2**16)):
                inflate.decompress(piece)
    except zlib.error as error:
        raise UserError(f"{path}: is damaged ({error}); copy or download it again") from error
    if not inflate.eof:
        raise UserError(f"{path}: is cut short (its compressed voxels do not end); copy or download it again")


def simpleitk() -> Any:
    """The library, without its warnings on stderr."""
    library: Any = import_module("SimpleITK")  # Heavy: only for who needs it.
    library.ProcessObject.SetGlobalWarningDisplay(False)
    return library


def _unreadable(path: Path, error: RuntimeError) -> UserError:
    """What ITK complains of, as one line."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("Reason:")]
    reason = re.sub(r"^.*ERROR: (\w+\(\w+\): )?|^\[nrrd\] \w+: ", "", lines[-1])
    return UserError(f"{path}: is damaged or of another kind ({reason}); write or download it again")
