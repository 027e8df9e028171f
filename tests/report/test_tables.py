"""The leaderboard says what the records say, and no more."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pandas
import pytest

from ssl_bench.api.settings import load_preset
from ssl_bench.planning.planner import Planner
from ssl_bench.report.cells_csv import PANDAS, write_csv
from ssl_bench.report.markdown import write_markdown
from ssl_bench.report.markdown_table import markdown_table
from ssl_bench.report.mean_rank import mean_ranks
from ssl_bench.report.notes import SEMI_REAL
from ssl_bench.report.paradigms import paradigm_summary
from ssl_bench.report.results import CSV_COLUMNS, read_results
from ssl_bench.report.table import Table, column_title, tables_of
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.spec.specification import ExternalBackbone, Origin
from ssl_bench.store.store import Store
from ssl_bench.training.scoring import POLICIES
from tests.report.made_up import tables


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def planner(*overrides: str, preset: str = "quick") -> Planner:
    return Planner(load_preset(preset, overrides), overrides, "float32")


def keep(
    store: Store, method: str, task: str, seed: int, score: float | None, plan: Planner | None = None, **extra: object
) -> None:
    paradigm = {"scratch": "none", "gvsl": "geometric"}.get(method, "centroid-relative")
    cell = (plan or planner()).evaluation(method, task, "linear", seed)
    keep_cell(store, cell, **{"score": score, "paradigm": paradigm, **extra})


def keep_cell(store: Store, cell: Cell, **extra: object) -> None:
    values = {
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": "semi-real (1 anatomy)", "provenance": {},
        "spec": cell.spec, "score": 0.5, "converged": True,
    }  # fmt: skip
    store.publish(cell, EvaluationRecord.model_validate(values | extra))


def table(store: Store) -> Table:
    (found,) = tables_of(read_results(store))
    return found


def means(table: Table) -> dict[str, float]:
    """Of each row in the table's one column."""
    (column,) = table.columns
    return {row.label: table.places[row, column].mean for row in table.rows}


def lines(store: Store, method: str) -> list[list[str]]:
    found = [line for line in write_markdown(store).splitlines() if line.startswith("|") and f"| {method}" in line]
    return [[part.strip() for part in line.strip("|").split("|")] for line in found]


def test_scores_that_differ_in_their_last_bits_alone_are_printed_and_ranked_alike(store: Store) -> None:
    """As a recorded AUC and the one that the statistics work out again."""
    keep(store, "gvsl", "shc", 0, 0.4575)
    keep(store, "scratch", "shc", 0, 0.45749999999999996)
    assert [lines(store, method)[0][2] for method in ("gvsl", "scratch")] == ["**45.8**", "**45.8**"]


def test_columns_that_differ_in_their_labels_are_told_apart_by_them_alone(store: Store) -> None:
    spec = planner().evaluation("gvsl", "shc", "linear", 0).evaluation
    few = spec.model_copy(update={"data": spec.data.model_copy(update={"label_fraction": 0.125})})
    keep(store, "gvsl", "shc", 0, 0.5)
    keep(store, "gvsl", "shc", 1, 0.4, spec=few)
    found = table(store)
    assert [column_title(column, found) for column in found.columns] == [
        "SHC linear-v2 DSC",
        "SHC linear-v2 DSC, 12.5% of labels",
    ]


def test_mean_and_spread_over_seeds(store: Store) -> None:
    for seed, score in enumerate((0.5, 0.6, 0.7)):
        keep(store, "gvsl", "shc", seed, score)
    assert lines(store, "gvsl") == [["geometric", "gvsl", "**60.0 ± 10.0**", "1.0"]]


def test_the_best_of_a_column_is_bold_and_only_it(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7)
    keep(store, "scratch", "shc", 0, 0.6)
    assert lines(store, "gvsl")[0][2] == "**70.0**"
    assert lines(store, "scratch")[0][2] == "60.0"


def test_external_rows_carry_the_licence_of_their_weights(store: Store) -> None:
    plan = planner()
    external = ExternalBackbone(name="theirs", sha256="0" * 64, width=16)
    cell = plan.external(Path("theirs.pt"), external, "shc", "linear", 0)
    keep_cell(store, cell, licence="for looking at only")
    page = write_markdown(store)
    assert "| external | external:theirs |" in page
    assert "`external:theirs`: weights from a file, network unet3d; licence of the weights: for looking at only" in page
    (row,) = csv.DictReader(io.StringIO(write_csv(store)))
    assert row["licence"] == "for looking at only"


