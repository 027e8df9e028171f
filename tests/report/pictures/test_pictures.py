"""What holds for every picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from ssl_bench.cli.report import report
from ssl_bench.errors import UserError
from ssl_bench.report.pictures import Picture, pictures_of, style
from ssl_bench.report.pictures.gallery import gallery_pictures
from ssl_bench.report.pictures.scores import score_pictures
from ssl_bench.report.pictures.style import row_styles, uniquely_named
from ssl_bench.report.pictures.writing import write_pictures
from ssl_bench.report.table import Row, Table
from ssl_bench.store.example_file import Examples, write_examples
from ssl_bench.store.store import Store
from tests.report.made_up import StoreOf, as_json
from tests.report.pictures.conftest import RECORDS, SCRATCH, only_table, record

FROM_EXAMPLES = {"gallery-shc-linear-v2", "gallery-shc-finetune-v2", "features-shc", "t-sne-shc", "pretext"}


@pytest.fixture
def store(tmp_path: Path, examples: dict[str, Examples]) -> Store:
    store = Store(tmp_path / "results")
    for key, kept in examples.items():
        write_examples(store.examples_path(key), kept)
    return store


def test_every_picture_is_complete_and_says_what_its_data_are(
    table: Table, store: Store, figures: list[Figure]
) -> None:
    pictures = pictures_of(table, store, "scratch")
    assert len(pictures) == len(figures) >= 13
    assert len({picture.name for picture in pictures}) == len(pictures)
    for picture, figure in zip(pictures, figures, strict=True):
        assert re.fullmatch(r"[a-z0-9_-]+", picture.name)
        assert picture.title
        assert picture.caption.endswith((".", "decoder."))
        assert picture.description.endswith(".")
        assert "semi-real, one anatomy" in figure.get_suptitle()
        assert picture.title[:20] in figure.get_suptitle()


def test_a_store_without_examples_lacks_their_pictures_and_no_others(
    table: Table, store: Store, tmp_path: Path, figures: list[Figure]
) -> None:
    with_examples, without = (
        {picture.name for picture in pictures_of(table, found, "scratch")}
        for found in (store, Store(tmp_path / "empty"))
    )
    assert with_examples - without == FROM_EXAMPLES
    assert without < with_examples


def test_examples_that_do_not_read_are_left_out_with_a_warning(
    table: Table, store: Store, figures: list[Figure], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = next(found for found in RECORDS if found.spec.method == "gvsl")
    store.examples_path(broken.key).write_bytes(b"PK\x03\x04 no archive")
    names = {picture.name for picture in pictures_of(table, store, "scratch")}
    assert names >= FROM_EXAMPLES
    assert f"{broken.key}.npz does not read" in capsys.readouterr().err


@pytest.mark.parametrize("draw", [score_pictures, gallery_pictures])
def test_the_same_records_give_the_same_bytes(draw: object, table: Table, examples: dict[str, Examples]) -> None:
    def once() -> list[Picture]:
        with style.drawing():
            return score_pictures(table, SCRATCH) if draw is score_pictures else gallery_pictures(table, examples)

    first = once()
    assert first == once()
    start = {"svg": b"<?xml", "png": b"\x89PNG"}
    assert all(picture.image.startswith(start[picture.format]) for picture in first)


def test_text_from_records_stays_text() -> None:
    hostile = "$\\frac{1}$<script>\x00\x1b\n&"
    spec = RECORDS[0].spec
    backbone = spec.backbone.model_copy(update={"method": hostile, "options": {"x": 1}})
    found = RECORDS[0].model_copy(update={"spec": spec.model_copy(update={"backbone": backbone})})
    with style.drawing():
        pictures = score_pictures(only_table([found, *RECORDS]), SCRATCH)
    texts = "".join(ET.fromstring(pictures[0].image).itertext())
    assert "$\\frac{1}$<script>" in texts
    assert b"<script" not in pictures[0].image


def test_a_row_looks_the_same_everywhere_and_like_no_other(table: Table) -> None:
    styles = row_styles(table)
    assert len(set(styles.values())) == len(styles)
    colours = {row.paradigm: styles[row].colour for row in styles}
    assert len(set(colours.values())) == len(colours)
    assert all(styles[row].colour == colours[row.paradigm] for row in styles)
    assert styles[Row("none", "scratch", "")].colour == "black"


def test_names_that_collide_are_numbered() -> None:
    picture = Picture("a", "", "", "", b"", "svg")
    assert [found.name for found in uniquely_named([picture, picture])] == ["a", "a-2"]


def test_pictures_are_written_below_the_folder_whatever_a_record_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = RECORDS[0].setting.model_copy(update={"preset": "../../elsewhere"})
    store = StoreOf(record("gvsl", "shc", "linear", (0.5,), setting=setting), folder=tmp_path / "results")
    monkeypatch.setattr(Figure, "savefig", lambda figure, buffer, **_: buffer.write(b"drawn"))
    written = write_pictures(store, tmp_path / "pictures")
    assert written
    assert sorted(written) == sorted(path for path in (tmp_path / "pictures").rglob("*") if path.is_file())
    assert all(path.read_bytes() == b"drawn" for path in written)
    assert {path.parent.parent for path in written} == {tmp_path / "pictures"}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda figure, buffer, **_: None)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file.*cannot be written"):
        write_pictures(StoreOf(RECORDS[0], folder=tmp_path / "results"), tmp_path / "file")


def test_the_baseline_of_every_picture_is_the_one_asked_for(
    table: Table, tmp_path: Path, figures: list[Figure]
) -> None:
    captions = [picture.caption for picture in pictures_of(table, Store(tmp_path), "gvsl")]
    # Two pictures of scores, one of health, two of cost; and one of convergence.
    assert sum("Dashed: the score of gvsl." in caption for caption in captions) == 5
    assert sum("the best of gvsl" in caption for caption in captions) == 1
    assert not [caption for caption in captions if "scratch" in caption]


def test_an_unknown_baseline_is_refused_before_a_picture_is_written(tmp_path: Path) -> None:
    file = tmp_path / "results" / "records" / "scratch" / "shc" / "linear-v2" / f"{RECORDS[0].key}.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(as_json(RECORDS[0]))
    with pytest.raises(UserError, match="--baseline nobody: no such row"):
        report(results=tmp_path / "results", baseline="nobody", pictures=tmp_path / "pictures")
    assert not (tmp_path / "pictures").exists()


def test_two_stores_compared_have_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--compare"):
        report(compare=(tmp_path, tmp_path), pictures=tmp_path / "pictures")
    assert not (tmp_path / "pictures").exists()
