"""One file from the internet: checked against its hash by pooch, and resumed where the connection broke.

pooch (https://www.fatiando.org/pooch) begins every try anew. What came stays in a ``.part`` file here, and the rest is
asked for by HTTP's Range (RFC 9110, section 14).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_bench.errors import UserError

if TYPE_CHECKING:
    import requests

    from ssl_bench.data.open_sets.declaration import RemoteFile

Advance = Callable[[int, int | None], None]
"""Gets the bytes that are there and, where the server says it, those of the whole file."""

TRIES = 4
"""Without a byte in between; each waits longer than the one before."""
WAIT_SECONDS = 1.0
_TIMEOUT_SECONDS = 30.0
CHUNK = 2**16
"""In bytes: what a broken connection may lose."""
_NO_SUCH_RANGE = 416


def download(file: RemoteFile, folder: Path, advance: Advance) -> Path:
    """`file` in `folder`, which is not asked for again where it is there and its hash agrees.

    Raises UserError, whose line says what to download by hand, where the server does not give it, and where it gives
    something else than its hash says; then nothing of it is kept. A broken connection leaves the ``.part`` file.
    """
    import pooch
    import requests

    target = folder / file.name
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(file.url, file.hash, file.name, folder, downloader=_Resuming(target, file.hash, advance))
    except requests.RequestException as error:
        raise UserError(
            f"{file.url}: {_reason(error)}; try again (what came is kept), name another server with --mirror URL, or "
            f"download this file by hand, put it at {target} and give the same command"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{file.url}: is not what was published ({file.hash} is its hash); nothing of it was kept: try again, or "
            "another --mirror URL"
        ) from error
    return target


def read_text(url: str, by_hand: str) -> str:
    """What a server answers, for lists of files. Raises UserError, which ends in `by_hand`, where it does not."""
    import requests

    try:
        with requests.get(url, timeout=_TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            return response.text
    except requests.RequestException as error:
        raise UserError(
            f"{url}: {_reason(error)}; try again, name another server with --mirror URL, or {by_hand}"
        ) from error


class _Resuming:
    """What pooch downloads with: into a ``.part`` file beside the target, from where that ends."""

    def __init__(self, target: Path, known_hash: str | None, advance: Advance) -> None:
        self.part = target.with_name(f"{target.name}.part")
        self.version = target.with_name(f"{target.name}.part.etag")
        self.known_hash = known_hash
        self.advance = advance

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Raises requests.RequestException where no byte comes in `TRIES` tries."""
        import requests

        without_a_byte = 0
        while True:
            before = self._have()
            try:
                self._rest(url)
                break
            except requests.RequestException as error:
                without_a_byte = 0 if self._have() > before else without_a_byte + 1
                if without_a_byte == TRIES or _is_final(error):
                    raise
                time.sleep(WAIT_SECONDS * without_a_byte)
        self.version.unlink(missing_ok=True)
        self.part.replace(output_file)

    def _have(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self.part.stat().st_size
        return 0

    def _rest(self, url: str) -> None:
        """Append what is missing, or write everything where the server gives no part or another version."""
        import requests

        have = self._have()
        headers = {"Accept-Encoding": "identity"} | self._range(have)
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
            if response.status_code == _NO_SUCH_RANGE:
                self.part.unlink()
                raise requests.ConnectionError("what an earlier try left is longer than the file")
            response.raise_for_status()
            if response.status_code != requests.codes.partial:
                have = 0
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise requests.ConnectionError("the server gave another part than the one asked for")
            length = response.headers.get("Content-Length")
            whole = have + int(length) if length else None
            self.version.write_text(response.headers.get("ETag", ""), "utf-8")
            with self.part.open("ab" if have else "wb") as written:
                for chunk in response.iter_content(CHUNK):
                    written.write(chunk)
                    have += len(chunk)
                    self.advance(have, whole)
        if whole is not None and have < whole:
            raise requests.ConnectionError(f"ended after {have} of {whole} bytes")

    def _range(self, have: int) -> dict[str, str]:
        """What asks for the rest alone: of the same version, where no hash would tell that it is another one."""
        etag = self.version.read_text("utf-8") if self.version.exists() else ""
        if not have or not (self.known_hash or (etag and not etag.startswith("W/"))):
            return {}
        condition = {} if self.known_hash else {"If-Range": etag}
        return {"Range": f"bytes={have}-"} | condition


def _is_final(error: requests.RequestException) -> bool:
    """Whether a server said that it will not give the file."""
    client_errors = range(400, 500)
    return error.response is not None and error.response.status_code in client_errors


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    broken = "timed out" if "timed out" in str(error) else "cannot be reached, or the connection broke"
    return f"{broken} ({type(error).__name__})"
