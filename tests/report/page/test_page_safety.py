"""The page runs nothing that records hold, asks nobody for anything, and stays small."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from ssl_bench.report.page import rendering
from ssl_bench.report.pictures import Picture
from ssl_bench.report.table import Table
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from tests.report.made_up import StoreOf
from tests.report.page.conftest import write
from tests.report.page.reading import Element, read
from tests.report.page.stores import evaluation, keep, pretraining, thousand_cells


def test_nothing_is_loaded_from_anywhere(text: str, page: Element) -> None:
    assert "http://" not in text
    assert "https://" not in text
    for element in page.find():
        for name in ("src", "srcset", "href", "action", "data", "poster"):
            assert element.attributes.get(name, "#").startswith(("#", "data:"))
    (style,), (script,) = page.find("style"), page.find("script")
    assert "@import" not in style.text
    assert "url(" not in style.text
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|WebSocket|EventSource|sendBeacon)\b", script.text)


def test_the_policy_forbids_all_but_the_pages_own_style_and_script(text: str, page: Element) -> None:
    (policy,) = page.find("meta", http_equiv="Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.attributes["content"].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for rule, tag in (("style-src", "style"), ("script-src", "script")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)></noscript></style>{{ 7 * 7 }}"


def hostile_record() -> EvaluationRecord:
    record = evaluation("gvsl", licence=HOSTILE, policy=HOSTILE, left_out=[HOSTILE], overlap=[HOSTILE], data=HOSTILE)
    backbone = record.spec.backbone.model_copy(update={"method": HOSTILE, "options": {HOSTILE: HOSTILE}})
    return record.model_copy(
        update={
            "spec": record.spec.model_copy(update={"backbone": backbone, "task": HOSTILE, "protocol": HOSTILE}),
            "paradigm": HOSTILE,
            "provenance": {HOSTILE: {HOSTILE: HOSTILE}, "commit": HOSTILE, "created": HOSTILE},
            "cases": [
                {"case": HOSTILE, "dsc": 0.5, "dsc_per_class": {HOSTILE: 0.5, "b": 0.1}},
                {"case": "b", "dsc": 0.1},
            ],
            "setting": record.setting.model_copy(update={"overrides": [HOSTILE], "preset": HOSTILE}),
            "health": {HOSTILE: 1.0},
            "cost": {HOSTILE: 1.0},
            "key": HOSTILE,
        }
    )


def hostile_store(folder: Path) -> Store:
    """Holds what no file can be named after."""
    held_out = [{"step": 1.0, HOSTILE: 1.0}, {"step": 2.0, HOSTILE: 0.5}]
    made, record = pretraining("gvsl"), hostile_record()
    spec = made.spec.model_copy(update={"method": HOSTILE})
    made = made.model_copy(update={"setting": record.setting, "held_out_curve": held_out, "spec": spec})
    failed = record.model_copy(update={"status": "failed", "reason": "\ud800" + HOSTILE})
    return StoreOf(made, record, failed=[failed], folder=folder)


def test_text_from_records_stays_text(tmp_path: Path) -> None:
    picture = Picture("p", HOSTILE, HOSTILE, HOSTILE, b"<svg/>", "svg")
    page = read(write(hostile_store(tmp_path), pictures=lambda *_: [picture]))
    assert len(page.find("script")) == 1
    assert len(page.find("style")) == 1
    assert {element.attributes["src"][:26] for element in page.find("img")} == {"data:image/svg+xml;base64,"}
    assert not [name for element in page.find() for name in element.attributes if name.startswith("on")]
    for place in ("thead", "tbody", "summary", "dd", "dt", "figcaption", "h2", "h5", "label", "code"):
        assert any(HOSTILE in element.text for element in page.find(place)), place
    assert {HOSTILE} == {box.attributes["value"] for box in page.find("input", type="checkbox")}
    assert "49" not in page.find("main")[0].text.replace(HOSTILE, "").split()


def test_pictures_stand_under_their_table_with_what_they_show_in_words(tmp_path: Path) -> None:
    def drawn(table: Table, store: Store, baseline: str) -> list[Picture]:
        return [Picture("scores", "Scores", "How to read it.", "Dots.", b"\x89PNG", "png")]

    page = read(write(keep(tmp_path, evaluation("gvsl")), pictures=drawn))
    (image,) = page.find("img")
    assert base64.b64decode(image.attributes["src"].removeprefix("data:image/png;base64,")) == b"\x89PNG"
    assert image.attributes["alt"] == "Dots."
    assert "How to read it." in page.find("figcaption")[0].text


def test_a_page_gives_up_its_largest_pictures_before_it_grows_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "MOST_BYTES", 150_000)
    sizes = {"a": 30_000, "b": 90_000, "c": 10_000}
    pictures = [Picture(name, name, "", f"Shows {name}.", bytes(size), "png") for name, size in sizes.items()]
    text = write(keep(tmp_path, evaluation("gvsl")), pictures=lambda *_: pictures)
    assert len(text.encode()) < 150_000
    assert [image.attributes["alt"] for image in read(text).find("img")] == ["Shows a.", "Shows c."]
    assert "ssl-bench report --pictures DIR writes it to a file. Shows b." in read(text).text


def test_a_thousand_cells_stay_below_five_megabytes(tmp_path: Path) -> None:
    text = write(thousand_cells(tmp_path))
    assert text.count('class="cell opens') == 1008
    assert len(text.encode()) < 5_000_000
