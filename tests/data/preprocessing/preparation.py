"""Cases as these tests prepare them."""

from pathlib import Path

from ssl_bench.api.cases import SourceCase
from ssl_bench.api.recipe import Recipe
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.prepared import Prepared, prepare

RULE = LabelRule(values=(500,))
RECIPE = Recipe(intensity="ct", region="label", spacing_mm=None, margin_mm=2.0)


def silent(words: str) -> None:
    pass


def prepare_all(cases: list[SourceCase], recipe: Recipe = RECIPE, rule: LabelRule | None = RULE) -> list[Prepared]:
    found, problems = prepare(cases, recipe, rule, 1, silent)
    assert not problems
    return found


def folders(cache: Path) -> list[Path]:
    """Everything there, unfinished folders included."""
    return sorted(cache.iterdir()) if cache.exists() else []


def cut_off(folder: Path) -> None:
    with (folder / "image.npy").open("r+b") as file:
        file.truncate(1000)
