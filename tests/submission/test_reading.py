"""What is no bundle ends with one line, and nothing is ever written outside."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from ssl_bench.errors import UserError
from ssl_bench.store.store import RECORD_BYTES
from ssl_bench.submission.reading import read_files
from ssl_bench.submission.verifying import verify
from tests.submission.made_up import documents, write

RECORD = f"records/gvsl/sbm/linear-v2/{'0' * 16}.json"


def zipped(to: Path, *files: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return to


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/outside.json", "records/../../outside.json", "..\\outside.json", "C:outside.json"]
)
def test_a_path_that_leaves_the_bundle(tmp_path: Path, name: str) -> None:
    bundle = zipped(tmp_path / "one.zip", ("manifest.json", b"{}"), (name, b"{}"))
    with pytest.raises(UserError, match="a path that leaves the bundle"):
        read_files(bundle)
    assert list(tmp_path.iterdir()) == [bundle]


def test_a_link_in_an_archive(tmp_path: Path) -> None:
    link = zipfile.ZipInfo(RECORD)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UserError, match="a link; bundles hold files alone"):
        read_files(zipped(tmp_path / "one.zip", ("manifest.json", b"{}"), (link, b"/etc/passwd")))


def test_a_link_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("{}")
    (tmp_path / "bundle" / "records").symlink_to(tmp_path)
    with pytest.raises(UserError, match="'records', a link or a device"):
        read_files(tmp_path / "bundle")


def test_a_record_that_is_far_larger_than_its_archive(tmp_path: Path) -> None:
    bundle = zipped(tmp_path / "one.zip", ("manifest.json", b"{}"), (RECORD, bytes(50 * RECORD_BYTES)))
    assert bundle.stat().st_size < RECORD_BYTES
    with pytest.raises(UserError, match=f"larger than {RECORD_BYTES} bytes"):
        read_files(bundle)


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl_bench.submission.reading.MOST_FILES", 2)
    bundle = zipped(tmp_path / "one.zip", *((name, b"{}") for name in ("manifest.json", "a", "b")))
    with pytest.raises(UserError, match="more than 2 files"):
        read_files(bundle)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not a zip", "does not read as a zip"),
        (b"PK\x03\x04" + bytes(100), "does not read as a zip"),
        (None, "no such bundle"),
    ],
)
def test_what_is_no_archive(tmp_path: Path, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "one.zip").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        read_files(tmp_path / "one.zip")


def test_a_damaged_archive(tmp_path: Path) -> None:
    bundle = write(tmp_path / "one.zip", documents())
    content = bytearray(bundle.read_bytes())
    content[200:260] = bytes(60)
    bundle.write_bytes(content)
    with pytest.raises(UserError, match="does not read"):
        verify(bundle)


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (None, "no bundle, for it has no manifest.json"),
        (b"{}", "its format is 'None'"),
        (b'{"format": "ssl-bench bundle 2"}', "reads 'ssl-bench bundle 1'; update"),
        (b'{"format": "ssl-bench bundle 1"}', "manifest.json does not read"),
        (b"[]", "manifest.json does not read"),
    ],
)
def test_a_manifest_that_is_none(tmp_path: Path, manifest: bytes | None, reason: str) -> None:
    files = [] if manifest is None else [("manifest.json", manifest)]
    with pytest.raises(UserError, match=reason):
        verify(zipped(tmp_path / "one.zip", *files, (RECORD, b"{}")))


def test_an_unpacked_bundle_is_one(tmp_path: Path) -> None:
    bundle = write(tmp_path / "one.zip", documents())
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert read_files(tmp_path / "unpacked")._replace(records={}) == read_files(bundle)._replace(records={})
    assert verify(tmp_path / "unpacked").refusals == []
