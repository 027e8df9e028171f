"""What is declared of an open data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

GIGABYTE = 10**9


@dataclass(frozen=True)
class RemoteFile:
    """One file to download."""

    name: str
    """What it is called here, and on a mirror."""
    url: str
    hash: str | None = None
    """As ``md5:...`` or ``sha256:...``, where a published one is known; None where the first download records it."""


@dataclass(frozen=True, kw_only=True)
class OpenSet:
    """An open data set that ``ssl-bench data fetch`` knows by `name`."""

    name: str
    title: str
    laid_as: Literal["nnunet", "folder", "corpus"]
    """A segmentation task in nnU-Net's raw format, a classification task with a CSV of labels, or a corpus."""
    modality: str
    cases: int
    """That are laid, those with labels where there are labels."""
    subjects: int | None
    """Who was scanned; None where that is not published."""
    licence: str
    non_commercial: bool
    source: str
    """The page of the data set, or the paper that describes it."""
    good_for: str
    """Which kind of task or corpus here."""
    known: tuple[str, ...]
    """What is known to be wrong or odd with it, by public documents or by comparing its voxels."""
    download_gb: float
    disk_gb: float
    """At most, once it is laid: nothing beyond that is unpacked."""
    folder: str
    """What its folder is called; of a task the last part of the task's name."""
    remote: Callable[[str], list[RemoteFile]]
    """The files, at a mirror's URL or, where that is empty, at their own place. May ask a server for their list."""
    lay: Callable[[Mapping[str, Path], Path, int], None]
    """Puts the downloaded files, by name, into an empty folder as a task or a corpus, at most so many bytes.

    Raises UserError for files that hold something else; files may be used up.
    """
    settings: tuple[str, ...] = ()
    """Of ``--set``, which the preprocessing needs."""
    options: tuple[str, ...] = ()
    """Of the command line, in which ``{folder}`` stands for where the data set lies."""

    @property
    def most_bytes(self) -> int:
        """`disk_gb` in bytes."""
        return round(self.disk_gb * GIGABYTE)


def at(*files: RemoteFile) -> Callable[[str], list[RemoteFile]]:
    """For `OpenSet.remote`: files whose names are known, on a mirror all in one folder."""

    def found(mirror: str) -> list[RemoteFile]:
        return [replace(file, url=f"{mirror.rstrip('/')}/{file.name}") if mirror else file for file in files]

    return found
