"""What the documentation shows works, and what it links to exists."""

from __future__ import annotations

import pkgutil
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from ssl_bench import __version__
from ssl_bench.api.rng import Draws
from ssl_bench.backbones.unet3d import UNet3D

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("results/**/*.md"), *ROOT.glob("examples/*/*.md")]
)
PATH_IN_TEXT = re.compile(r"`((?:ssl_bench|methods|tasks|tests|results|benchmarks|examples|docs)/[\w./-]*)`")


def test_the_readmes_method_trains() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(code, names)
    method = names["MaskedAutoencoder"](UNet3D(8), names["MaskedAutoencoder"].Config(), 32)
    loss = method.training_step(torch.rand(2, 1, 32, 32, 32), Draws.keyed(0, samples=range(2)))["loss"]
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None for parameter in method.parameters())


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_to_a_heading_lead_to_one(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text("utf-8")):
        headings = re.findall(r"^#+ (.*)$", (page.parent / target if target else page).read_text("utf-8"), re.M)
        assert anchor in map(anchor_of, headings), f"{target}#{anchor}"


def anchor_of(heading: str) -> str:
    """As the site and GitHub make it; several headings of one text are not told apart."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_files_and_modules_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for path in PATH_IN_TEXT.findall(text):
        assert (ROOT / path).exists() or "NAME" in path, path
    for name in re.findall(r"`(ssl_bench(?:\.\w+)+)`", text):
        assert _found(name), name


def _found(name: str) -> bool:
    """Whether `name` is a module, an attribute of one, or a group of entry points."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_every_page_that_another_links_to_is_in_the_sites_navigation() -> None:
    """As the site's hook finds pages: from the first ones along their links."""
    waiting = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + [*ROOT.glob("docs/*.md")]
    found: set[Path] = set()
    while waiting:
        page = waiting.pop().resolve()
        if page not in found:
            found.add(page)
            targets = re.findall(r"\]\(([^)#:]+\.md)(?:#[^)]*)?\)", page.read_text("utf-8"))
            waiting += [page.parent / target for target in targets]
    listed = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M))
    assert {str(page.relative_to(ROOT)) for page in found} == listed


def test_the_readme_has_a_line_for_every_folder_of_the_package() -> None:
    (tree,) = re.findall(r"```text\nmethods/(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    named = re.findall(r"^  (\w+)/ +\S", tree, re.MULTILINE)
    assert sorted(named) == sorted(path.parent.name for path in (ROOT / "ssl_bench").glob("*/__init__.py"))


def test_the_version_is_said_once_and_cited_alike() -> None:
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert cited
    assert cited[1] == declared == __version__
