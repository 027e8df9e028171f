"""A bundle's files, read from a zip or a folder that anybody may have made: nothing is ever extracted."""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ssl_bench.errors import UserError
from ssl_bench.store.store import RECORD_BYTES
from ssl_bench.submission.finding import printable

MANIFEST = "manifest.json"
RECORD = re.compile(r"records(/[A-Za-z0-9_.-]+){3}/[0-9a-f]{16}\.json|pretrained/[0-9a-f]{16}/record\.json")
"""Where records lie, as in a results folder."""
MANIFEST_BYTES = 16 << 20
BUNDLE_BYTES = 512 << 20
"""Of all that is read of a bundle."""
MOST_FILES = 20_000
Content = Callable[[str, int], bytes]
"""From a name to its bytes, of which no more are read than one beyond so many."""
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError, OSError)
"""What the standard library raises on archives that are damaged, encrypted, or packed as it cannot read."""


class Files(NamedTuple):
    """What a bundle holds."""

    manifest: bytes
    records: dict[str, bytes]
    """By their paths in the bundle."""
    others: list[str]
    """Paths of what is neither the manifest nor where a record lies; never read."""
    twice: list[str]
    """Paths that an archive holds more than once."""


def read_files(path: Path) -> Files:
    """The files of the bundle at `path`, a zip or the folder that one was unpacked into.

    Raises UserError for what is no bundle, for a path that leaves it, for links, and for what is too large.
    """
    if path.is_dir():
        return _read(path, sorted(islice(_below(path), MOST_FILES + 1)), lambda name, most: _content(path / name, most))
    if not path.is_file():
        raise UserError(f"{path}: no such bundle; name a file that ssl-bench submit wrote, or the folder of one")
    if path.stat().st_size > BUNDLE_BYTES:
        raise UserError(f"{path}: larger than {BUNDLE_BYTES >> 20} MiB, as no bundle of records is; submit it in parts")
    with _archive(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        names = [_checked(path, member) for member in members]
        of_name = dict(zip(names, members, strict=True))

        def content(name: str, most: int) -> bytes:
            with archive.open(of_name[name]) as file:
                return file.read(most + 1)

        return _read(path, names, content)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _BROKEN as error:
        raise UserError(f"{path}: does not read as a zip ({printable(str(error))}); get the bundle again") from error


def _checked(path: Path, member: zipfile.ZipInfo) -> str:
    """The member's name. Raises UserError for one that would lead out of the bundle, and for a link."""
    name = member.orig_filename
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or ":" in name or "\0" in name:
        raise UserError(f"{path}: holds {printable(name)!r}, a path that leaves the bundle; it is not read")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UserError(f"{path}: holds {printable(name)!r}, a link; bundles hold files alone")
    return name


def _below(root: Path) -> Iterator[str]:
    """The files below `root`, by their paths from it. Raises UserError for links and for what is no file."""
    folders = [root]
    while folders:
        for entry in os.scandir(folders.pop()):
            place = Path(entry.path).relative_to(root).as_posix()
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield place
            else:
                raise UserError(f"{root}: holds {printable(place)!r}, a link or a device; bundles hold files alone")


def _content(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most + 1)


def _read(path: Path, names: list[str], content: Content) -> Files:
    if len(names) > MOST_FILES:
        raise UserError(f"{path}: holds more than {MOST_FILES} files; submit it in parts")
    if MANIFEST not in names:
        raise UserError(f"{path}: no bundle, for it has no {MANIFEST}; make one with ssl-bench submit")
    held = dict.fromkeys(names)
    left, found = BUNDLE_BYTES, {}
    for name in held:
        if name == MANIFEST or RECORD.fullmatch(name):
            most = min(left, MANIFEST_BYTES if name == MANIFEST else RECORD_BYTES)
            found[name] = content(name, most)
            if len(found[name]) > most:
                raise UserError(f"{path}: {name} is larger than {most} bytes, as no record is")
            left -= len(found[name])
    manifest = found.pop(MANIFEST)
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    return Files(manifest, found, [name for name in held if name != MANIFEST and name not in found], twice)