def test_an_incomplete_row_is_shown_and_has_no_rank(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7)
    keep(store, "gvsl", "sbm", 0, 0.5)
    keep(store, "scratch", "shc", 0, 0.6)
    assert lines(store, "gvsl")[0] == ["geometric", "gvsl", "**50.0**", "**70.0**", "1.0"]
    assert lines(store, "scratch")[0] == ["none", "scratch", "–", "60.0", "–"]


@pytest.mark.parametrize("score", [0.7, 0.9], ids=["as good as the best", "better than the best"])
def test_an_incomplete_row_is_never_bold_and_takes_the_bold_from_nobody(store: Store, score: float) -> None:
    for method, task, found in (
        ("gvsl", "shc", 0.7),
        ("gvsl", "sbm", 0.5),
        ("simclr", "shc", 0.6),
        ("simclr", "sbm", 0.1),
    ):
        keep(store, method, task, 0, found)
    keep(store, "scratch", "shc", 0, score)
    assert lines(store, "scratch")[0][3] == f"{100 * score:.1f}"
    assert lines(store, "gvsl")[0][3] == "**70.0**"
    assert lines(store, "simclr")[0][3] == "60.0"


def test_where_no_row_is_complete_nothing_is_bold(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7)
    keep(store, "scratch", "sbm", 0, 0.6)
    assert not [cell for method in ("gvsl", "scratch") for cell in lines(store, method)[0] if "**" in cell]


def test_a_paradigm_is_the_mean_of_its_complete_rows(store: Store) -> None:
    scores = {"simclr": (0.2, 0.4), "byol": (0.4, 0.8), "simsiam": (0.9, None), "gvsl": (0.5, None)}
    for method, (shc, sbm) in scores.items():
        keep(store, method, "shc", 0, shc)
        if sbm is not None:
            keep(store, method, "sbm", 0, sbm)
    sbm_column, shc_column = table(store).columns
    found = table(store)
    relative, geometric = paradigm_summary(found, mean_ranks(found))
    assert (relative.paradigm, relative.complete, relative.incomplete) == ("centroid-relative", 2, 1)
    assert relative.means == {shc_column: pytest.approx(0.3), sbm_column: pytest.approx(0.6)}
    assert (geometric.paradigm, geometric.complete, geometric.incomplete, geometric.means) == ("geometric", 0, 1, {})
    assert relative.rank is not None
    assert (relative.rank.value, geometric.rank) == (1.5, None)
    lines = "| centroid-relative | 2 of 3 | 60.0 | 30.0 | 1.5 |\n| geometric | 0 of 1 | – | – | – |"
    assert lines in write_markdown(store)


def test_a_row_that_lacks_a_seed_is_incomplete(store: Store) -> None:
    for seed in (0, 1):
        keep(store, "gvsl", "shc", seed, 0.7)
    keep(store, "scratch", "shc", 0, 0.6)
    assert lines(store, "scratch")[0][-1] == "–"
    assert lines(store, "gvsl")[0][-1] == "1.0"


def test_an_undefined_score_is_not_a_number(store: Store) -> None:
    keep(store, "gvsl", "ccc", 0, None)
    assert lines(store, "gvsl") == [["geometric", "gvsl", "–", "–"]]


def test_rows_go_by_paradigm(store: Store) -> None:
    for method in ("gvsl", "simclr", "scratch"):
        keep(store, method, "shc", 0, 0.5)
    page = write_markdown(store)
    assert page.index("| none |") < page.index("| centroid-relative |") < page.index("| geometric |")


def test_records_made_before_rotation_was_corrected_share_its_row(store: Store) -> None:
    for seed, paradigm in enumerate(("centroid-absolute", "centroid-hidden")):
        keep(store, "rotation", "shc", seed, 0.5, paradigm=paradigm)
    keep(store, "deepcluster", "shc", 0, 0.5, paradigm="centroid-absolute")
    assert [line[0] for line in lines(store, "rotation")] == ["centroid-hidden"]
    assert [line[0] for line in lines(store, "deepcluster")] == ["centroid-absolute"]


def test_settings_that_differ_never_meet_in_a_table(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7)
    keep(store, "scratch", "shc", 0, 0.9, planner("protocols.linear.steps=7"))
    page = write_markdown(store)
    assert page.count("## Preset `quick`") == 2
    assert "changed by `protocols.linear.steps=7`" in page
    assert lines(store, "gvsl")[0][2] == "**70.0**"
    assert lines(store, "scratch")[0][2] == "**90.0**"


def test_options_that_differ_make_a_row_of_their_own(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7)
    keep(store, "gvsl", "shc", 0, 0.6, planner("methods.gvsl.direction=a_to_b"))
    assert [row[1] for row in lines(store, "gvsl")] == ["gvsl", "gvsl (direction=a_to_b)"]
    records = list(store.evaluations())
    for order in (records, records[::-1]):
        assert tables(*order)[0].setting.overrides == []


