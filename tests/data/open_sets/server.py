"""A server on this machine that gives files whole, in parts, broken off or not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Files by their path, without the first slash and with the query, and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.break_after: list[int] = []
        """Of each of the next answers, after how many bytes the connection breaks; then they are whole."""
        self.parts = True
        """Whether Range is understood."""
        self.asked: list[tuple[str, str]] = []
        """Path and range of every request."""
        self.url = ""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, wanted = self.path.lstrip("/"), self.headers.get("Range", "")
            server.asked.append((path, wanted))
            content = server.files.get(path)
            if content is None:
                self.send_error(404)
                return
            etag = f'"{hashlib.md5(content).hexdigest()}"'
            same = self.headers.get("If-Range", etag) == etag
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.parts and same else 0
            if start >= len(content) > 0:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("ETag", etag)
            self.end_headers()
            most = server.break_after.pop(0) if server.break_after else len(content)
            self.wfile.write(content[start : start + most])

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


@contextmanager
def serving() -> Iterator[Server]:
    """A server in a thread of this process."""
    server = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as listening:
        server.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
