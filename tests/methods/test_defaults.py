"""Every method's options and their defaults, as docs/methods.md gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ssl_bench.api.registry import METHODS

AUGMENTATION: dict[str, Any] = {"spatial_augmentation": True, "order": "corrupt_first"}
PAIR: dict[str, Any] = {**AUGMENTATION, "direction": "b_to_a", "initial_std": 0.001, "smoothness_weight": 1.0}
GVSL: dict[str, Any] = {
    **PAIR,
    "composition": "affine_of_deformed",
    "affine": "released",
    "translation_unit": "half_extent",
    "bound": "tanh",
    "detached_affine": False,
    "smoothness_of": "deformation",
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "scratch": {"extra_finetune_steps": 0},
    "denoising": {"sigma": 0.1},
    "inpainting": {"erased": 0.25, "block": 32.0, "fill": "noise"},
    "models_genesis": {},
    "gvsl_no_zmatching": AUGMENTATION,
    "rotation": {},
    "deepcluster": {
        "clusters": 8,
        "period": 40,
        "windows_per_volume": 2,
        "components": 32,
        "iterations": 20,
        "largest_share": 4.0,
        "head_learning_rate": 0.05,
    },
    "simsiam": {"hidden": 512, "output": 128, "bottleneck": 64},
    "byol": {"hidden": 1024, "output": 256, "momentum": 0.996, "start_left": 0.01},
    "simclr": {"temperature": 0.5, "hidden": 512, "output": 128},
    "mae": {"hidden": 0.75, "patch": 16.0, "normalised": False},
    "spark": {"hidden": 0.6, "normalised": True},
    "simmim": {"hidden": 0.6},
    "volume_fusion": {"levels": 5},
    "voco": {"crops": 4, "regularisation": 1.0, "momentum": 0.9, "hidden": 512, "output": 128},
    "swin_pretext": {
        "cut_out": 0.3,
        "block": 32.0,
        "temperature": 0.5,
        "embedding": 512,
        "inpainting_weight": 1.0,
        "contrast_weight": 1.0,
        "rotation_weight": 1.0,
    },
    "moco": {
        "variant": "v2",
        "temperature": 0.2,
        "queue": 4096,
        "hidden": 512,
        "output": 128,
        "momentum": None,
        "start_left": 0.01,
    },
    "dense_contrast": {
        "temperature": 0.2,
        "dense_share": 0.5,
        "semantic_weight": 0.5,
        "clusters": 8,
        "queue": 4096,
        "hidden": 512,
        "output": 128,
        "momentum": 0.999,
        "start_left": 0.01,
    },
    "barlow_twins": {"redundancy_weight": 0.005, "hidden": 512, "output": 128},
    "vicreg": {
        "invariance_weight": 25.0,
        "variance_weight": 25.0,
        "covariance_weight": 1.0,
        "hidden": 512,
        "output": 128,
    },
    "dino": {
        "student_temperature": 0.1,
        "teacher_temperature": 0.04,
        "centre_momentum": 0.9,
        "small_views": 6,
        "hidden": 512,
        "bottleneck": 64,
        "output": 2048,
        "momentum": 0.996,
        "start_left": 0.01,
    },
    "gvsl_no_fundament": GVSL,
    "gvsl_no_affine": PAIR,
    "gvsl": GVSL,
}

EVERY_METHODS = (
    "learning_rate", "warmup_share", "weight_decay", "optimiser", "batch",
    "finetune_learning_rate", "finetune_warmup_share", "finetune_weight_decay",
)  # fmt: skip
"""Unless they are given, the preset decides."""


@pytest.mark.parametrize("name", METHODS.names())
def test_options_and_their_defaults(name: str) -> None:
    assert METHODS.load(name).Config().model_dump() == dict.fromkeys(EVERY_METHODS) | DEFAULTS[name]


@pytest.mark.parametrize(("option", "default"), GVSL.items())
def test_the_document_gives_gvsls_default_first(option: str, default: object) -> None:
    text = (Path(__file__).parents[2] / "docs" / "methods.md").read_text("utf-8")
    word = str(default).lower() if isinstance(default, bool) else default
    assert f"| `{option}`: `{word}`" in text
