"""What was prepared is found again, unless what it was made from has changed or it is damaged."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from ssl_bench.api.cases import SourceCase
from ssl_bench.data.preprocessing import prepared
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.prepared import prepare
from ssl_bench.errors import UserError
from tests.data.files import ct, heart, labelled, save
from tests.data.preprocessing.preparation import PREPROCESSING, RULE, cut_off, folders, prepare_all


def test_a_second_time_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [labelled(tmp_path, name, seed) for seed, name in enumerate("ab")]
    first = prepare_all(cases)
    for case in cases:
        case.image.chmod(0)

    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(prepared, "prepare_case", refuse)
    monkeypatch.setattr("ssl_bench.data.preprocessing.digests._file_digest", refuse)
    monkeypatch.setattr("ssl_bench.data.preprocessing.parallel.ProcessPoolExecutor", refuse)
    seen: list[str] = []
    again, problems = prepare(cases, PREPROCESSING, RULE, 2, seen.append)
    assert [each.folder for each in again] == [each.folder for each in first]
    assert not problems
    assert seen == ["a", "b"]


def test_files_with_another_name_place_or_date_are_the_same(tmp_path: Path, cache: Path) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    image, label = (Path(shutil.copy(path, tmp_path / f"b_{path.name}")) for path in (case.image, case.label))
    os.utime(case.image, (0, 0))
    again = prepare_all([case, SourceCase("b", image, label, "b")])
    assert {each.digest for each in again} == {first.digest}
    assert [each.load().identifier for each in again] == ["a", "b"]
    assert len(folders(cache)) == 1


def other_image(case: SourceCase) -> dict[str, Any]:
    save(case.image, ct(1))
    return {}


def other_label(case: SourceCase) -> dict[str, Any]:
    labels = heart()
    labels[3, 4, 5] = 0
    save(case.label, labels)
    return {}


@pytest.mark.parametrize(
    "change",
    [
        other_image,
        other_label,
        lambda case: {"preprocessing": PREPROCESSING.model_copy(update={"margin_mm": 3.0})},
        lambda case: {"rule": LabelRule(values=(500,), background=(7,))},
        lambda case: {"rule": None, "preprocessing": PREPROCESSING.model_copy(update={"region": "whole"})},
    ],
    ids=["image", "label", "recipe", "rule", "no rule"],
)
def test_what_the_arrays_depend_on_changes_the_digest(
    tmp_path: Path, change: Callable[[SourceCase], dict[str, Any]]
) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    (second,) = prepare_all([case], **change(case))
    assert second.digest != first.digest


def test_another_version_of_the_preparation_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    monkeypatch.setattr(prepared, "PREPARATION_VERSION", prepared.PREPARATION_VERSION + 1)
    assert prepare_all([case])[0].digest != first.digest


def test_voxels_beside_a_header_belong_to_the_digest(tmp_path: Path) -> None:
    recipe = PREPROCESSING.model_copy(update={"region": "whole"})
    for suffix in (".mhd", ".nhdr"):
        digests = set()
        for seed in (0, 1):
            path = tmp_path / f"scan{suffix}"
            sitk.WriteImage(sitk.GetImageFromArray(ct(seed)), str(path))
            assert len(list(tmp_path.glob("scan.*"))) >= 2
            digests.add(prepare_all([SourceCase("a", path, 1, "a")], recipe, None)[0].digest)
        assert len(digests) == 2


def test_all_slices_of_a_folder_belong_to_the_digest(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"{number}.dcm").write_bytes(bytes([number]))
    first = prepared.source_digest(tmp_path)
    (tmp_path / ".DS_Store").touch()
    assert prepared.source_digest(tmp_path) == first
    (tmp_path / "3.dcm").rename(tmp_path / "10.dcm")  # still the last one
    assert prepared.source_digest(tmp_path) == first
    (tmp_path / "10.dcm").rename(tmp_path / "0.dcm")
    assert prepared.source_digest(tmp_path) != first


@pytest.mark.parametrize("text", ["", "[]", "{", '{"stamp": 1}', "\0"])
def test_a_damaged_index_costs_one_reading(tmp_path: Path, cache: Path, text: str) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    for entry in (cache.parent / "digests").iterdir():
        entry.write_text(text)
    assert prepare_all([case])[0].digest == first.digest


def lengthen(folder: Path) -> None:
    with (folder / "label.b2nd").open("ab") as file:
        file.write(b"more")


def overwrite(folder: Path) -> None:
    (folder / "case.json").write_text("{}")


def remove(folder: Path) -> None:
    (folder / "label.b2nd").unlink()


def exchange(folder: Path) -> None:
    np.save(folder / "image.npy", np.zeros((2, 3, 4), np.float32))


@pytest.mark.parametrize("damage", [cut_off, lengthen, overwrite, remove, exchange])
def test_a_damaged_case_is_prepared_again(tmp_path: Path, cache: Path, damage: Callable[[Path], None]) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    expected = np.array(first.load().image)
    before = {file.name: file.stat().st_size for file in first.folder.iterdir()}
    damage(first.folder)
    (again,) = prepare_all([case])
    assert np.array_equal(again.load().image, expected)
    assert {file.name: file.stat().st_size for file in again.folder.iterdir()} == before
    assert folders(cache) == [first.folder]


@pytest.mark.parametrize("older", [{"shape": [12, 14, 16], "blocks": [0.5] * 512}, {"version": 1}])
def test_a_case_with_an_older_signature_is_prepared_again(tmp_path: Path, older: dict[str, Any]) -> None:
    case = labelled(tmp_path)
    (first,) = prepare_all([case])
    described = json.loads((first.folder / "case.json").read_text())
    (first.folder / "case.json").write_text(json.dumps(described | {"signature": older}))
    (again,) = prepare_all([case])
    assert again.digest == first.digest
    assert json.loads((again.folder / "case.json").read_text()) == described


def test_damage_after_preparing_is_said(tmp_path: Path) -> None:
    (found,) = prepare_all([labelled(tmp_path)])
    cut_off(found.folder)
    with pytest.raises(UserError, match=f"^{found.folder}: damaged; run"):
        found.load()
