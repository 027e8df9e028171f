"""What the documentation shows works, and what it links to exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from ssl_bench.api.rng import Draws
from ssl_bench.backbones.unet3d import UNet3D

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("results/**/*.md")])


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
