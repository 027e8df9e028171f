"""Names of data sets are told apart and known again, as their sources write them."""

from __future__ import annotations

import pytest

from ssl_bench.weights.trained_on import known_as, trained_on_task

MSD = "nnunet-Dataset004_Hippocampus"


@pytest.mark.parametrize(
    ("declared", "task", "real", "answer"),
    [
        ((), "shc", True, "unknown"),
        (("MM-WHS",), "shc", True, "yes"),
        (("MMWHS 2017",), "shc", True, "yes"),
        (("WHS++",), "shc", True, "yes"),
        (("ASOCA", "LUNA16"), "shc", True, "no"),
        (("asoca",), "sac", True, "yes"),
        (("someone/CANDI",), "sbm", True, "yes"),
        (("Candidates of something",), "ccc", True, "no"),
        (("STOIC2021",), "ccc", True, "yes"),
        (("MM-WHS",), "shc", False, "no"),
        (("Task04_Hippocampus",), MSD, True, "yes"),
        (("Medical Segmentation Decathlon",), MSD, True, "yes"),
        (("MSD",), MSD, True, "yes"),
        (("MSD Heart",), MSD, True, "no"),
        (("Dataset745_OpenMind",), MSD, True, "no"),
        (("MIC-DKFZ/OpenMind",), "folder-OpenMind", True, "yes"),
        (("Our Livers",), "folder-our_livers", True, "yes"),
        (("",), "folder-our_livers", True, "no"),
    ],
)
def test_a_source_is_compared_with_the_data_of_a_task(
    declared: tuple[str, ...], task: str, real: bool, answer: str
) -> None:
    assert trained_on_task(declared, task, real) == answer


def test_no_data_set_is_known_as_two() -> None:
    from ssl_bench.weights.trained_on import ALIASES

    for name, aliases in ALIASES.items():
        for alias in (name, *aliases):
            assert known_as(alias) == {name}, alias
