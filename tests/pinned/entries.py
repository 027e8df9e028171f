"""What is pinned: how its numbers are made, and which version a change of them raises."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ssl_bench.api.registry import BACKBONES, METHODS, PROTOCOLS, TASKS
from ssl_bench.data.generated import CORPUS_VERSION
from ssl_bench.data.synthetic.corpus import CardiacCT
from ssl_bench.spec.specification import NUMERICS_VERSION
from ssl_bench.training.scoring import CENTRELINE_POLICY, POLICIES
from tests.pinned import cells, shared
from tests.pinned.made_up import Numbers

FILE = Path(__file__).with_name("pinned.json")
NUMERICS = "NUMERICS_VERSION in ssl_bench/spec/specification.py"
KERNEL, NETWORK, TRAINED, ROUGH = 2e-5, 2e-4, 2e-3, 2e-2
"""Relative tolerances: of a kernel in float32, of a network and back, of training downstream, of bf16 and noise.

Between instruction sets (SSE4 and AVX-512 were compared) at most half of each is seen.
"""
MEASUREMENTS = ("knn", "match", "register", "retrieval", "transfer")
TOLERANCES = dict.fromkeys(("method deepcluster", "method dense_contrast"), ROUGH) | {
    f"protocol {name}-v1": ROUGH for name in MEASUREMENTS
}
"""Of what takes the nearest: a place or a cluster that two are about as near to may change with the last digit."""


class Entry(NamedTuple):
    """One thing whose numbers are pinned."""

    measure: Callable[[], Numbers]
    version: str
    """The version that its numbers belong to."""
    raised: str
    """What has to be raised when they change, in words."""
    tolerance: float


def entries() -> dict[str, Entry]:
    """Everything that is pinned, by name."""
    found = {name: Entry(measure, str(NUMERICS_VERSION), NUMERICS, tolerance)
             for name, (measure, tolerance) in _shared().items()}  # fmt: skip
    for name in METHODS.names():
        facts = METHODS.load(name).facts
        if facts.pretrains != "nothing":
            raised = f"`version` in the facts of method {name}, or {NUMERICS} if it is code that methods share"
            version = f"{facts.version}, numerics {NUMERICS_VERSION}"
            found[f"method {name}"] = Entry(
                partial(cells.method, name), version, raised, TOLERANCES.get(f"method {name}", NETWORK)
            )
    for name in PROTOCOLS.names():
        bare, _, number = name.rpartition("-v")
        raised = f"a version is kept as it is: make it {bare}-v{int(number) + 1}; or {NUMERICS} if protocols share it"
        version = f"{number}, numerics {NUMERICS_VERSION}"
        tolerance = TOLERANCES.get(f"protocol {name}", TRAINED)
        found[f"protocol {name}"] = Entry(partial(cells.protocol, name), version, raised, tolerance)
    for name in TASKS.names():
        plugin = TASKS.load(name)
        assert plugin.generator is not None
        raised = f"`version` in the facts of task {name}"
        grow = partial(cells.grown, plugin.generator, "train")
        found[f"task {name}"] = Entry(grow, str(plugin.facts.version), raised, KERNEL)
    grow = partial(cells.grown, CardiacCT, "corpus")
    found["corpus"] = Entry(grow, str(CORPUS_VERSION), "CORPUS_VERSION in ssl_bench/data/generated.py", KERNEL)
    policies = "the policy in ssl_bench/training/scoring.py that says how it is scored"
    segmentation, classification = _digest(POLICIES["DSC"] + CENTRELINE_POLICY), _digest(POLICIES["AUC"])
    found["metrics of segmentations"] = Entry(cells.metrics_of_segmentations, segmentation, policies, KERNEL)
    found["metrics of classifications"] = Entry(cells.metrics_of_classifications, classification, policies, KERNEL)
    return found


def _shared() -> dict[str, tuple[Callable[[], Numbers], float]]:
    transforms = ("appearance", "corruption of gvsl", "corruption of models_genesis", "spatial", "views")
    return {
        "kernel group norm": (partial(shared.group_norm, torch.float32), KERNEL),
        "kernel group norm in bf16": (partial(shared.group_norm, torch.bfloat16), ROUGH),
        "kernel convolution": (partial(shared.convolution, 4), KERNEL),
        "kernel convolution of two slices": (partial(shared.convolution, 2), KERNEL),
        "kernel trilinear": (shared.trilinear, KERNEL),
        "warp": (shared.warping, KERNEL),
        **{f"backbone {name}": (partial(shared.backbone, name), NETWORK) for name in BACKBONES.names()},
        "losses": (shared.losses, KERNEL),
        "optimisers": (shared.optimisers, KERNEL),
        **{f"transform {name}": (partial(shared.transforms, name), KERNEL) for name in transforms},
    }


def read_pinned() -> dict[str, dict[str, Any]]:
    """What is kept: a version and values by name."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    return found


def complaint(name: str, entry: Entry, values: Numbers, kept: dict[str, Any] | None) -> str:
    """What is wrong with `values` beside those that are `kept`, and what to do; empty where nothing is."""
    if kept is None:
        return f"{name}: not pinned yet; python -m tests.pinned.write"
    same = len(values) == len(kept["values"]) and all(
        abs(now - before) <= entry.tolerance * max(abs(now), abs(before))
        for now, before in zip(values, kept["values"], strict=True)
    )
    if not same and entry.version == kept["version"]:
        return (
            f"{name}: gives other numbers than version {kept['version']} did: {values} instead of {kept['values']}; "
            f"raise: {entry.raised}; then python -m tests.pinned.write"
        )
    if entry.version != kept["version"]:
        said = "gives other numbers" if not same else "gives the same numbers"
        return (
            f"{name}: is version {entry.version}, pinned is {kept['version']}; it {said}: python -m tests.pinned.write"
        )
    return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
