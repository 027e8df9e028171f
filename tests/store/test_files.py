"""Writing: all or nothing, and the first one wins."""

import errno
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ssl_bench import files
from ssl_bench.errors import UserError
from ssl_bench.files import atomic_write, cache_root, clear_temporaries, publish_first


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


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for taken in (pipe, tmp_path):
        with pytest.raises(UserError, match="not a regular file"), atomic_write(taken) as temporary:
            temporary.write_text("text")
    assert pipe.is_fifo()


def test_the_first_to_publish_wins(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert publish_first(path, "first")
    assert not publish_first(path, "second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


class PulledPlug(BaseException):
    """What a killed process would not even see."""


@pytest.fixture(params=[errno.EPERM, errno.ENOTSUP, errno.EMLINK], ids=errno.errorcode.get)
def no_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has no hard links."""

    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("no_links")
def test_without_hard_links_the_first_still_wins(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert publish_first(path, "first")
    assert not publish_first(path, "second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("no_links")
def test_without_hard_links_one_of_many_writers_wins_and_nobody_sees_half_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssl_bench.files.CRASHED_AFTER_SECONDS", 0.3)
    path, writers = tmp_path / "record.json", 8
    texts = [f"{writer}" * 100_000 for writer in range(writers)]
    seen: set[str] = set()

    def publish(writer: int) -> bool:
        won = publish_first(path, texts[writer])
        seen.add(path.read_text())
        return won

    with ThreadPoolExecutor(writers) as pool:
        won = list(pool.map(publish, range(writers)))
    assert won.count(True) == 1
    assert seen == {texts[won.index(True)]}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("no_links")
def test_a_crash_before_the_renaming_blocks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", pull)
        with pytest.raises(PulledPlug):
            publish_first(path, "crashed")
    assert not path.exists(), "half a record"
    monkeypatch.setattr("ssl_bench.files.CRASHED_AFTER_SECONDS", 0.01)
    assert publish_first(path, "second")
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def pull(*_: object, **__: object) -> None:
    raise PulledPlug


def test_a_crash_after_the_link_leaves_a_whole_file_that_won(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, link = tmp_path / "record.json", os.link
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", lambda *both: (link(*both), pull()))
        patched.setattr(Path, "unlink", lambda *_, **__: None)  # nobody cleans up after a crash
        with pytest.raises(PulledPlug):
            publish_first(path, "first")
    assert not publish_first(path, "second")
    assert path.read_text() == "first"
    clear_temporaries(path)
    assert list(tmp_path.iterdir()) == [path]


def test_what_others_write_is_not_cleared(tmp_path: Path) -> None:
    ours, theirs, kept = (tmp_path / name for name in (".[a].pt.x1.partial", ".a.pt.x1.partial", "[a].pt"))
    for file in (ours, theirs, kept):
        file.touch()
    clear_temporaries(kept)
    assert set(tmp_path.iterdir()) == {theirs, kept}


@pytest.mark.parametrize("error", [errno.EIO, errno.EEXIST, errno.ETIMEDOUT])
def test_a_link_made_but_reported_as_failed_counts(error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system repeats a call whose answer was lost, and the second one finds the link there."""
    link = os.link

    def link_and_fail(source: Path, target: Path) -> None:
        link(source, target)
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", link_and_fail)
    assert publish_first(tmp_path / "record.json", "first")
    assert (tmp_path / "record.json").read_text() == "first"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"), atomic_write(tmp_path / "file" / "x.json"):
        pass


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files lie; the environment names no cache."""
    for name in ("SSL_BENCH_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def no_home(name: str) -> str:
    raise RuntimeError("could not determine the home directory")


@pytest.mark.skipif(sys.platform == "darwin", reason="the cache lies elsewhere there")
def test_the_cache_lies_in_the_home_where_there_is_one(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(temporary / "home"))
    assert cache_root() == temporary / "home" / ".cache" / "ssl-bench"
    assert list(temporary.iterdir()) == []
    monkeypatch.setenv("SSL_BENCH_CACHE", "elsewhere")
    assert cache_root() == Path("elsewhere")


@pytest.mark.parametrize("home", ["none", "none, as older libraries say it", "not to be written"])
def test_a_user_without_a_home_has_a_cache_among_the_temporary_files(
    home: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home == "not to be written":
        monkeypatch.setenv("HOME", str(temporary))
        monkeypatch.setattr(files.os, "access", lambda path, mode: False)
    else:
        monkeypatch.setattr(
            files.platformdirs, "user_cache_dir", no_home if home == "none" else lambda name: f"~/.cache/{name}"
        )
    own = temporary / f"ssl-bench-{os.getuid()}"
    assert cache_root() == cache_root() == own
    assert own.stat().st_mode & 0o777 == 0o700


def test_somebody_elses_folder_is_no_cache(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.platformdirs, "user_cache_dir", no_home)
    (temporary / "theirs").mkdir()
    (temporary / f"ssl-bench-{os.getuid()}").symlink_to(temporary / "theirs")
    with pytest.raises(UserError, match="belongs to somebody else; name a cache folder with SSL_BENCH_CACHE"):
        cache_root()
