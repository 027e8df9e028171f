"""Which cells ``--snapshots`` and ``--shifts`` make of others, and which keys they leave alone."""

from __future__ import annotations

import itertools

import pytest

from ssl_bench.errors import UserError
from ssl_bench.planning.graph import with_pretrainings
from ssl_bench.planning.planner import Planner
from ssl_bench.planning.shifting import under_shifts
from ssl_bench.planning.snapshots import MOST, along_snapshots, snapshot_steps
from ssl_bench.spec.cell import Cell


@pytest.mark.parametrize(("count", "steps"), [(8, 8), (8, 10), (8, 400), (8, 20000), (2, 2), (5, 7), (64, 100), (1, 9)])
def test_steps_are_different_ascend_and_end_at_the_end(count: int, steps: int) -> None:
    found = snapshot_steps(count, steps)
    assert len(set(found)) == count
    assert found == sorted(found)
    assert found[-1] == steps
    assert found[0] == (1 if count > 1 else steps)


def test_steps_are_log_spaced_where_there_is_room() -> None:
    assert snapshot_steps(5, 10000) == [1, 10, 100, 1000, 10000]
    ratios = [more / less for less, more in itertools.pairwise(snapshot_steps(8, 10**7))]
    assert max(ratios[1:]) / min(ratios[1:]) < 1.01


@pytest.mark.parametrize(("count", "steps"), [(0, 4), (-1, 4), (5, 4), (MOST + 1, 1000)])
def test_a_number_that_no_pretraining_gives_is_refused(count: int, steps: int) -> None:
    with pytest.raises(UserError, match=f"--snapshots {count}: use at least 1 and at most"):
        snapshot_steps(count, steps)


def test_the_end_keeps_its_key_and_all_rest_on_one_pretraining(planner: Planner) -> None:
    plain = [planner.evaluation(method, "shc", "linear", 0) for method in ("scratch", "denoising")]
    cells = along_snapshots(plain, 3)
    assert [cell.evaluation.snapshot for cell in cells] == [None, 1, 2, None]
    assert [cells[0].key, cells[-1].key] == [cell.key for cell in plain]
    assert len({cell.key for cell in cells}) == 4
    assert cells[1].title == "denoising shc linear-v2, seed 0, snapshot at step 1"
    pretrainings = [cell for cell in with_pretrainings(cells) if cell.kind == "pretraining"]
    assert len(pretrainings) == 1
    assert pretrainings[0].snapshots == (1, 2)
    assert plain[1].pretraining is not None
    assert pretrainings[0].key == plain[1].pretraining.key
    assert all(Cell.model_validate_json(cell.model_dump_json()) == cell for cell in cells)


def test_snapshots_of_nothing_are_refused(planner: Planner) -> None:
    scratch = [planner.evaluation("scratch", "shc", "linear", 0)]
    assert along_snapshots(scratch, None) == scratch
    with pytest.raises(UserError, match="pre-trains; leave it out"):
        along_snapshots(scratch, 3)


def test_shifts_are_part_of_a_key_only_where_they_are_asked_for(planner: Planner) -> None:
    cells = along_snapshots([planner.evaluation("denoising", "shc", "linear", 0)], 3)
    assert under_shifts(cells, ()) == (cells, [])
    (one, left), (more, _) = (under_shifts(cells, shifts) for shifts in (("noise-v1",), ("noise-v1", "rotation-v1")))
    assert left == ["snapshots are read without shifts"]
    assert [cell.key for cell in one[:2]] == [cell.key for cell in cells[:2]]
    assert len({cells[2].key, one[2].key, more[2].key}) == 3
    assert one[2].pretraining == cells[2].pretraining
