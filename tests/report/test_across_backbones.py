"""No table mixes backbones, and ranks on two of them are compared over what both have, by the same draws."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from ssl_bench.report.across_backbones import AcrossBackbones, across_backbones
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.page import write_html
from ssl_bench.report.results import read_results
from ssl_bench.report.table import tables_of
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.specification import ExternalBackbone
from ssl_bench.store.store import Store

from .test_comparison import keep

METHODS = ("scratch", "gvsl", "simclr", "byol")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def fill(store: Store, backbone: str, means: dict[str, float], seeds: int = 3, noise: int = 0) -> None:
    """Rows with these means on two tasks; cases vary by `noise`, a seed, far more than the means."""
    generator = np.random.default_rng(noise)
    for task in ("shc", "sbm"):
        for method, mean in means.items():
            for seed in range(seeds):
                scores = mean + 0.1 * generator.normal(size=12)
                overrides = () if backbone == "unet3d" else (f"backbone={backbone}",)
                keep(store, method, scores.tolist(), seed, task, *overrides, score=float(scores.mean()))


def found(store: Store) -> AcrossBackbones:
    (one,) = across_backbones(tables_of(read_results(store)))
    return one


def test_no_table_mixes_backbones_not_even_of_files_in_one_setting(store: Store) -> None:
    fill(store, "unet3d", dict.fromkeys(METHODS, 0.5), seeds=1)
    fill(store, "resenc", dict.fromkeys(METHODS, 0.5), seeds=1)
    record = next(iter(store.evaluations()))
    other = ExternalBackbone(name="genesis", sha256="0" * 64, width=64, network="models_genesis")
    spec = record.spec.model_copy(update={"backbone": other})
    cell = Cell(kind="evaluation", spec=spec, setting=record.setting, backbone_file=Path("genesis.pt"))
    store.publish(cell, record.model_copy(update={"spec": spec, "key": spec.key}))
    tables = tables_of(read_results(store))
    assert sorted(table.network for table in tables) == ["models_genesis", "resenc", "unet3d"]
    for table in tables:
        assert set(table.cells["network"]) == {table.network}
        assert len(table.rows) == (1 if table.network == "models_genesis" else 4)


def test_ranks_are_among_the_methods_and_over_the_columns_that_all_backbones_have(store: Store) -> None:
    fill(store, "unet3d", {"scratch": 0.1, "gvsl": 0.9, "simclr": 5.0, "byol": 9.0})
    fill(store, "resenc", {"scratch": 0.1, "simclr": 5.0, "gvsl": 9.0})
    keep(store, "gvsl", [0.0] * 12, 0, "sac", "backbone=resenc")  # A column of one backbone alone is left out.
    one = found(store)
    assert [table.network for table in one.tables] == ["unet3d", "resenc"]
    assert [column[0] for column in one.columns] == ["sbm", "shc"]
    by_row = {row.label: [ranks.values[place] for ranks in one.ranks] for place, row in enumerate(one.rows)}
    assert by_row == {"scratch": [3, 3], "gvsl": [2, 1], "simclr": [1, 2]}


def test_the_agreement_is_kendalls_tau_by_counting_pairs(store: Store) -> None:
    fill(store, "unet3d", {"scratch": 1, "gvsl": 2, "simclr": 3, "byol": 4})
    fill(store, "resenc", {"scratch": 2, "gvsl": 1, "simclr": 4, "byol": 3})
    one = found(store)
    first, second = (ranks.values for ranks in one.ranks)
    signs = [np.sign((first[a] - first[b]) * (second[a] - second[b])) for a, b in combinations(range(4), 2)]
    (agreement,) = one.agreements
    assert agreement.tau == pytest.approx(np.mean(signs)) == pytest.approx(1 / 3)
    assert (agreement.one, agreement.other) == ("unet3d", "resenc")


@pytest.mark.parametrize("seeds", [1, 3])
def test_both_backbones_meet_the_same_draws_of_cases_and_seeds(store: Store, seeds: int) -> None:
    """Where every case has the same score on both, no draw tells them apart, however noisy the ranks are."""
    fill(store, "unet3d", dict.fromkeys(METHODS, 0.5), seeds)
    fill(store, "resenc", dict.fromkeys(METHODS, 0.5), seeds)
    one = found(store)
    assert one.ranks[0].draws.std(1).min() > 0.2
    (agreement,) = one.agreements
    assert (agreement.tau, agreement.low, agreement.high) == (1, 1, 1)


def test_of_unlike_cases_the_interval_is_wide(store: Store) -> None:
    fill(store, "unet3d", dict.fromkeys(METHODS, 0.5))
    fill(store, "resenc", dict.fromkeys(METHODS, 0.5), noise=1)
    (agreement,) = found(store).agreements
    assert agreement.low < agreement.tau < agreement.high
    assert agreement.high - agreement.low > 0.5


def test_tables_that_differ_in_more_are_not_compared(store: Store) -> None:
    fill(store, "unet3d", dict.fromkeys(METHODS, 0.5))
    for method in METHODS:
        keep(store, method, [0.5] * 12, 0, "shc", "backbone=resenc", "pretraining.steps=7")
    assert across_backbones(tables_of(read_results(store))) == []


def test_of_two_methods_there_is_no_correlation(store: Store) -> None:
    for backbone in ("unet3d", "resenc"):
        fill(store, backbone, {"scratch": 0.1, "gvsl": 0.9})
    assert found(store).agreements == []


def test_reports_show_the_ranks_and_how_they_agree(store: Store) -> None:
    fill(store, "unet3d", {"scratch": 1, "gvsl": 2, "simclr": 3})
    fill(store, "resenc", {"scratch": 1, "gvsl": 3, "simclr": 2})
    text, page = write_markdown(store), write_html(store)
    assert "## Preset `quick`, backbone `resenc`\n" in text
    assert "| Paradigm | Method | unet3d | resenc |" in text
    assert "| none | scratch | 3.0 [3.0, 3.0] | 3.0 [3.0, 3.0] |" in text
    assert "| unet3d | resenc | 0.33 [0.33, 0.33] |" in text
    for words in ("Ranks across backbones, preset quick", "How the ranks on two backbones agree", "0.33 [0.33, 0.33]"):
        assert words in page
