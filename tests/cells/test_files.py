"""Writing: all or nothing, and the first one wins."""

import os
from pathlib import Path

import pytest

from ssl_bench.errors import UserError
from ssl_bench.files import atomic_write, publish_first


def test_a_failed_write_leaves_the_old_file_and_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_half() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_first_to_publish_wins(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert publish_first(path, "first")
    assert not publish_first(path, "second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_without_hard_links_the_first_still_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "record.json"
    assert publish_first(path, "first")
    assert not publish_first(path, "second")
    assert path.read_text() == "first"


def test_a_link_made_but_reported_as_failed_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def link_and_fail(source: Path, target: Path) -> None:
        link(source, target)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "link", link_and_fail)
    assert publish_first(tmp_path / "record.json", "first")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"), atomic_write(tmp_path / "file" / "x.json"):
        pass
