"""The page for everybody: by keyboard, in light and dark, on paper, on a narrow screen, without JavaScript, by axe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report.page.conftest import gvsl_cell
from tests.report.page.stores import evaluation

pytestmark = pytest.mark.browser
Visit = Callable[..., Any]
KEY = evaluation("gvsl").key


def brightness(page: Any) -> int:
    return int(page.evaluate("getComputedStyle(document.body).backgroundColor").split("(")[1].split(",")[0])


def wait_until_unfolded(page: Any) -> None:
    page.wait_for_selector("noscript.cells", state="detached")


def test_the_drawer_opens_and_closes_by_keyboard_and_gives_the_focus_back(visit: Visit, page_file: Path) -> None:
    page = visit(page_file)
    button = gvsl_cell(page)
    button.focus()
    page.keyboard.press("Enter")
    drawer = page.get_by_role("dialog", name="gvsl, SHC linear-v2 DSC")
    assert drawer.is_visible()
    for _ in range(15):
        page.keyboard.press("Tab")
        # The browser's own controls are one stop of the round, where nothing of the page has the focus.
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    assert not drawer.is_visible()
    assert button.evaluate("button => button === document.activeElement")


def test_the_drawer_says_how_the_cell_came_about(visit: Visit, page_file: Path) -> None:
    page = visit(page_file)
    gvsl_cell(page).click()
    drawer = page.get_by_role("dialog")
    said = drawer.inner_text()
    for words in ("To scratch [95 %]", "Rank", "Validation DSC", "Test cases", "s wall", "commit ca4ab01671a1"):
        assert words in said
    assert f"ssl-bench reproduce {KEY}" in said
    for block, fact in (("Backbone: gvsl", "optimiser.learning_rate"), ("Environment", "versions.torch")):
        drawer.get_by_text(block).click()
        assert fact in drawer.inner_text()
    drawer.get_by_role("button", name="Close").click()
    assert not drawer.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_follows_the_system_until_it_is_chosen(visit: Visit, page_file: Path, scheme: str) -> None:
    page = visit(page_file, color_scheme=scheme)
    assert (brightness(page) > 128) == (scheme == "light")
    for name, bright in (("automatic", False), ("dark", True)):
        page.get_by_role("button", name=f"Theme: {name}").click()
        assert (brightness(page) > 128) == bright


def test_the_theme_is_remembered(browser: Any, page_file: Path) -> None:
    # Over an address: Chromium itself loses one in a hundred of the things that a local file asks it to remember.
    address = "https://leaderboard.test/"
    with browser.new_context(color_scheme="light") as context:
        page = context.new_page()
        page.route(address, lambda route: route.fulfill(path=page_file, content_type="text/html"))
        page.goto(address)
        page.get_by_role("button", name="Theme: automatic").click()
        page.reload()
        assert page.get_by_role("button", name="Theme: dark").is_visible()
        assert brightness(page) < 128


def test_print_shows_everything_and_no_controls(visit: Visit, page_file: Path) -> None:
    page = visit(page_file, color_scheme="dark")
    wait_until_unfolded(page)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("#controls:visible, #theme:visible, nav:visible, dialog:visible").count() == 0
    hidden = """[...document.querySelectorAll("main dd, main tbody td, main svg")].filter((element) =>
        !element.checkVisibility({ contentVisibilityAuto: true }) || element.getBoundingClientRect().height === 0)"""
    assert page.evaluate(f"{hidden}.length") == 0
    assert brightness(page) == 255
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every((e) => e.scrollHeight <= e.clientHeight + 1)")


def test_without_javascript_a_cell_leads_to_its_details(visit: Visit, page_file: Path) -> None:
    page = visit(page_file, java_script_enabled=False)
    assert not page.locator("#controls").is_visible()
    gvsl_cell(page).click()
    assert page.url.endswith(f"#t1-{KEY}")
    details = page.locator(f"#t1-{KEY}")
    details.wait_for(state="visible", timeout=5000)
    assert details.locator(".command code").text_content() == f"ssl-bench reproduce {KEY}"
    assert details.locator("svg").first.is_visible()


def test_a_narrow_screen_scrolls_the_table_and_not_the_page(visit: Visit, page_file: Path) -> None:
    page = visit(page_file, width=400)
    wait_until_unfolded(page)
    page.evaluate("document.querySelectorAll('details').forEach((element) => { element.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    region = page.get_by_role("region", name="Scores").first
    region.evaluate("region => region.scrollTo(300, 0)")
    assert region.evaluate("region => region.scrollLeft") > 0
    assert region.locator("tbody th").first.bounding_box()["x"] < 20
    page.locator(".leaderboard").first.locator("button.cell").first.click()
    assert page.get_by_role("dialog").bounding_box()["width"] <= 400
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 400


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", ["table", "differences", "drawer", "all details"])
def test_axe_finds_no_serious_barrier(visit: Visit, page_file: Path, axe: str, scheme: str, state: str) -> None:
    page = visit(page_file, color_scheme=scheme)
    wait_until_unfolded(page)
    if state == "differences":
        page.get_by_label("difference to baseline").check()
    elif state == "drawer":
        page.locator("button.cell").first.click()
    elif state == "all details":
        page.evaluate("document.querySelectorAll('details').forEach((element) => { element.open = true; })")
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    assert len(found["passes"]) > 15
    grave = [violation for violation in found["violations"] if violation["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:200] for node in v["nodes"][:3]]) for v in grave] == []
