"""The page says what the Markdown says, to whoever reads it."""

from __future__ import annotations

import gc
import re
import shutil
from pathlib import Path

import pytest

from ssl_bench.cli.report import Format, report
from ssl_bench.errors import UserError
from ssl_bench.report.family import Family
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.notes import FAMILIES, METHODS, NETWORKS, SEMI_REAL
from ssl_bench.report.pictures import Picture
from ssl_bench.report.table import Table
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from ssl_bench.training.scoring import POLICIES
from tests.report.page.conftest import REFERENCE, write
from tests.report.page.reading import Element, read, rows
from tests.report.page.stores import evaluation, keep, planner, pretraining


def markdown_tables(markdown: str) -> list[list[list[str]]]:
    """Every table as plain cells, header first."""
    blocks = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    lines = [[line.strip("| \n").split(" | ") for line in block.splitlines()] for block in blocks]
    return [[line for line in block if not set("".join(line)) <= {"-", " "}] for block in lines]


def leaderboard(page: Element) -> list[list[str]]:
    """As the Markdown has it: without ranks, intervals and differences."""
    found = []
    for line in page.find("table", class_="leaderboard")[0].find("tr")[1:]:
        (label,), places, (mean,) = line.find("b"), line.find("td")[:-1], line.find("td", class_="mean")
        found.append([line.attributes["data-paradigm"], label.text, *map(score, places), mean.text])
    return found


def score(place: Element) -> str:
    (number,) = [part for part in place.find(class_="score") if part.tag != "small" and "rank" not in part.text]
    return number.text + "".join(mark.text for mark in place.find("span", role="img"))


def test_the_leaderboard_is_the_markdowns(page: Element) -> None:
    markdown = markdown_tables(write_markdown(REFERENCE))[0]
    assert leaderboard(page) == [[cell.replace("**", "") for cell in line] for line in markdown[1:]]
    (table,) = page.find("table", class_="leaderboard")
    assert rows(table)[0][1:-1] == markdown[0][2:-1]


def test_best_rows_are_bold_as_in_the_markdown(page: Element) -> None:
    bold = [cell.text for cell in page.find("table", class_="leaderboard")[0].find("strong")]
    assert bold == re.findall(r"\*\*([^*]+)\*\*", "".join(str(markdown_tables(write_markdown(REFERENCE))[0])))


def test_every_other_table_is_the_markdowns(page: Element) -> None:
    """Statistics with intervals, ranks and corrected p, paradigms, pre-trainings, published numbers."""
    here = [rows(table) for table in page.find("table", class_="text")]
    there = markdown_tables(write_markdown(REFERENCE, published=True))[1:]
    assert len(here) == 1 + 8 + 1 + 1
    assert here == there


def test_what_was_corrected_and_what_may_be_best_is_said(page: Element) -> None:
    for sentence in re.findall(r"^\*\*.+\*\*: (.+)$", write_markdown(REFERENCE), re.MULTILINE):
        assert sentence in page.text


def test_differences_stand_beside_the_scores(page: Element) -> None:
    """The numbers that JavaScript switches to are those of the statistics."""
    tests = [rows(table)[1:] for table in page.find("table", class_="text")[1:9]]
    for line in page.find("table", class_="leaderboard")[0].find("tr")[1:]:
        method, cells = line.find("b")[0].text, line.find("td")[:-1]
        for cell, lines in zip(cells, tests, strict=True):
            (expected,) = [row for row in lines if row[0] == method]
            shown = " ".join(part.text for part in cell.find(class_="difference"))
            assert shown == ("–" if expected[3] == "–" else f"{expected[3]} p {expected[6]}")
            assert cell.find(class_="rank")[0].text == f"rank {expected[9]}"
            assert f"{cell.find(class_='score')[1].text} {cell.find('small')[0].text}" == expected[1]


def test_every_cell_has_its_key_its_command_and_its_configuration_without_javascript(page: Element) -> None:
    texts = {place.find("code")[0].text: place.text for place in page.find("section", class_="record")}
    for record in REFERENCE.records():
        assert f"ssl-bench reproduce {record.key}" in texts[record.key]
        assert f"{record.cost['wall_seconds']:,.1f} s wall" in texts[record.key]
        assert record.provenance["commit"] in texts[record.key]
        assert "Backbone: " in texts[record.key]


def test_every_number_of_a_configuration_stands_once(page: Element) -> None:
    (block,) = [b for b in page.find("details") if b.find("summary")[0].text == "Backbone: gvsl"]
    facts = dict(zip([t.text for t in block.find("dt")], [d.text for d in block.find("dd")], strict=True))
    assert facts["optimiser.learning_rate"] == "0.001"
    assert facts["corpus.fingerprint"] == "f01c4e36e2290ebd"
    assert facts["steps"] == "370"
    assert page.text.count("f01c4e36e2290ebd") == 5


