"""Finding scans in folders and reading them, whatever their format and orientation."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from ssl_bench.data.io.volume import FileGrid, Volume
from ssl_bench.errors import UserError

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Suffixes of files that hold one volume each; DICOM is known by its content, for its files often have no suffix."""
_POINTERS = {b"version https://git-lfs": "git lfs pull", b"/annex/objects/": "git annex get"}
"""How a few words begin that stand for a file's content elsewhere, and what brings it."""


def read_volume(path: Path, instead: FileGrid | None = None) -> Volume:
    """A NIfTI, NRRD, MetaImage or DICOM file, or the folder of a DICOM series, on the canonical grid.

    Axes are flipped and permuted to the closest of (superior, anterior, right), nothing is resampled. Rescaling that
    the file declares is applied; whole numbers that were only shifted stay integers, anything else is float32. The
    voxels lie where the header says, or where those of the grid `instead` do, in the file's order.
    Raises UserError for everything that is not one scalar volume on an orthogonal grid with finite values.
    """
    from ssl_bench.data.io.canonical import canonical, moved  # And every reader, late: who only looks starts light.

    try:
        stored = _read_series(path) if path.is_dir() else _reader(path)(path)
        return canonical(path, stored if instead is None else moved(path, stored, instead))
    except PermissionError as error:
        raise _forbidden(error) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the disk and the path") from error
    except MemoryError as error:
        raise UserError(f"{path}: does not fit into memory; its header may be wrong, or give a smaller scan") from error


def find_volumes(root: Path) -> list[Path]:
    """Every volume below a folder of any depth: files, and folders that hold DICOM slices.

    In natural order; files of other kinds are passed over, see `walk`, and DICOM objects that are no pictures. Raises
    UserError for a folder that may not be read.
    """
    try:
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; give the folder that holds the volumes")
        found = list(_volumes(root))
    except PermissionError as error:
        raise _forbidden(error) from error
    return sorted(found, key=lambda path: [natural_key(part) for part in path.relative_to(root).parts])


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Sorts names as people do: numbers in them count as numbers."""
    parts = re.split(r"([0-9]+)", text)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], text


def walk(root: Path) -> Iterator[tuple[Path, list[Path] | OSError]]:
    """Each folder below `root`, which is the first, and its files, or why it cannot be listed.

    Hidden files are left out: archives made on macOS hold a ``._`` twin of every file. A folder that is linked to
    several times counts once, under its own name rather than a link's.
    """
    entered: set[Path] = set()
    folders = deque([root])
    while folders:
        folder = folders.popleft()
        if folder.resolve() in entered:
            continue
        entered.add(folder.resolve())
        try:
            entries = _visible(folder)
            inner = [entry for entry in entries if entry.is_dir()]
            files = [entry for entry in entries if not entry.is_dir()]
        except OSError as error:
            yield folder, error
            continue
        yield folder, files
        # Links come last, when every folder has been met under its own name.
        folders.extendleft(entry for entry in inner if not entry.is_symlink())
        folders.extend(entry for entry in inner if entry.is_symlink())


def _volumes(root: Path) -> Iterator[Path]:
    for folder, files in walk(root):
        if isinstance(files, OSError):
            raise files
        yield from (file for file in files if file.name.lower().endswith(SUFFIXES))
        if any(_holds_picture(file) for file in files if _is_dicom(file)):
            yield folder


def _reader(path: Path) -> Callable[[Path], Volume]:
    if path.is_symlink() and not path.exists():
        raise UserError(f"{path}: is a link to nothing; fetch its content, of a DataLad data set by git annex get")
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder; correct the path")
    with path.open("rb") as file:
        first = file.read(max(map(len, _POINTERS)))
    if not first:
        raise UserError(f"{path}: is empty; copy or download it again")
    for words, command in _POINTERS.items():
        if first.startswith(words):
            raise UserError(f"{path}: is a pointer to the scan and not the scan; fetch it with {command}")
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        from ssl_bench.data.io.nifti import read_nifti

        return read_nifti
    if name.endswith((".nrrd", ".nhdr")):
        from ssl_bench.data.io.nrrd import read_nrrd

        return read_nrrd
    if name.endswith((".mha", ".mhd")):
        from ssl_bench.data.io.metaimage import read_metaimage

        return read_metaimage
    if _is_dicom(path):
        from ssl_bench.data.io.dicom import read_dicom

        return lambda file: read_dicom(file, [file])
    raise UserError(f"{path}: no volume that can be read; convert it to .nii.gz, .nrrd, .mha or DICOM")


def _read_series(folder: Path) -> Volume:
    from ssl_bench.data.io.dicom import read_dicom

    return read_dicom(folder, [file for file in _visible(folder) if _is_dicom(file)])


def _visible(folder: Path) -> list[Path]:
    """What a folder holds, without hidden files, in natural order."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return sorted(entries, key=lambda entry: natural_key(entry.name))


def _is_dicom(path: Path) -> bool:
    """Whether the file is DICOM, by suffix or content; DICOMDIR, a table of contents, is not."""
    name = path.name.lower()
    if name == "dicomdir" or name.endswith(SUFFIXES) or not path.is_file():
        return False
    if name.endswith(".dcm"):
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _holds_picture(path: Path) -> bool:
    from ssl_bench.data.io.dicom_header import may_hold_picture

    return may_hold_picture(path)


def _forbidden(error: PermissionError) -> UserError:
    return UserError(f"{error.filename}: may not be read; change its permissions or move it elsewhere")
