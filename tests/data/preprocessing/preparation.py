"""Cases as these tests prepare them."""

from pathlib import Path

from ssl_bench.api.cases import SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.preprocessing.case_folder import PreparedCase
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.prepared import prepare

RULE = LabelRule(values=(500,))
PREPROCESSING = Preprocessing(intensity="ct", region="label", spacing_mm=None, margin_mm=2.0)


def silent(words: str) -> None:
    pass


def prepare_all(
    cases: list[SourceCase], preprocessing: Preprocessing = PREPROCESSING, rule: LabelRule | None = RULE
) -> list[PreparedCase]:
    found, problems = prepare(cases, preprocessing, rule, 1, silent)
    assert not problems
    return found


def folders(cache: Path) -> list[Path]:
    """Everything there, unfinished folders included."""
    return sorted(cache.iterdir()) if cache.exists() else []


def cut_off(folder: Path) -> None:
    with (folder / "image.npy").open("r+b") as file:
        file.truncate(1000)
