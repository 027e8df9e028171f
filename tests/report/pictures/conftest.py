"""A small table whose every number is chosen, and the figures that pictures are drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssl_bench.api.settings import load_preset
from ssl_bench.planning.planner import Planner
from ssl_bench.report.pictures import style
from ssl_bench.report.table import Row, Table
from ssl_bench.spec.record import AnyRecord, EvaluationRecord
from ssl_bench.store.example_file import Examples, LocalFeatures, PretextExample, SegmentedSlice
from tests.report.made_up import detailed_table

PARADIGMS = {"scratch": "none", "gvsl": "geometric", "simsiam": "centroid-relative", "byol": "centroid-relative"}
CURVES = {"scratch": (0.2, 0.4, 0.6), "gvsl": (0.5, 0.7, 0.65), "simsiam": (0.1, 0.2, 0.3), "byol": (0.1, 0.6, 0.7)}
PLANNER = Planner(load_preset("quick"), [], "float32")


def record(
    method: str,
    task: str,
    protocol: str,
    dsc: tuple[float | None, ...],
    seed: int = 0,
    fraction: float = 1.0,
    **more: Any,
) -> EvaluationRecord:
    """A cell that scored `dsc` on its cases: per class and on average alike."""
    spec = PLANNER.evaluation(method, task, protocol, seed).spec
    spec = spec.model_copy(update={"data": spec.data.model_copy(update={"label_fraction": fraction})})
    frozen = [] if protocol == "finetune" else ["inc"]
    common = {
        "key": spec.key,
        "status": "ok",
        "setting": PLANNER.evaluation(method, task, protocol, seed).setting,
    }
    modules = {"pretrained": [], "random": [], "frozen": frozen, "decoder": "", "tensors_matched": 0,
               "tensors_missing": 0, "tensors_left_over": 0}  # fmt: skip
    cases = [{"case": f"test-{i}", "dsc": d, "dsc_per_class": {"myocardium": d, "left atrium": d and d / 2}}
             for i, d in enumerate(dsc)]  # fmt: skip
    curve = [{"step": 10.0 * (i + 1), "score": s, "loss": 1.0} for i, s in enumerate(CURVES[method])]
    defined = [value for value in dsc if value is not None]
    values = common | {
        "data": "semi-real (1 anatomy)", "provenance": {}, "spec": spec, "paradigm": PARADIGMS[method],
        "score": float(np.mean(defined)) if defined else None, "cases": cases, "validation_curve": curve,
        "modules": modules, "health": {"feature_std": 0.002, "effective_rank": 5.0}, "cost": {"device_seconds": 360.0},
    }  # fmt: skip
    return EvaluationRecord.model_validate(values | more)


RECORDS = [
    *(
        record(method, "shc", protocol, dsc, seed)
        for protocol in ("linear", "finetune")
        for method, dsc in {
            "scratch": (0.1, 0.3),
            "gvsl": (0.5, 0.7),
            "simsiam": (0.3, 0.6),
            "byol": (0.2, 0.4),
        }.items()
        for seed in (0, 1)
    ),
    *(record(method, "shc", "linear", (0.1, 0.2), fraction=0.1) for method in ("scratch", "gvsl")),
]


def only_table(records: Sequence[AnyRecord]) -> Table:
    return detailed_table(*records)


@pytest.fixture(scope="session")
def table() -> Table:
    return only_table(RECORDS)


SCRATCH, GVSL = Row("none", "scratch", ""), Row("geometric", "gvsl", "")


@pytest.fixture(scope="session")
def examples(table: Table) -> dict[str, Examples]:
    """Kept examples of every evaluation and pre-training of `table`."""
    generator = np.random.default_rng(0)
    grey = generator.integers(0, 256, (12, 10), dtype=np.uint8)
    truth = np.zeros((12, 10), np.uint8)
    truth[3:6, 2:5] = 1
    slices = tuple(SegmentedSlice(place, f"test-{place}", dsc, grey, truth, np.roll(truth, 1), (1.0, 1.0))
                   for place, dsc in (("worst", 0.1), ("median", 0.4), ("best", 0.8)))  # fmt: skip
    vectors = generator.normal(size=(40, 4)).astype(np.float16)
    colours = generator.integers(0, 256, (12, 10, 3), dtype=np.uint8)
    features = LocalFeatures(grey, colours, vectors, np.arange(40, dtype=np.uint8) % 3)
    pretext = PretextExample(("A", "B"), np.stack([grey, grey]), np.ones((2, 12, 10), np.float16))
    return {
        key: Examples(slices, features, pretext)
        for found in RECORDS
        for key in (found.key, found.spec.backbone.key)  # type: ignore[arg-type]
    }


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """Figures instead of bytes: every one that would have been saved."""
    saved: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: saved.append(figure))
    with style.drawing():
        yield saved


def titled(figure: Figure, title: str) -> Axes:
    """The panel whose title starts with `title`."""
    return next(axes for axes in figure.axes if axes.get_title().startswith(title))


def points(axes: Axes, marker: str) -> list[tuple[float, float]]:
    """Single points drawn with `marker`."""
    lines = [line for line in axes.lines if line.get_marker() == marker and len(line.get_xdata()) == 1]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines]
