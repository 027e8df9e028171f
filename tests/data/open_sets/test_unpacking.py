"""What an archive may do to the disk: write the members that are wanted into one folder, and no more."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ssl_bench.data.open_sets.unpacking import unpack
from ssl_bench.errors import UserError
from tests.data.open_sets import tiny

BOTH = pytest.mark.parametrize("pack", [tiny.tar, tiny.zipped])
Pack = Callable[[dict[str, bytes]], bytes]


def unpacked(content: bytes, tmp_path: Path, most_bytes: int = 1000) -> dict[str, bytes]:
    archive, folder = tmp_path / "archive", tmp_path / "folder"
    archive.write_bytes(content)
    folder.mkdir()
    unpack(archive, folder, lambda name: name.upper() if name.startswith("a") else None, most_bytes)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@BOTH
def test_members_lie_where_they_are_placed_and_others_nowhere(pack: Pack, tmp_path: Path) -> None:
    found = unpacked(pack({"a/b": b"1", "a/._b": b"2", "ab": b"3", "c": b"4"}), tmp_path)
    assert found == {"A/B": b"1", "AB": b"3"}


@BOTH
@pytest.mark.parametrize("name", ["../a", "a/../../b", "/tmp/a", "c/../../d", "C:/a", "..\\a"])
def test_a_member_outside_stops_everything(pack: Pack, name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"would lie outside of the folder; nothing of this archive is used"):
        unpacked(pack({name: b"harmless", "a": b"1"}), tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["archive", "folder"]


def test_links_are_refused(tmp_path: Path) -> None:
    linked = io.BytesIO()
    with tarfile.open(fileobj=linked, mode="w") as opened:
        entry = tarfile.TarInfo("a")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/hostname"
        opened.addfile(entry)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as written:
        link = zipfile.ZipInfo("a")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        written.writestr(link, "/etc/hostname")
    for number, content in enumerate((linked.getvalue(), zipped.getvalue())):
        place = tmp_path / str(number)
        place.mkdir()
        with pytest.raises(UserError, match="a is a link or a device"):
            unpacked(content, place)
        assert list((place / "folder").iterdir()) == []


@BOTH
def test_more_bytes_than_declared_are_refused_as_they_come(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds more than 1e-07 GB, which its declaration allows"):
        unpacked(pack({"a1": b"x" * 60, "a2": b"x" * 60}), tmp_path, most_bytes=100)


@BOTH
def test_half_an_archive_is_said(pack: Pack, tmp_path: Path) -> None:
    content = pack({"a1": b"x" * 900, "a2": b"y" * 900})
    with pytest.raises(UserError, match=r"(?s)archive: is no whole archive .*; remove it and fetch again"):
        unpacked(content[: len(content) // 4], tmp_path, most_bytes=10**6)
