"""A real browser, what it opens, and what it must never do."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ssl_bench.report.page import write_html
from ssl_bench.report.pictures import Picture
from ssl_bench.store.store import Store
from tests.report.page.reading import Element, read
from tests.report.page.stores import evaluation, keep, planner, pretraining

PICTURE = Picture("dots", "Dots", "How to read them.", "Two dots.", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg")
METHODS = ("scratch", "models_genesis", "simclr", "gvsl")
REFERENCE = Store(Path(__file__).parents[3] / "results" / "reference" / "quick")


def write(store: Store, **options: Any) -> str:
    """The page without pictures, which take long to draw; `options` may bring others."""
    return write_html(store, **{"pictures": lambda *_: []} | options)


@pytest.fixture(scope="session")
def text() -> str:
    """The page of the reference, with published numbers."""
    return write(REFERENCE, published=True)


@pytest.fixture(scope="session")
def page(text: str) -> Element:
    return read(text)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("!!!!! NO CHROMIUM: NOTHING OF THE PAGE IS TESTED IN A BROWSER (apt-get install chromium) !!!!!")
    missing = "!!!!! NO PLAYWRIGHT: NOTHING OF THE PAGE IS TESTED IN A BROWSER (pip install -e '.[browser]') !!!!!"
    sync = pytest.importorskip("playwright.sync_api", reason=missing)
    with sync.sync_playwright() as playwright:
        # The sandbox needs rights that a container lacks; the page is our own.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, which examines a page for barriers."""
    folder, npm = tmp_path_factory.mktemp("axe"), shutil.which("npm")
    if npm is None or subprocess.run([npm, "pack", "axe-core@4"], cwd=folder, capture_output=True).returncode:
        pytest.skip("!!!!! NO AXE-CORE FROM NPM: THE PAGE'S ACCESSIBILITY IS NOT TESTED !!!!!")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two settings; four methods, two tasks and two protocols, a row that lacks a cell, a failure, a picture."""
    folder = tmp_path_factory.mktemp("page")
    places = [(m, t, p) for m in METHODS for t in ("shc", "sbm") for p in ("linear", "finetune")]
    records = [evaluation(m, t, 0, p) for m, t, p in places if (m, t, p) != ("simclr", "sbm", "finetune")]
    records.append(evaluation("gvsl", "ccc", status="failed", reason="CUDA out of memory"))
    records.append(evaluation("gvsl", plan=planner("protocols.linear.steps=7")))
    return written(keep(folder / "results", *records, *(pretraining(method) for method in METHODS[1:])), folder)


def written(store: Store, folder: Path) -> Path:
    """The page of `store` as a file in `folder`."""
    path = folder / "leaderboard.html"
    path.write_text(write_html(store, published=True, pictures=lambda *_: [PICTURE]), "utf-8")
    return path


def gvsl_cell(page: Any) -> Any:
    """What opens the drawer of `evaluation("gvsl")`."""
    row = page.locator(".leaderboard").first.locator("tr", has=page.get_by_text("gvsl", exact=True))
    return row.locator("td[data-task=shc][data-protocol=linear-v2] .cell")


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a file as a page of its own; no page may say anything on the console or ask for anything but itself."""
    contexts: list[Any] = []
    said: list[str] = []
    asked: list[tuple[str, Path]] = []

    def visit(file: Path, fragment: str = "", width: int = 1280, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append((request.url.partition("#")[0], file)))
        page.goto(f"{file.as_uri()}{fragment}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url, file in asked if url != file.as_uri() and not url.startswith("data:")] == []