def test_every_link_leads_somewhere_and_no_id_is_given_twice(page: Element) -> None:
    ids = [element.attributes["id"] for element in page.find() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    links = {element.attributes["href"] for element in page.find("a")}
    assert len(links) > 6 * 8
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_tables_are_named_and_their_headers_scoped(page: Element) -> None:
    for table in page.find("table"):
        assert table.find("caption")[0].text
        assert {header.attributes.get("scope") for header in table.find("thead")[0].find("th")} == {"col"}
        assert all(line.find("th", scope="row") for line in table.find("tbody")[0].find("tr"))


def test_the_semi_real_warning_stands_before_any_number(text: str) -> None:
    assert SEMI_REAL in read(text).text.replace("Semi-real data :", "Semi-real data:")
    assert text.index("1 anatomy).") < text.index("<table")


def test_published_numbers_are_there_only_if_asked_for(page: Element) -> None:
    assert "Published numbers beside measured ones" in page.text
    assert "published" not in write(REFERENCE).lower().partition("<body>")[2]


def test_an_unknown_baseline_is_refused_with_the_rows_there_are() -> None:
    with pytest.raises(UserError, match=r"--baseline nobody: no such row; there is deepcluster, gvsl"):
        write(REFERENCE, baseline="nobody")


def test_another_baseline_is_what_differences_are_to() -> None:
    page = read(write(REFERENCE, baseline="gvsl"))
    assert "Differences to gvsl" in page.find("table", class_="leaderboard")[0].find("caption")[0].text


def test_a_table_without_the_baseline_says_that_nothing_is_compared_with_it(tmp_path: Path, page: Element) -> None:
    said = "The baseline has no cell here, so that nothing is compared with it."
    assert said in read(write(keep(tmp_path, evaluation("gvsl"), evaluation("simclr")))).text
    assert said not in page.text


def test_mean_ranks_sort_from_the_smallest_and_scores_from_the_largest(page: Element) -> None:
    """The script takes the order of sorting from here."""
    heads = page.find("table", class_="leaderboard")[0].find("thead")[0].find("th")
    orders = {head.text: head.attributes.get("data-sort") for head in heads}
    assert orders.pop("Mean rank") == "smallest first"
    assert "smallest first" not in orders.values()
    (paradigms,) = [t for t in page.find("table", class_="text") if "by paradigm" in t.find("caption")[0].text]
    assert paradigms.find("th", data_sort="smallest first")[0].text == "Mean rank"


@pytest.mark.parametrize("family", list(Family))
def test_the_page_says_of_what_and_over_what_its_tests_are(family: Family) -> None:
    page = read(write(REFERENCE, family=family)).text
    assert NETWORKS in page
    assert METHODS not in page
    assert [one in page for one in FAMILIES.values()] == [one == family for one in FAMILIES]


def test_hd95_of_older_records_is_said_to_leave_out_what_was_missed(tmp_path: Path) -> None:
    cases = [{"case": "a", "dsc": 0.5, "hd95_mm_per_class": {"heart": 3.0}}]
    said = "HD95 3.0 mm without the classes that were missed"
    older, newer = evaluation("gvsl", cases=cases), evaluation("gvsl", cases=cases, policy=POLICIES["DSC"])
    assert said in read(write(keep(tmp_path / "older", older))).text
    page = read(write(keep(tmp_path / "newer", newer))).text
    assert "HD95 3.0 mm" in page
    assert said not in page


def test_pictures_are_drawn_to_the_baseline_of_the_page() -> None:
    asked: list[str] = []

    def drawn(table: Table, store: Store, baseline: str) -> list[Picture]:
        asked.append(baseline)
        return []

    write(REFERENCE, baseline="gvsl", pictures=drawn)
    assert asked == ["gvsl"]


def test_no_whole_record_is_held_while_pictures_are_drawn() -> None:
    def whole_records() -> set[int]:
        gc.collect()
        return {id(one) for one in gc.get_objects() if type(one) is EvaluationRecord and one.key in keys and one.cases}

    def look(*_: object) -> list[Picture]:
        assert not whole_records() - before
        return []

    keys = {cell.stem for cell in REFERENCE.folder.glob("records/*/*/*/*.json")}
    before = whole_records()
    assert "HD95" in write(REFERENCE, pictures=look), "said of each record before the rest of it went"


def test_an_incomplete_row_is_shown_and_never_ranked(tmp_path: Path) -> None:
    full = [evaluation("gvsl"), evaluation("gvsl", "sbm"), evaluation("scratch"), evaluation("scratch", "sbm")]
    short = evaluation("simclr", score=0.99, cases=evaluation("simclr").cases[:5])
    page = read(write(keep(tmp_path, *full, short)))
    (line,) = [line for line in page.find("tr") if line.find("b") and line.find("b")[0].text == "simclr"]
    place, lacking = line.find("td")[1], line.find("td")[0]
    assert "incomplete" in line.find("th")[0].text
    assert "99.0" in place.text
    assert "data-unranked" in place.attributes
    assert not place.find(class_="rank")
    assert not place.find("strong")
    assert lacking.text == "–"
    assert line.find("td")[-1].text == "–"
    assert "simclr is not ranked: 5 of 12 cases scored" in page.text


def test_a_control_is_called_so_and_is_no_method(tmp_path: Path) -> None:
    kept = REFERENCE.folder.parent / "every-row" / "records"
    for row in ("scratch", "gvsl", "control-position"):
        shutil.copytree(kept / row / "sbm" / "match-v1", tmp_path / "records" / row / "sbm" / "match-v1")
    page = read(write(Store(tmp_path)))
    marks = {
        line.find("b")[0].text: [tag.text for tag in line.find("span", class_="tag")]
        for line in page.find("table", class_="leaderboard")[0].find("tr")[1:]
    }
    assert marks == {"control:position": ["control"], "scratch": [], "gvsl": []}
    assert "3 cells, 2 methods, 1 control, 1 task, 1 protocol, 1 seed" in page.text
    assert "A control is no method" in page.text
    assert "incomplete" not in page.text


def test_settings_that_differ_never_meet_in_a_table(tmp_path: Path) -> None:
    other = evaluation("scratch", plan=planner("protocols.linear.steps=7"))
    page = read(write(keep(tmp_path, evaluation("gvsl"), other)))
    titles = [heading.text for heading in page.find("h2")]
    assert any("changed by protocols.linear.steps=7" in title for title in titles)
    methods = [[b.text for b in table.find("tbody")[0].find("b")] for table in page.find("table", class_="leaderboard")]
    assert sorted(methods) == [["gvsl"], ["scratch"]]


def test_a_table_that_is_not_ranked_has_no_ranks_and_no_sorting_by_score(tmp_path: Path) -> None:
    plan = planner(preset="smoke")
    page = read(write(keep(tmp_path, evaluation("gvsl", plan=plan), evaluation("scratch", plan=plan))))
    (table,) = page.find("table", class_="leaderboard")
    assert "nothing here is ranked" in page.text
    assert not table.find(class_="rank")
    assert not table.find("strong")
    assert [h.text.split()[0] for h in table.find("thead")[0].find("th") if "data-sort" in h.attributes] == ["Method"]


def test_failures_are_shown_with_their_reasons(tmp_path: Path) -> None:
    failed = evaluation("gvsl", "sbm", status="failed", reason="CUDA out of memory")
    page = read(write(keep(tmp_path, evaluation("gvsl"), failed)))
    assert rows(page.find("table")[-1])[1] == [failed.key, "gvsl", "sbm linear-v2, seed 0", "CUDA out of memory"]


def test_cells_of_different_code_or_machines_are_called_so(tmp_path: Path) -> None:
    other = {"commit": "0123456789ab", "device": "cuda", "precision": "bf16"}
    page = read(write(keep(tmp_path, evaluation("gvsl"), evaluation("scratch", provenance=other))))
    assert "Cells of different commits stand here: 0123456789ab, ca4ab01671a1" in page.text
    assert "Cells of different kinds of device stand here: cpu, cuda" in page.text
    assert "different precisions" not in page.text


def test_every_seed_of_a_cell_is_in_its_drawer(tmp_path: Path) -> None:
    records = [evaluation("gvsl", seed=seed) for seed in (0, 1)]
    page = read(write(keep(tmp_path, *records)))
    (place,) = [place for place in page.find("details", class_="place") if place.find("section")]
    assert [section.find("code")[0].text for section in place.find("section")] == [record.key for record in records]


def test_an_empty_store_makes_a_page_that_says_so(tmp_path: Path) -> None:
    assert "No cell has succeeded yet." in read(write(Store(tmp_path))).text


def test_the_command_writes_the_page_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path / "results", evaluation("gvsl"))
    report(Format.html, tmp_path / "leaderboard.html", tmp_path / "results")
    assert capsys.readouterr().out == f"{tmp_path / 'leaderboard.html'}\n"
    assert (tmp_path / "leaderboard.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_a_pretraining_with_options_of_its_own_is_filtered_with_its_paradigm(tmp_path: Path) -> None:
    plan = planner("methods.gvsl.direction=a_to_b")
    page = read(write(keep(tmp_path, evaluation("gvsl", plan=plan), pretraining("gvsl", plan=plan))))
    (line,) = [line for line in page.find("tr") if line.attributes.get("data-paradigm") and "0.000" in line.text]
    assert line.attributes["data-paradigm"] == "geometric"
    assert "gvsl (direction=a_to_b)" in line.text