def test_smoke_is_never_ranked(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7, planner(preset="smoke"))
    assert "nothing here is ranked" in write_markdown(store)
    assert "**" not in write_markdown(store)


def test_semi_real_data_are_called_so_with_their_bias(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7)
    assert SEMI_REAL in write_markdown(store)
    for words in ("1 anatomy", "favoured", "not comparable with any paper's"):
        assert words in SEMI_REAL


def test_a_split_by_case_is_said(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.5, data="real", split_by="patient")
    assert "by case" not in write_markdown(store)
    keep(store, "gvsl", "sbm", 0, 0.5, data="real", split_by="case")
    assert "sbm: split by case, for nothing says which scans are of one patient." in write_markdown(store)


def test_metrics_are_ranked_and_never_averaged(store: Store) -> None:
    for method, shc, ccc in (("gvsl", 0.2, 0.9), ("simclr", 0.4, 0.6), ("byol", 0.3, 0.5)):
        keep(store, method, "shc", 0, shc)
        keep(store, method, "ccc", 0, ccc, metric="AUC")
    assert [lines(store, method)[0][-1] for method in ("gvsl", "simclr", "byol")] == ["2.0", "1.5", "2.5"]
    assert "| Mean rank |" in write_markdown(store)
    assert "| Mean |" not in write_markdown(store)


def test_a_table_that_counts_missed_classes_in_hd95_in_some_cells_only_says_so(store: Store) -> None:
    said = (
        "shc: HD95 leaves out classes that were missed in 1 older cells and counts them in 2; do not compare the two."
    )
    for method in ("gvsl", "simclr"):
        keep(store, method, "shc", 0, 0.5, policy=POLICIES["DSC"])
    keep(store, "gvsl", "ccc", 0, 0.5, policy=POLICIES["AUC"], metric="AUC")
    assert "HD95" not in write_markdown(store)
    keep(store, "scratch", "shc", 0, 0.5, policy="absent from one of them it scores 0, and its HD95 is null")
    assert said in write_markdown(store)


def test_marks_for_a_random_decoder_and_for_no_convergence(store: Store) -> None:
    modules = {
        "pretrained": [], "random": [], "frozen": [], "decoder": "random, frozen",
        "tensors_matched": 0, "tensors_missing": 0, "tensors_left_over": 0,
    }  # fmt: skip
    keep(store, "gvsl", "shc", 0, 0.7, modules=modules, converged=False)
    assert lines(store, "gvsl")[0][2] == "**70.0**†◦"


def test_structures_that_are_never_predicted_are_marked_and_counted(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7, never_predicted=["myocardium", "aorta"])
    keep(store, "gvsl", "shc", 1, 0.7, never_predicted=[])
    keep(store, "scratch", "shc", 0, 0.5, never_predicted=[], steps_made=90, learning_rate=0.03)
    keep(store, "simclr", "shc", 0, 0.5)
    assert lines(store, "gvsl")[0][2].endswith("‡")
    assert "‡" not in lines(store, "scratch")[0][2] + lines(store, "simclr")[0][2]
    found = read(store).set_index(["method", "seed"])
    assert found.never_predicted.fillna(-1).to_dict() == {
        ("gvsl", 0): 2, ("gvsl", 1): 0, ("scratch", 0): 0, ("simclr", 0): -1,
    }  # fmt: skip
    assert (found.steps_made["scratch", 0], found.learning_rate["scratch", 0]) == (90, 0.03)


def test_text_from_records_cannot_break_the_table(store: Store) -> None:
    cell = planner().evaluation("gvsl", "shc", "linear", 0)
    values = {"key": cell.key, "status": "failed", "reason": "a | b\n<script>x</script>", "setting": cell.setting}
    values |= {"data": "semi-real (1 anatomy)", "provenance": {}, "spec": cell.spec}
    store.publish(cell, EvaluationRecord.model_validate(values))
    assert "a \\| b &lt;script&gt;x&lt;/script&gt; |" in write_markdown(store)


def test_a_heading_is_one_line_whatever_a_setting_is_called(store: Store) -> None:
    setting = planner().setting.model_copy(update={"overrides": ["a=`\n# b`<script>"], "preset": "x\n# y"})
    keep(store, "gvsl", "shc", 0, 0.7, setting=setting)
    assert "## Preset `x # y`, changed by `a=' # b'<script>`\n" in write_markdown(store)


def test_a_link_in_a_record_is_text(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.7, paradigm="[here](http://example.org)")
    assert "| [here]\\(http://example.org) |" in write_markdown(store)


