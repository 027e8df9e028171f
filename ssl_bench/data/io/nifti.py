"""NIfTI-1 and NIfTI-2 in one file, gzipped or not by content, in either byte order."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Any, Literal

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from ssl_bench.data.io.canonical import require_grid
from ssl_bench.data.io.rescaling import rescaled
from ssl_bench.data.io.volume import NO_ORIENTATION, FileGrid, Volume, superior_first, voxels_apart
from ssl_bench.errors import UserError

_HEADERS = {348: Nifti1Header, 540: Nifti2Header}
_MILLIMETRES = {1: 1000.0, 3: 0.001}
"""Per unit of length, by the header's code: metres and micrometres, anything else means millimetres."""
_NEARLY = 0.01
"""Spacings that differ by a smaller share were only rounded."""
_PIECE = 2**18
_DAMAGED = (EOFError, OSError, zlib.error)


def read_nifti(path: Path) -> Volume:
    """Raises UserError for anything that is not one scalar volume; OSError if the file cannot be opened."""
    with path.open("rb") as file:
        gzipped, stream = _opened(file)
        try:
            header = _header(path, stream)
            grid, place = _grid(path, header)
            voxels = np.empty(grid.shape, _dtype(path, header))
            stream.seek(_offset(header))
            _fill(voxels, stream)
            if gzipped:
                while stream.read(_PIECE):  # At the end of the stream, wherever damage has moved it, is its checksum.
                    pass
            return Volume(_scaled(voxels, header), grid.affine, _notes(header, place))
        except (HeaderDataError, ValueError, OverflowError) as error:
            raise UserError(f"{path}: has a broken NIfTI header ({error}); write the file again") from error
        except _DAMAGED as error:
            raise UserError(f"{path}: is damaged or cut short ({error}); copy or download it again") from error


def read_nifti_grid(path: Path) -> FileGrid:
    """The grid of `read_nifti`'s volume, by the header alone. Raises as that does."""
    with path.open("rb") as file:
        try:
            return _grid(path, _header(path, _opened(file)[1]))[0]
        except (HeaderDataError, ValueError, OverflowError) as error:
            raise UserError(f"{path}: has a broken NIfTI header ({error}); write the file again") from error
        except _DAMAGED as error:
            raise UserError(f"{path}: is damaged or cut short ({error}); copy or download it again") from error


def _opened(file: BufferedReader) -> tuple[bool, BufferedIOBase]:
    """Whether the file is gzipped, and its content from the beginning."""
    gzipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return gzipped, gzip.GzipFile(fileobj=file) if gzipped else file


def _grid(path: Path, header: Any) -> tuple[FileGrid, NDArray[np.float64]]:
    """Where the voxels lie; and `_affine`. Raises UserError for what is not one volume on an orthogonal grid."""
    size, place = header.get_data_shape(), _affine(path, header)
    affine = superior_first(place)
    require_grid(path, size, affine)
    return FileGrid(size[2::-1], affine), place


def _header(path: Path, stream: BufferedIOBase) -> Any:
    # Unchecked, since nibabel's checks print and repair: a spacing of 0 would silently become 1.
    block = stream.read(max(_HEADERS))
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        length = int.from_bytes(block[:4], order)
        if length in _HEADERS and len(block) >= length:
            header = _HEADERS[length](block[:length], order, check=False)
            if header["magic"].tobytes().startswith(b"n+"):
                return header
    raise UserError(f"{path}: is no NIfTI file, whatever its name says; convert it to .nii.gz or correct its suffix")


def _affine(path: Path, header: Any) -> NDArray[np.float64]:
    """(4, 4): voxel index (i, j, k, 1) to (right, anterior, superior, 1) in mm; an sform counts before a qform."""
    if header["sform_code"] == 0 and not (header["pixdim"][1:4] > 0).all():
        raise UserError(f"{path}: has spacing {header['pixdim'][1:4]}; write the file again with its spacing in mm")
    if header["pixdim"][0] != -1:
        header["pixdim"][0] = 1  # The standard reads anything but -1 as 1; nibabel insists on either.
    affine = np.array(header.get_best_affine(), np.float64)
    affine[:3] *= _unit_mm(header)
    return affine


def _unit_mm(header: Any) -> float:
    return _MILLIMETRES.get(int(header["xyzt_units"]) % 8, 1.0)


def _notes(header: Any, affine: NDArray[np.float64]) -> tuple[str, ...]:
    """What the header leaves open, or says twice and differently; `affine` is that of `_affine`."""
    if header["sform_code"] == 0:
        return () if header["qform_code"] != 0 else (NO_ORIENTATION,)
    notes = []
    used, said = np.linalg.norm(affine[:3, :3], axis=0), header["pixdim"][1:4] * _unit_mm(header)
    if not np.allclose(used, said, rtol=_NEARLY):
        sizes = [" x ".join(f"{size:.4g}" for size in spacing) for spacing in (used, said)]
        notes.append(f"its sform gives voxels of {sizes[0]} mm and its pixdim of {sizes[1]} mm: the sform was taken")
    elif header["qform_code"] != 0:
        with suppress(HeaderDataError, ValueError):  # A quaternion that is none.
            other = np.array(header.get_qform(), np.float64)
            other[:3] *= _unit_mm(header)
            apart = voxels_apart(header.get_data_shape()[:3], affine, other)
            if apart > 0.5:
                notes.append(f"its sform and its qform lie up to {apart:.1f} voxels apart: the sform was taken")
    return tuple(notes)


def _dtype(path: Path, header: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except KeyError as error:
        raise HeaderDataError(f"data type {error}") from error
    if dtype.kind not in "iuf":
        raise UserError(f"{path}: its voxels are complex numbers or colours; convert it to one number per voxel")
    return dtype


def _offset(header: Any) -> int:
    """Where the voxels begin, in bytes. Some writers leave it 0; four bytes always follow the header."""
    return max(int(header["vox_offset"]), int(header.template_dtype.itemsize) + 4)


def _fill(voxels: NDArray[Any], stream: BufferedIOBase) -> None:
    """Read the voxels in pieces: a gzip stream asked for everything at once holds it four times. Raises EOFError."""
    target = voxels.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(target):
        count = stream.readinto(target[done : done + _PIECE])
        if not count:
            raise EOFError(f"{done} of {len(target)} bytes")
        done += count


def _scaled(voxels: NDArray[Any], header: Any) -> NDArray[Any]:
    """The values that the header's slope and intercept stand for."""
    slope, intercept = header.get_slope_inter()
    return voxels if slope is None else rescaled(voxels, slope, intercept)
