"""The page in a real browser: sorting, filters, the switch to differences and the drawer, without leaving the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report.page.conftest import gvsl_cell, written
from tests.report.page.stores import evaluation, keep, thousand_cells

pytestmark = pytest.mark.browser
Visit = Callable[..., Any]


def table(page: Any) -> Any:
    return page.locator(".leaderboard").first


def header(page: Any, place: int) -> Any:
    return table(page).locator("thead th").nth(place)


def column(page: Any, place: int) -> list[str]:
    """The first line of every place of a column, from the top."""
    texts = table(page).locator("tbody tr").locator(f":scope > :nth-child({place + 1})").all_inner_texts()
    return [text.strip().split("\n")[0].strip() for text in texts]


def numbers(page: Any, place: int, name: str) -> list[float]:
    """Of the ranked rows, from the top."""
    cells = table(page).locator(f"tbody td:nth-child({place + 1})[data-{name}]:not([data-unranked])")
    return [float(cell.get_attribute(f"data-{name}")) for cell in cells.all()]


def test_columns_sort_best_first_then_worst_first_then_as_they_were(visit: Visit, page_file: Path) -> None:
    page = visit(page_file)
    before, button = column(page, 0), header(page, 1).get_by_role("button")
    button.click()
    assert header(page, 1).get_attribute("aria-sort") == "descending"
    assert numbers(page, 1, "score") == sorted(numbers(page, 1, "score"), reverse=True)
    button.press("Enter")
    assert header(page, 1).get_attribute("aria-sort") == "ascending"
    assert numbers(page, 1, "score") == sorted(numbers(page, 1, "score"))
    button.click()
    assert header(page, 1).get_attribute("aria-sort") is None
    assert column(page, 0) == before


def test_methods_sort_by_name(visit: Visit, page_file: Path) -> None:
    page = visit(page_file)
    header(page, 0).get_by_role("button").click()
    assert column(page, 0) == ["gvsl", "models_genesis", "scratch", "simclr"]


def test_what_a_column_lacks_stands_last_in_either_order(visit: Visit, page_file: Path) -> None:
    page = visit(page_file)
    (place,) = [place for place in range(1, 5) if "–" in column(page, place)]
    for _ in range(2):
        header(page, place).get_by_role("button").click()
        assert column(page, place)[-1] == "–"


def test_what_is_not_ranked_stands_behind_what_is(visit: Visit, tmp_path: Path) -> None:
    short = evaluation("simclr", score=0.99, cases=evaluation("simclr").cases[:5])
    page = visit(written(keep(tmp_path / "results", evaluation("gvsl"), evaluation("scratch"), short), tmp_path))
    for _ in range(2):
        header(page, 1).get_by_role("button").click()
        assert column(page, 0)[-1] == "simclr"


def test_sorting_follows_the_view(visit: Visit, page_file: Path) -> None:
    page = visit(page_file)
    page.get_by_label("difference to baseline").check()
    header(page, 1).get_by_role("button").click()
    assert numbers(page, 1, "difference") == sorted(numbers(page, 1, "difference"), reverse=True)
    assert column(page, 0)[-1] == "scratch"


@pytest.mark.parametrize(
    ("label", "gone", "kept"),
    [
        ("shc", "th:has-text('SHC')", "th:has-text('SBM')"),
        ("finetune-v2", "th:has-text('finetune-v2')", "th:has-text('linear-v2')"),
        ("geometric", "tr[data-paradigm=geometric]", "tr[data-paradigm=none]"),
        ("semi-real (1 anatomy)", "section.setting", "#failures"),
    ],
)
def test_filters_hide_what_is_of_a_kind(visit: Visit, page_file: Path, label: str, gone: str, kept: str) -> None:
    page = visit(page_file)
    before = page.locator(f"main {gone}:visible").count()
    assert before
    page.get_by_label(label, exact=True).uncheck()
    assert page.locator(f"main {gone}:visible").count() == 0
    assert page.locator(f"main {kept}:visible").count()
    assert label in page.get_by_role("status").inner_text()
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("document.getElementById('status').textContent === ''")
    assert page.locator(f"main {gone}:visible").count() == before


def test_filters_reach_what_was_unfolded_later(visit: Visit, page_file: Path) -> None:
    page = visit(page_file)
    page.get_by_label("shc", exact=True).uncheck()
    page.wait_for_selector("noscript.cells", state="detached")
    assert page.locator("details.place[data-task=shc]:not([hidden])").count() == 0
    assert page.locator("details.place[data-task=sbm]:not([hidden])").count()


def test_a_mean_over_hidden_columns_is_not_shown(visit: Visit, page_file: Path) -> None:
    page = visit(page_file)
    assert page.locator("td.mean:visible").count()
    page.get_by_label("shc", exact=True).uncheck()
    assert page.locator("td.mean:visible").count() == 0


def test_the_view_switches_to_differences_and_back(visit: Visit, page_file: Path) -> None:
    page = visit(page_file)
    place = gvsl_cell(page)
    score = place.inner_text()
    page.get_by_label("difference to baseline").check()
    assert place.inner_text().strip("▲▼ ")[0] in "+-"
    assert "p " in place.inner_text()
    assert "Differences to scratch" in table(page).locator("caption").inner_text()
    page.get_by_label("score", exact=True).check()
    assert place.inner_text() == score


def test_a_drawer_leads_to_its_pre_training_and_to_the_pictures_and_they_lead_back(
    visit: Visit, page_file: Path
) -> None:
    page = visit(page_file)
    gvsl_cell(page).click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_role("link", name="Its pre-training").click()
    assert "gvsl pre-training, seed 0" in drawer.inner_text()
    assert "Training loss" in drawer.inner_text()
    drawer.get_by_role("link", name="To the pictures").click()
    assert not drawer.is_visible()
    assert page.get_by_role("img", name="Two dots.").first.is_visible()
    page.get_by_role("link", name="Back to the table").first.click()
    assert page.url.endswith("#t1")


def test_an_address_with_a_cell_opens_its_drawer(visit: Visit, page_file: Path) -> None:
    page = visit(page_file, f"#t1-{evaluation('gvsl').key}")
    assert "gvsl, SHC linear-v2 DSC" in page.get_by_role("dialog").inner_text()


def test_text_from_records_runs_nothing(visit: Visit, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)></noscript><script>alert(2)</script>"
    record = evaluation("gvsl", policy=hostile, left_out=[hostile], provenance={"commit": hostile, hostile: hostile})
    page = visit(written(keep(tmp_path / "results", record), tmp_path))
    page.wait_for_selector("noscript.cells", state="detached")
    page.locator("button.cell").first.click()
    assert hostile in page.get_by_role("dialog").inner_text()


def test_of_a_thousand_cells_little_is_built_until_it_is_wanted(browser: Any, tmp_path: Path) -> None:
    """What a browser must build before the page can be used; `python -m benchmarks --only page` takes its time."""
    file = written(thousand_cells(tmp_path / "results"), tmp_path)
    counted = "document.querySelectorAll('*').length"
    with browser.new_context() as context:
        page = context.new_page()
        page.add_init_script(f"addEventListener('DOMContentLoaded', () => {{ window.built = {counted}; }})")
        page.goto(file.as_uri())
        page.wait_for_selector("noscript.cells", state="detached")
        assert page.evaluate("window.built") <= 40 * 1000 < page.evaluate(counted)


def test_without_a_baseline_there_is_no_switch_to_differences(visit: Visit, tmp_path: Path) -> None:
    page = visit(written(keep(tmp_path / "results", evaluation("gvsl"), evaluation("simclr")), tmp_path))
    assert page.get_by_label("difference to baseline").is_disabled()