def read(store: Store) -> pandas.DataFrame:
    return pandas.read_csv(io.StringIO(write_csv(store)), **PANDAS)


def test_csv_reads_back_in_pandas_to_the_same_scores_bit_by_bit(store: Store) -> None:
    generator = random.Random(0)
    scores = {seed: generator.random() for seed in range(50)}
    for seed, score in scores.items():
        keep(store, "gvsl", "shc", seed, score)
    frame = read(store)
    assert dict(zip(frame.seed, frame.score, strict=True)) == scores


def test_csv_reads_back_in_pandas_with_its_types(store: Store) -> None:
    setting = planner().setting.model_copy(update={"digest": "00123456"})
    keep(store, "gvsl", "shc", 3, 0.5, setting=setting, cost={"wall_seconds": 2.5}, key="5e51000000000000")
    keep(store, "gvsl", "ccc", 3, None, setting=setting, licence="NA", key="0000000000000012")
    frame = read(store).sort_values("task")
    assert [frame[name].dtype.kind for name in ("seed", "score", "converged", "ranked", "cases", "label_fraction")] == [
        "i", "f", "b", "b", "i", "f",
    ]  # fmt: skip
    assert frame.setting.tolist() == ["00123456", "00123456"]
    assert frame.key.tolist() == ["0000000000000012", "5e51000000000000"]
    assert frame.licence.fillna("").tolist() == ["NA", ""]
    assert frame.score.isna().tolist() == [True, False]
    assert frame.wall_seconds.tolist()[1] == 2.5


def test_csv_names_the_row_that_the_tables_show(store: Store) -> None:
    """Two files of one name are two rows, one method with other options is a row of its own."""
    keep(store, "gvsl", "shc", 0, 0.5)
    keep(store, "gvsl", "shc", 0, 0.5, planner("methods.gvsl.direction=a_to_b"))
    for digit in "ab":
        external = ExternalBackbone(name="theirs", sha256=digit * 64, width=16)
        keep_cell(store, planner().external(Path("theirs.pt"), external, "shc", "linear", 0), paradigm="external")
    expected = [
        "external:theirs (file aaaaaa)", "external:theirs (file bbbbbb)", "gvsl", "gvsl (direction=a_to_b)",
    ]  # fmt: skip
    assert sorted(row.label for row in table(store).rows) == expected
    assert sorted(read(store).row) == expected


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a\nb", "a\tb", "a; b", "é"])
def test_csv_keeps_any_name(store: Store, name: str) -> None:
    keep(store, "gvsl", "shc", 0, 0.5, licence=name)
    assert read(store).licence.tolist() == [name]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1"])
def test_csv_holds_no_formula(store: Store, name: str) -> None:
    keep(store, "gvsl", "shc", 0, 0.5, licence=name)
    assert read(store).licence.tolist() == ["'" + name.replace("\r", " ")]


def test_csv_of_an_empty_store_is_a_header(store: Store) -> None:
    assert list(read(store).columns) == list(CSV_COLUMNS)


def test_two_versions_of_a_method_are_two_rows(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.3)
    (first,) = store.evaluations()
    newer = first.spec.backbone.model_copy(update={"method_version": 9})
    spec = first.spec.model_copy(update={"backbone": newer})
    second = first.model_copy(update={"spec": spec, "score": 0.9})
    (found,) = tables(first, second)
    assert means(found) == {"gvsl (version 2)": 0.3, "gvsl (version 9)": 0.9}


@pytest.mark.parametrize("order", [1, -1])
def test_a_file_read_before_and_after_its_origin_was_known_is_two_rows(store: Store, order: int) -> None:
    for origin, score in ((Origin(), 0.3), (Origin(pretrains="encoder"), 0.9))[::order]:
        external = ExternalBackbone(name="theirs", sha256="a" * 64, width=16, origin=origin)
        cell = planner().external(Path("theirs.safetensors"), external, "shc", "linear", 0)
        keep_cell(store, cell, score=score, paradigm="external")
    expected = {"external:theirs (file aaaaaa)": 0.3, "external:theirs (file aaaaaa, encoder)": 0.9}
    assert means(table(store)) == expected


def test_an_undefined_score_makes_no_row_complete(store: Store) -> None:
    keep(store, "gvsl", "shc", 0, 0.3)
    (record,) = store.records()
    (found,) = tables(record.model_copy(update={"score": float("nan")}))
    assert found.complete_rows == []


def test_a_header_cannot_leave_its_cell() -> None:
    table = markdown_table(["a|b", "c"], [["x\\|y", "z"]])
    assert table == "| a\\|b | c |\n| --- | --- |\n| x\\\\\\|y | z |\n"
