"""A small hub on this machine: as much of the protocol of huggingface_hub as weights need to come and to go."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

LARGEST = 64 << 20
"""Bytes of an upload that are taken."""


@dataclass
class Repository:
    """Files by commit, and commits by the names of branches."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    private: bool = False
    stated_hash: str = ""
    """What the hub says of every file's SHA-256, instead of the truth."""
    cut_to: int | None = None
    """So many bytes of a file of weights are sent, and then the connection ends."""

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Keep `files` as the branch's newest commit; its name."""
        name = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits[name] = files
        self.branches[branch] = name
        return name


class ServedHub:
    """Repositories by ``ORG/NAME``, what was asked for, and where it is served."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: list[str] = []
        self.url = ""

    def put(self, name: str, files: dict[str, bytes]) -> str:
        """A repository with one commit; its name."""
        self.repositories.setdefault(name, Repository())
        return self.repositories[name].commit(files)


class _Handler(BaseHTTPRequestHandler):
    hub: ServedHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *unused: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"] and len(parts) >= 4:
            self._info("/".join(parts[2:4]), "/".join(parts[5:]) if parts[4:5] == ["revision"] else "main")
        elif len(parts) >= 5 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._answer(404, b"")

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        self.hub.asked.append(f"POST {path}")
        body = self.rfile.read(min(int(self.headers["Content-Length"]), LARGEST))
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
            self.hub.repositories.setdefault(name, Repository()).branches.setdefault("main", "0" * 40)
            self._json({"url": f"{self.hub.url}/{name}", "id": name})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif parts[4:5] == ["preupload"]:
            files = json.loads(body)["files"]
            taken = {"uploadMode": "regular", "shouldIgnore": False}
            self._json({"files": [{"path": one["path"], **taken} for one in files]})
        elif parts[4:5] == ["commit"]:
            lines = [json.loads(line) for line in body.decode().splitlines()]
            repository = self.hub.repositories["/".join(parts[2:4])]
            files = dict(repository.commits.get(repository.branches.get("main", ""), {}))
            for line in lines:
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            made = repository.commit(files)
            url = f"{self.hub.url}/{'/'.join(parts[2:4])}/commit/{made}"
            self._json({"commitUrl": url, "commitOid": made, "success": True})
        else:
            self._answer(404, b"")

    def _found(self, name: str, revision: str) -> dict[str, bytes] | None:
        """The files at a revision; None after an answer that says what is wrong."""
        repository = self.hub.repositories.get(name)
        if repository is None or repository.private:
            self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})
            return None
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return None
        return repository.commits[commit]

    def _info(self, name: str, revision: str) -> None:
        files = self._found(name, revision)
        if files is None:
            return
        repository = self.hub.repositories[name]
        siblings = []
        for path, content in files.items():
            sha256 = repository.stated_hash or hashlib.sha256(content).hexdigest()
            large = {"lfs": {"sha256": sha256, "size": len(content), "pointerSize": 1}}
            siblings.append({"rfilename": path, "size": len(content)} | large)
        sha = repository.branches.get(revision, revision)
        self._json({"id": name, "modelId": name, "sha": sha, "siblings": siblings, "tags": [], "private": False})

    def _file(self, name: str, revision: str, path: str) -> None:
        files = self._found(name, revision)
        if files is None:
            return
        if path not in files:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": revision})
            return
        repository, content = self.hub.repositories[name], files[path]
        tag = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": repository.branches.get(revision, revision)}
        cut = repository.cut_to if path != "README.md" else None
        self._answer(200, content, headers, cut)

    def _json(self, content: object) -> None:
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _answer(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content if cut is None else content[:cut])
        if cut is not None:
            self.close_connection = True


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port of this machine while the block runs; the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHub]:
    """A hub of this test alone, with a cache of its own and nobody's token."""
    from huggingface_hub import constants

    served = ServedHub()
    with serving(type("Handler", (_Handler,), {"hub": served})) as served.url:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.setenv("HF_TOKEN", "")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        yield served
