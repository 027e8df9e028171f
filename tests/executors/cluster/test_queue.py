"""The queue, as `squeue` of any release says it."""

from __future__ import annotations

import pytest

from ssl_bench.errors import UserError
from ssl_bench.executors.cluster.queue import USUAL_ARRAY, QueuedJob, largest_array, queued_jobs

from .conftest import Site


def test_jobs_are_read_whatever_a_site_prints_beside_them(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.queue.write_text("Welcome\n  12_3|PENDING|a reason | with a bar\n12_4|RUNNING|None\n13|COMPLETING|\n")
    # They would hide jobs, which then were submitted twice.
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    assert queued_jobs() == {
        "12_3": QueuedJob("12_3", "PENDING", "a reason | with a bar"),
        "12_4": QueuedJob("12_4", "RUNNING", "None"),
        "13": QueuedJob("13", "COMPLETING", ""),
    }


def test_a_queue_that_does_not_answer_is_told(site: Site) -> None:
    (site.commands / "squeue").write_text("#!/bin/bash\necho 'slurm_load_jobs error: Unable to contact' >&2; exit 1\n")
    with pytest.raises(UserError, match="squeue: slurm_load_jobs error: Unable to contact"):
        queued_jobs()


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ("echo 'MaxArraySize            = 1001'", 1001),
        ("echo 'MaxArraySize=5'", 5),
        ("echo 'MaxArraySize = 0'", 1),
        ("echo 'ClusterName = old'", USUAL_ARRAY),
        ("exit 1", USUAL_ARRAY),
    ],
)
def test_the_length_of_arrays_is_the_clusters(said: str, size: int, site: Site) -> None:
    (site.commands / "scontrol").write_text(f"#!/bin/bash\n{said}\n")
    assert largest_array() == size
