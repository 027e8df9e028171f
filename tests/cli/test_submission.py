"""``submit`` and ``verify``, on the committed references."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
TEMPLATE = ROOT / "examples" / "results-repository"


@pytest.mark.parametrize(("preset", "evaluations", "pretrainings"), [("quick", 48, 5), ("small", 160, 12)])
def test_the_bundle_of_a_reference_passes(
    invoke: Invoke, tmp_path: Path, preset: str, evaluations: int, pretrainings: int
) -> None:
    bundle = tmp_path / "reference.zip"
    done = invoke("submit", "--results", REFERENCE / preset, "--to", bundle, "--licence", "CC-BY-4.0", "--by", "Us")
    held = f"{bundle}: {evaluations} evaluations, {pretrainings} pre-trainings, by Us, licence CC-BY-4.0"
    assert (done.code, done.out, done.err) == (0, f"{held}: what can be recomputed agrees\n", "")
    with zipfile.ZipFile(bundle) as archive:
        assert len(archive.namelist()) == 1 + evaluations + pretrainings
        assert all(name.endswith(".json") for name in archive.namelist())
    done = invoke("verify", bundle)
    assert done.code == 0
    assert "cannot vouch for the trainings" in done.out
    assert "settings of version 1 of the shared numerical code" in done.out


def test_a_bundle_is_the_same_bytes_again_and_its_folder_a_results_folder(invoke: Invoke, tmp_path: Path) -> None:
    one, other = tmp_path / "one.zip", tmp_path / "other.zip"
    invoke("submit", "--results", REFERENCE / "quick", "--to", one)
    with zipfile.ZipFile(one) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert invoke("submit", "--results", tmp_path / "unpacked", "--to", other).code == 0
    assert one.read_bytes() == other.read_bytes()


def test_what_would_be_refused_is_not_written(invoke: Invoke, tmp_path: Path) -> None:
    shutil.copytree(REFERENCE / "quick", tmp_path / "forged")
    (path,) = (tmp_path / "forged").glob("records/gvsl/sbm/linear-v1/*.json")
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(document | {"score": 0.99}), "utf-8")
    done = invoke("submit", "--results", tmp_path / "forged", "--to", tmp_path / "forged.zip")
    assert done.code == 1
    assert "score is 0.99, and its cases give" in done.out
    assert not list(tmp_path.glob("*forged.zip*"))


def test_a_forged_bundle_ends_with_1_and_says_so_in_json(invoke: Invoke, tmp_path: Path) -> None:
    sound, forged = tmp_path / "sound.zip", tmp_path / "forged.zip"
    invoke("submit", "--results", REFERENCE / "quick", "--to", sound, "--licence", "CC-BY-4.0")
    shutil.copy(sound, forged)
    with zipfile.ZipFile(forged, "a") as archive:
        archive.writestr("scan\x1b[2J.nii.gz", b"voxels")
    done = invoke("verify", sound, forged, "--json")
    assert done.code == 1
    answer = json.loads(done.out)
    assert [bool(bundle["refused"]) for bundle in answer["bundles"]] == [False, True]
    assert answer["rows"] == []
    done = invoke("verify", forged)
    assert (done.code, "\x1b" in done.out) == (1, False)
    assert done.out.startswith("refused: scan [2J.nii.gz: is no record")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("verify", "nothing.zip"), "nothing.zip: no such bundle; name a file that ssl-bench submit wrote"),
        (("submit", "--to", "there.zip", "--results", "."), "--to there.zip: is there already"),
        (("submit", "--to", "new.zip", "--results", "nowhere"), "--results nowhere: no such folder"),
        (("submit", "--to", "new.zip", "--results", "empty"), "--results empty: holds no record of a success"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.zip").touch()
    (tmp_path / "empty").mkdir()
    done = invoke(*arguments, *(("--licence", "CC0-1.0") if arguments[0] == "submit" else ()))
    assert done.code == 2
    assert done.err.startswith(f"ssl-bench: {reason}")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "new.zip").exists()


@pytest.mark.slow
def test_the_template_of_a_repository_verifies_its_bundles_and_writes_the_leaderboard(
    invoke: Invoke, tmp_path: Path
) -> None:
    repository = shutil.copytree(TEMPLATE, tmp_path / "repository")
    invoke("submit", "--results", REFERENCE / "quick", "--to", repository / "bundles" / "ours.zip", "--by", "Us")
    done = subprocess.run([repository / "check.sh"], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "leaderboard.md\n"), done.stderr
    text = (repository / "leaderboard.md").read_text("utf-8")
    assert text.startswith("# Leaderboard\n\n## Reproduced on another machine\n\nNothing yet")
    assert "- bundles/ours.zip: 48 evaluations, 5 pre-trainings, by Us" in text
    assert "    - cannot vouch for the trainings" in text
    assert "\n## ours\n" in text
    assert "gvsl" in text

    with zipfile.ZipFile(repository / "bundles" / "ours.zip", "a") as archive:
        archive.writestr("scan.nii.gz", b"voxels")
    done = subprocess.run([repository / "check.sh"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("refused: scan.nii.gz: is no record")
    assert (repository / "leaderboard.md").read_text("utf-8") == text


@pytest.mark.slow
def test_what_this_version_makes_is_recomputed_without_a_doubt_of_its_own(invoke: Invoke, tmp_path: Path) -> None:
    """Preset, overrides, controls and pairs: the planner makes every specification again."""
    results = tmp_path / "results"
    chosen = ("--methods", "gvsl", "--tasks", "sbm", "--protocols", "match,linear", "--seeds", 0, "--preset", "smoke")
    sizes = ("--set", "methods.gvsl.batch=4", "--set", "cohort.segmentation.test=2")
    done = invoke("matrix", *chosen, *sizes, "--results", results, "--threads", 1, "--quiet")
    assert done.code == 0, done.err
    assert invoke("submit", "--results", results, "--to", tmp_path / "one.zip").code == 0
    (bundle,) = json.loads(invoke("verify", tmp_path / "one.zip", "--json").out)["bundles"]
    assert bundle["refused"] == []
    assert len(bundle["cannot_vouch_for"]) == 3
    assert [claim["title"].split()[0] for claim in bundle["summary"]["claims"]] == [
        "control:mind", "control:patches", "control:position", "control:truth", "gvsl", "gvsl",
    ]  # fmt: skip
