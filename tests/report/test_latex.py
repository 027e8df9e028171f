"""The LaTeX tables: laid out as the paper's, honest in their captions, and compiled by a real TeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ssl_bench.cli import app
from ssl_bench.errors import UserError
from ssl_bench.report.family import Family
from ssl_bench.report.latex import write_latex
from ssl_bench.report.latex_text import latex
from ssl_bench.spec.record import EvaluationRecord
from ssl_bench.store.store import Store
from tests.report.test_tables import planner

NASTY = r"a_b$%&#{}~^\ "
PARADIGMS = {"scratch": "none", "gvsl": "geometric", "denoising": "centroid-hidden", "deepcluster": "centroid-absolute"}
SCENES = {"shc": "inner", "sac": "inner", "ccc": "inter", "sbm": "inter"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def keep(
    store: Store, method: str, task: str, score: float, protocol: str = "linear", seed: int = 0, **extra: object
) -> None:
    cell = planner().evaluation(method, task, protocol, seed)
    values = {
        "key": cell.key, "status": "ok", "setting": cell.setting, "data": "semi-real (1 anatomy)", "provenance": {},
        "spec": cell.spec, "score": score, "converged": True, "metric": "AUC" if task == "ccc" else "DSC",
        "scene": "none" if method == "scratch" else SCENES[task], "cases": [{"case": "a"}, {"case": "b"}],
        "paradigm": PARADIGMS.get(method, "centroid-relative"),
    }  # fmt: skip
    store.publish(cell, EvaluationRecord.model_validate(values | extra))


def body(store: Store, baseline: str | None = None, family: Family = Family.column) -> list[str]:
    """The lines between the rules, without what only sets them."""
    (inside,) = re.findall(r"\\toprule\n(.*)\\bottomrule", write_latex(store, baseline, family), re.DOTALL)
    return [re.sub(r"\\multicolumn\{(\d+)\}\{[^}]*\{?\}?l?c?\}", r"\1:", line) for line in inside.splitlines()]


def row(store: Store, method: str, baseline: str | None = None) -> list[str]:
    """The cells of a row but for its mean rank."""
    return whole_row(store, method, baseline)[:-2]


def whole_row(store: Store, method: str, baseline: str | None = None, family: Family = Family.column) -> list[str]:
    (line,) = [line for line in body(store, baseline, family) if line.startswith(f"{latex(method)} &")]
    return [cell.strip() for cell in line.removesuffix(r"\\").split("&")[1:]]


def caption(store: Store) -> str:
    return write_latex(store).partition(r"\caption{")[2].partition(r"\label")[0].replace("\n", " ")


def test_columns_stand_by_protocol_then_by_scene_then_by_task(store: Store) -> None:
    for protocol in ("finetune", "probe", "linear"):
        for task in ("sbm", "ccc", "shc"):
            keep(store, "gvsl", task, 0.5, protocol)
    keep(store, "scratch", "shc", 0.5)
    protocols, rule, scenes, _, tasks, metrics, *_ = body(store)
    assert protocols == r" & 6:{Linear} & 6:{Fine-tuning} & 6:{Linear probe} & 2:{} \\"
    assert rule == r"\cmidrule(lr){2-7}\cmidrule(lr){8-13}\cmidrule(lr){14-19}"
    assert scenes == " &" + " &".join([" 2:{Inner scene} & 4:{Inter scene}"] * 3) + r" & 2:{} \\"
    assert tasks == "Pre-training &" + " &".join([" 2:{SHC} & 2:{CCC} & 2:{SBM}"] * 3) + r" & 2:{Mean} \\"
    assert metrics == " &" + " &".join([" 2:{DSC} & 2:{AUC} & 2:{DSC}"] * 3) + r" & 2:{rank} \\"


def test_versions_of_one_protocol_stand_under_headings_of_their_own(store: Store) -> None:
    for protocol in ("linear", "finetune"):
        keep(store, "gvsl", "shc", 0.5, protocol)
    newer = planner().evaluation("gvsl", "shc", "linear", 0).evaluation.model_copy(update={"protocol": "linear-v3"})
    store.publish(
        planner().evaluation("gvsl", "shc", "linear", 0).model_copy(update={"spec": newer}),
        next(record for record in store.records() if record.spec.protocol == "linear-v2").model_copy(  # type: ignore[union-attr]
            update={"spec": newer}
        ),
    )
    assert body(store)[0] == r" & 2:{Linear v2} & 2:{Linear v3} & 2:{Fine-tuning} & 2:{} \\"


def test_without_a_known_scene_there_is_no_line_of_scenes(store: Store) -> None:
    keep(store, "scratch", "shc", 0.5)
    assert "scene" not in write_latex(store)


def test_rows_stand_under_their_paradigms(store: Store) -> None:
    for method in ("gvsl", "simclr", "deepcluster", "denoising", "scratch"):
        keep(store, method, "shc", 0.5)
    names = [re.sub(r"^\d+:", "", line).partition(" &")[0].removesuffix(r" \\") for line in body(store)[6:]]
    assert names == [
        r"\midrule", "scratch",
        r"\midrule", r"{\textit{Centroid-hidden}}", "denoising",
        r"\midrule", r"{\textit{Centroid-absolute}}", "deepcluster",
        r"\midrule", r"{\textit{Centroid-relative}}", "simclr",
        r"\midrule", r"{\textit{Geometric}}", "gvsl",
    ]  # fmt: skip


def test_differences_to_scratch_are_those_of_the_printed_numbers(store: Store) -> None:
    keep(store, "scratch", "shc", 0.21949)
    keep(store, "gvsl", "shc", 0.31351)
    keep(store, "simclr", "shc", 0.1)
    assert row(store, "scratch") == ["21.9", ""]
    assert row(store, "gvsl") == [r"\textbf{31.4}", r"\,{\tiny(+9.5)}"]
    assert row(store, "simclr") == ["10.0", r"\,{\tiny($-$11.9)}"]


def test_differences_that_the_corrected_tests_find_bear_a_star(store: Store) -> None:
    """Seven cases of one sign: p = 2 / 2^7, which passes once and twice corrected, and not over four comparisons."""
    for task in ("shc", "sbm"):
        for method, shift in (("scratch", 0.0), ("gvsl", 0.1), ("simclr", 0.2)):
            cases = [{"case": f"{case}", "dsc": 0.01 * case**2 + shift * (1 + case)} for case in range(7)]
            keep(store, method, task, 0.3 + shift, cases=cases)
    assert row(store, "gvsl")[1] == r"\,{\tiny(+10.0)$^{*}$}"
    assert whole_row(store, "gvsl", family=Family.table)[1] == r"\,{\tiny(+10.0)}"
    assert r"$*$: $p < 0.05$ between these trained networks, not methods" in caption(store)
    assert "Holm's correction over the column." in caption(store)
    assert "Holm's correction over all columns." in write_latex(store, family=Family.table)


def test_the_mean_rank_stands_last_with_its_interval(store: Store) -> None:
    for method, score in (("scratch", 0.2), ("gvsl", 0.3)):
        keep(store, method, "shc", score, cases=[{"case": f"{case}", "dsc": score} for case in range(7)])
    assert whole_row(store, "gvsl")[-2:] == ["1.0", r"\,{\scriptsize{}[1.0, 1.0]}"]
    assert whole_row(store, "scratch")[-2:] == ["2.0", r"\,{\scriptsize{}[2.0, 2.0]}"]
    assert "Mean rank: over the columns, with a 95\\% interval by resampling test cases." in caption(store)


def test_another_baseline_takes_the_place_of_scratch(store: Store) -> None:
    keep(store, "scratch", "shc", 0.2)
    keep(store, "gvsl", "shc", 0.3)
    assert row(store, "scratch", "gvsl") == ["20.0", r"\,{\tiny($-$10.0)}"]
    assert row(store, "gvsl", "gvsl") == [r"\textbf{30.0}", ""]
    with pytest.raises(UserError, match="--baseline byol: no such row"):
        write_latex(store, "byol")


def test_other_seeds_than_scratch_has_give_no_difference(store: Store) -> None:
    keep(store, "scratch", "shc", 0.2)
    for seed in (0, 1):
        keep(store, "gvsl", "shc", 0.3 + 0.1 * seed, seed=seed)
    assert row(store, "gvsl") == [r"\textbf{35.0}", r"\,{\scriptsize$\pm$7.1}"]


def test_an_incomplete_row_is_never_bold(store: Store) -> None:
    for task in ("shc", "sbm"):
        keep(store, "gvsl", task, 0.5)
    keep(store, "simclr", "shc", 0.9)
    assert row(store, "gvsl") == [r"\textbf{50.0}", "", r"\textbf{50.0}", ""]
    assert whole_row(store, "simclr") == ["90.0", "", "2:{--}", "2:{--}"]


def test_marks_are_shown_and_explained(store: Store) -> None:
    modules = {
        "pretrained": [], "random": [], "frozen": [], "decoder": "random, frozen",
        "tensors_matched": 0, "tensors_missing": 0, "tensors_left_over": 0,
    }  # fmt: skip
    keep(store, "gvsl", "shc", 0.5)
    assert r"\dagger" not in write_latex(store)
    keep(store, "simclr", "shc", 0.4, converged=False, modules=modules)
    assert row(store, "simclr") == ["40.0", r"$^{\dagger\circ}$"]
    assert r"$\dagger$: read through a random, frozen decoder. $\circ$: not converged" in caption(store)


def test_the_caption_says_preset_seeds_cases_and_what_the_data_are(store: Store) -> None:
    for seed in (0, 1):
        keep(store, "gvsl", "shc", 0.5, seed=seed)
    said = caption(store)
    for words in (
        r"preset \texttt{quick}",
        "over seeds 0, 1",
        "test cases: SHC 2",
        "semi-real, grown from one anatomy",
    ):
        assert words in said
    assert "not comparable" in said


def test_two_tasks_of_one_title_have_counts_of_their_own(store: Store) -> None:
    keep(store, "gvsl", "shc", 0.5)
    other = planner().evaluation("gvsl", "shc", "linear", 0).evaluation.model_copy(update={"task": "Shc"})
    keep(store, "gvsl", "shc", 0.5, protocol="finetune", spec=other, cases=[{"case": "a"}])
    assert "test cases: SHC 1, SHC 2." in caption(store)


def test_real_data_are_not_called_semi_real(store: Store) -> None:
    keep(store, "scratch", "shc", 0.5, data="real", overlap=["case 7"])
    assert "semi-real" not in caption(store)
    assert "shc: 1 validation or test cases are in the pre-training corpus too" in caption(store)


def test_a_preset_that_is_never_ranked_has_no_bold(store: Store) -> None:
    keep(store, "gvsl", "shc", 0.5, setting=planner(preset="smoke").setting)
    assert r"\textbf" not in write_latex(store)
    assert "nothing here is ranked" in caption(store)


def test_every_table_is_an_environment_with_a_label_of_its_own(store: Store) -> None:
    keep(store, "gvsl", "shc", 0.5)
    keep(store, "gvsl", "sbm", 0.5, setting=planner("width=8").setting)
    text = write_latex(store)
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 2
    assert re.findall(r"\\label\{(.*?)\}", text) == ["tab:ssl-bench-1", "tab:ssl-bench-2"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a_b", r"a\_b"),
        ("$%&#{}", r"\$\%\&\#\{\}"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("a--b,,c", "a-{}-b,{},c"),
        ("a\n\n\\par b", r"a \textbackslash{}par b"),
        ("é Å ç ï", r"\'{e} \r{A} \c{c} \"{\i}"),
        ("中\x07", "[U+4E2D][U+0007]"),
    ],
)
def test_text_is_escaped(text: str, shown: str) -> None:
    assert latex(text) == shown


def test_the_command_writes_it_and_refuses_published_numbers(store: Store, tmp_path: Path) -> None:
    keep(store, "gvsl", "shc", 0.5)
    out = tmp_path / "table.tex"
    arguments = ["report", "--results", str(store.folder), "--format", "latex"]
    assert CliRunner().invoke(app, [*arguments, "--out", str(out)]).exit_code == 0
    assert out.read_text("utf-8") == write_latex(store)
    refused = CliRunner().invoke(app, [*arguments, "--published"])
    assert isinstance(refused.exception, UserError)


@pytest.mark.latex
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="!!!!! NO TEX HERE: THE TABLES ARE NOT COMPILED !!!!!")
@pytest.mark.parametrize("encoding", ["OT1", "T1"])
def test_a_real_tex_sets_the_tables_and_shows_every_name(encoding: str, store: Store, tmp_path: Path) -> None:
    for number, name in enumerate((NASTY, "x\"y`z'<|>--é中", "plain")):
        setting = planner().setting.model_copy(update={"overrides": [name], "preset": name})
        for protocol in ("linear", "finetune", "probe"):
            for task in SCENES:
                spec = planner().evaluation("gvsl", task, protocol, 0).evaluation
                backbone = spec.backbone.model_copy(update={"method": name, "options": {name: name}})
                spec = spec.model_copy(update={"backbone": backbone})
                keep(store, "gvsl", task, 0.5, protocol, number, spec=spec, setting=setting)
                keep(store, "scratch", task, 0.4, protocol, number, setting=setting, converged=False)
    (tmp_path / "table.tex").write_text(write_latex(store), "utf-8")
    (tmp_path / "paper.tex").write_text(
        rf"""\documentclass[twocolumn]{{article}}
\usepackage[{encoding}]{{fontenc}}
\usepackage{{booktabs,graphicx}}
\begin{{document}}\input{{table}}\end{{document}}"""
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    log = (tmp_path / "paper.log").read_text("utf-8", "replace")
    assert done.returncode == 0, log[-2000:]
    assert "Missing character" not in log
    assert "Overfull \\hbox" not in log
    if encoding == "T1" and shutil.which("pdftotext"):
        shown = subprocess.run(["pdftotext", "paper.pdf", "-"], cwd=tmp_path, capture_output=True, check=True)
        assert NASTY.strip() in shown.stdout.decode()
        assert "z'<|>--é[U+4E2D]" in shown.stdout.decode()
