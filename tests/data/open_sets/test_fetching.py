"""From a server on this machine to a folder: whatever may go wrong on the way."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from ssl_bench.data.open_sets import downloading
from ssl_bench.data.open_sets.declaration import OpenSet, RemoteFile, at
from ssl_bench.data.open_sets.fetching import RECEIPT, fetch
from ssl_bench.data.open_sets.registry import open_set
from ssl_bench.errors import UserError
from tests.data.open_sets import tiny
from tests.data.open_sets.server import Server, serving

ARCHIVE = "IXI-T1.tar"
SCANS = {f"IXI00{number}-Guys-0828-T1.nii.gz": tiny.gzipped(tiny.volume(number)) for number in (2, 3)}
CONTENT = tiny.tar(SCANS)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(downloading, "WAIT_SECONDS", 0)
    monkeypatch.setattr(downloading, "CHUNK", 250)
    with serving() as running:
        running.files[ARCHIVE] = CONTENT
        yield running


def ixi(hash_: str | None = f"md5:{hashlib.md5(CONTENT).hexdigest()}") -> OpenSet:
    """IXI as it is declared, but for its size and hash."""
    file = RemoteFile(ARCHIVE, f"http://ixi.invalid/{ARCHIVE}", hash_)
    return replace(open_set("ixi-t1"), remote=at(file), download_gb=0.001, disk_gb=0.001)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_fetched_lies_whole_and_says_where_it_came_from(server: Server, tmp_path: Path) -> None:
    folder = fetch(ixi(), tmp_path / "new" / "data", server.url)
    assert folder == tmp_path / "new" / "data" / "ixi-t1"
    assert names(folder.parent) == [f"ixi-t1/{name}" for name in sorted([*SCANS, RECEIPT])]
    assert all((folder / name).read_bytes() == content for name, content in SCANS.items())
    receipt = json.loads((folder / RECEIPT).read_text())
    assert (receipt["licence"], receipt["laid"]) == ("CC BY-SA 3.0", {name: len(SCANS[name]) for name in SCANS})
    assert [(file["url"], file["hash_was"]) for file in receipt["downloaded"]] == [
        (f"{server.url}/{ARCHIVE}", "published, checked")
    ]


def test_fetching_again_asks_nobody(server: Server, tmp_path: Path) -> None:
    fetch(ixi(), tmp_path, server.url)
    server.asked.clear()
    assert fetch(ixi(), tmp_path, server.url) == tmp_path / "ixi-t1"
    assert server.asked == []


def test_a_file_of_an_earlier_fetch_that_is_gone_is_said(server: Server, tmp_path: Path) -> None:
    (fetch(ixi(), tmp_path, server.url) / min(SCANS)).unlink()
    with pytest.raises(UserError, match=rf"lacks 1 of the 2 files .*{min(SCANS)}.*move the folder away"):
        fetch(ixi(), tmp_path, server.url)


def test_a_folder_of_the_users_own_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "ixi-t1").mkdir()
    with pytest.raises(UserError, match=r"is there and was not fetched; name another folder with --to"):
        fetch(ixi(), tmp_path, server.url)
    assert server.asked == []


def test_without_a_published_hash_the_first_is_recorded_and_said(server: Server, tmp_path: Path) -> None:
    said: list[str] = []
    folder = fetch(ixi(None), tmp_path, server.url, say=said.append)
    assert said == [f"hash unknown: recorded, for 1 of 1 files, in {folder / RECEIPT}"]
    (file,) = json.loads((folder / RECEIPT).read_text())["downloaded"]
    assert (file["hash"], file["hash_was"]) == (f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", "unknown, recorded")


@pytest.mark.parametrize("hash_", [f"md5:{hashlib.md5(CONTENT).hexdigest()}", None], ids=["hash", "no hash"])
def test_a_connection_that_breaks_is_taken_up_where_it_broke(hash_: str | None, server: Server, tmp_path: Path) -> None:
    server.break_after = [1000, 500]
    heard: list[tuple[int, int | None]] = []
    folder = fetch(ixi(hash_), tmp_path, server.url, lambda title: nullcontext(lambda *at: heard.append(at)))
    assert [asked for _, asked in server.asked] == ["", "bytes=1000-", "bytes=1500-"]
    assert names(folder) == sorted([*SCANS, RECEIPT])
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert [have for have, _ in heard] == sorted(have for have, _ in heard)


def test_a_server_without_parts_begins_anew(server: Server, tmp_path: Path) -> None:
    server.break_after, server.parts = [1000], False
    assert names(fetch(ixi(), tmp_path, server.url)) == sorted([*SCANS, RECEIPT])


def test_half_a_file_of_an_earlier_try_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    half = tmp_path / "ixi-t1.download" / f"{ARCHIVE}.part"
    half.parent.mkdir()
    half.write_bytes(CONTENT[:700])
    fetch(ixi(), tmp_path, server.url)
    assert server.asked == [(ARCHIVE, "bytes=700-")]


def test_half_of_another_version_is_not_gone_on_with(server: Server, tmp_path: Path) -> None:
    """Where no hash would tell: half a file without its version, or of one that the server no longer has."""
    half = tmp_path / "ixi-t1.download" / f"{ARCHIVE}.part"
    for version in ("", '"another"'):
        half.parent.mkdir()
        half.write_bytes(b"x" * 700)
        half.with_name(f"{ARCHIVE}.part.etag").write_text(version)
        shutil.rmtree(fetch(ixi(None), tmp_path, server.url))


def test_more_than_the_whole_file_of_an_earlier_try_is_dropped(server: Server, tmp_path: Path) -> None:
    half = tmp_path / "ixi-t1.download" / f"{ARCHIVE}.part"
    half.parent.mkdir()
    half.write_bytes(CONTENT + b"more")
    assert names(fetch(ixi(), tmp_path, server.url)) == sorted([*SCANS, RECEIPT])


def test_a_wrong_hash_leaves_nothing(server: Server, tmp_path: Path) -> None:
    said = rf"{ARCHIVE}: is not what was published \(md5:{'0' * 32} is its hash\); nothing of it was kept"
    with pytest.raises(UserError, match=said):
        fetch(ixi(f"md5:{'0' * 32}"), tmp_path, server.url)
    assert names(tmp_path) == []


def test_a_file_that_was_downloaded_by_hand_is_taken(server: Server, tmp_path: Path) -> None:
    by_hand = tmp_path / "ixi-t1.download" / ARCHIVE
    server.files.clear()
    with pytest.raises(UserError, match=rf"the server answers 404 .*put it at {by_hand} and give the same command"):
        fetch(ixi(), tmp_path, server.url)
    assert len(server.asked) == 1, "what a server says that it has not is not asked for again"
    by_hand.write_bytes(CONTENT)
    assert names(fetch(ixi(), tmp_path, server.url)) == sorted([*SCANS, RECEIPT])


def test_without_a_server_the_line_says_what_to_download_and_where_to_put_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(downloading, "WAIT_SECONDS", 0)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(UserError, match=rf"{url}/{ARCHIVE}: cannot be reached.*put it at .*download/{ARCHIVE}") as met:
        fetch(ixi(), tmp_path, url)
    assert "\n" not in str(met.value)


def test_room_is_looked_for_before_anything_is_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"ixi-t1 needs 0\.002 GB there .* and 0\.0015 GB are free; make room"):
        fetch(ixi(), tmp_path, server.url)
    assert server.asked == []


def test_a_disk_that_fills_up_keeps_what_came(server: Server, tmp_path: Path) -> None:
    def full(have: int, whole: int | None) -> None:
        if have >= 1000:
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "disk"))

    with pytest.raises(UserError, match=r"disk: the disk is full; make room and give the same command"):
        fetch(ixi(), tmp_path, server.url, lambda title: nullcontext(full))
    assert names(tmp_path) == [f"ixi-t1.download/{ARCHIVE}.part", f"ixi-t1.download/{ARCHIVE}.part.etag"]
    fetch(ixi(), tmp_path, server.url)
    assert [asked for _, asked in server.asked] == ["", "bytes=1000-"]


def test_an_attempt_at_laying_that_ended_half_way_is_begun_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "ixi-t1.unpacking").mkdir()
    (tmp_path / "ixi-t1.unpacking" / min(SCANS)).write_bytes(b"half")
    assert names(fetch(ixi(), tmp_path, server.url)) == sorted([*SCANS, RECEIPT])
