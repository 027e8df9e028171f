"""A hook of mkdocs: the site has the repository's layout, so that a link between files means the same in both."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

START = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md")
"""Pages that are there whether another links to them or not."""
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Instead of docs/ alone: the first pages and every file of the repository that a page links to."""
    root = Path(config.config_file_path).parent
    waiting = [path for pattern in START for path in sorted(root.glob(pattern))]
    found: dict[Path, File] = {}
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = File.generated(config, path.relative_to(root).as_posix(), abs_src_path=str(path))
        if path.suffix == ".md":
            linked = [(path.parent / link).resolve() for link in LINK.findall(path.read_text("utf-8"))]
            waiting += [each for each in linked if each.is_file() and each.is_relative_to(root)]
    theme = [file for file in files if not Path(file.abs_src_path or "").is_relative_to(root / "docs")]
    return Files([*theme, *found.values()])
