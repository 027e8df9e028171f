"""Several channels of a case: each prepared as it would be alone, on one grid, with what is missing said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_bench.api.cases import SourceCase
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.data.preprocessing.arrays import prepare_case
from ssl_bench.data.preprocessing.labels import LabelRule
from ssl_bench.data.preprocessing.prepared import prepare
from ssl_bench.data.preprocessing.stored import LEVELS
from tests.data.files import ct, heart, save

RULE = LabelRule(values=(500,))
NAMES = ("CT", "T1", "PET", "map")
RECIPES = ("ct", "mr", "percentile", "none")


def declared(**changes: Any) -> Preprocessing:
    given = {"spacing_mm": 1.5, "intensity": RECIPES, "region": "whole", "channels": NAMES}
    return Preprocessing.model_validate(given | changes)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def case(tmp_path: Path) -> SourceCase:
    """Four channels of different values on one grid."""
    voxels = [ct(0), np.abs(ct(1)), ct(2) - 500, np.random.default_rng(3).random(ct().shape, np.float32)]
    files = tuple(save(tmp_path / f"a_{index:04d}.nii", each) for index, each in enumerate(voxels))
    label = save(tmp_path / "a.nii", heart())
    return SourceCase("a", files[0], label, patient="a", channels=files)


def without(case: SourceCase, *indices: int) -> SourceCase:
    files = tuple(None if index in indices else path for index, path in enumerate(case.channels))
    return replace(case, image=next(filter(None, files)), channels=files)


@pytest.mark.parametrize("changes", [{}, {"region": "label", "margin_mm": 2}, {"region": "centre", "size": (20, 8, 8)}])
def test_every_channel_is_what_it_would_be_alone(changes: dict[str, Any], case: SourceCase) -> None:
    together, report = prepare_case(case, declared(**changes), RULE)
    assert together.image.shape == (4, *together.size)
    assert together.image.dtype == np.float32
    for index, (path, recipe) in enumerate(zip(case.channels, RECIPES, strict=True)):
        one = replace(case, image=path, channels=())
        alone, seen = prepare_case(one, declared(**changes, channels=(), intensity=recipe), RULE)
        np.testing.assert_array_equal(together.image[index], alone.image)
        np.testing.assert_array_equal(together.label, alone.label)
        assert report.channels[index].value_range == seen.channels[0].value_range
        np.testing.assert_array_equal(report.signatures[index].values, seen.signatures[0].values)
    assert [channel.name for channel in report.channels] == list(NAMES)


def test_values_as_they_are_stay_so_and_are_doubted_beyond_0_to_1(tmp_path: Path) -> None:
    asis = declared(channels=(), intensity="none", spacing_mm=None)
    inside = save(tmp_path / "in.nii", np.random.default_rng(0).random((8, 9, 10), np.float32))
    prepared, report = prepare_case(SourceCase("a", inside, 0, patient="a"), asis, None)
    assert prepared.image.max() < 1
    assert report.doubts == ()
    beyond = save(tmp_path / "beyond.nii", ct())
    prepared, report = prepare_case(SourceCase("b", beyond, 0, patient="b"), asis, None)
    np.testing.assert_array_equal(prepared.image, ct().astype(np.float32))
    (doubt,) = report.doubts
    assert "values beyond [0, 1], which pretext tasks cut off" in str(doubt)
    assert "--set data.TASK.intensity=percentile" in doubt.way_out


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"shift": (3.0, 0.0, 0.0)}, "up to 3.0 voxels apart; resample all channels to one grid first"),
        ({"spacing": (1.0, 1.0, 2.0)}, "voxels apart; resample all channels to one grid first"),
        ({"voxels": ct(1)[:-1]}, "11 x 14 x 16 voxels instead of 12 x 14 x 16 (D, H, W); resample all channels"),
    ],
)
def test_channels_on_different_grids_are_refused_in_one_line(
    changed: dict[str, Any], said: str, case: SourceCase
) -> None:
    third = case.channels[2]
    assert third is not None
    save(third, **({"voxels": ct(2)} | changed))
    prepared, problems = prepare([case], declared(), RULE, 1, lambda name: None)
    assert prepared == []
    (problem,) = problems
    assert problem.path == third
    assert f"not on the grid of {case.image}" in problem.reason
    assert said in problem.reason
    assert "\n" not in problem.reason


@pytest.mark.parametrize("missing", [(1,), (0, 3)])
def test_missing_channels_are_refused_with_the_list(missing: tuple[int, ...], case: SourceCase) -> None:
    prepared, problems = prepare([without(case, *missing)], declared(), RULE, 1, lambda name: None)
    assert prepared == []
    (problem,) = problems
    assert f"the case lacks channel {', '.join(NAMES[index] for index in missing)}; add the file" in problem.reason
    assert problem.reason.endswith("--set data.TASK.missing_channels=zero")


def test_missing_channels_are_0_where_that_is_asked_for_and_counted(case: SourceCase) -> None:
    gappy, whole = without(case, 0, 3), prepare_case(case, declared(), RULE)[0]
    prepared, problems = prepare([gappy], declared(missing_channels="zero"), RULE, 1, lambda name: None)
    assert problems == []
    image = prepared[0].load().image
    assert not image[[0, 3]].any()
    np.testing.assert_allclose(image[1:3], whole.image[1:3], rtol=0, atol=1 / LEVELS)
    (doubt,) = prepared[0].doubts
    assert (doubt.what, doubt.figures) == ("channel CT, map is missing and 0 everywhere", "2 of 4 channels")
    assert len(prepared[0].signatures) == 2
    assert prepared[0].sources["channel 3"] == "missing"


def test_a_doubt_about_a_channel_names_it_and_changes_it_alone(case: SourceCase) -> None:
    _, report = prepare_case(case, declared(intensity=("ct", "mr", "mr", "none")), RULE)
    (doubt,) = [doubt for doubt in report.doubts if doubt.what.startswith("channel PET: negative values")]
    assert """--set 'data.TASK.intensity=["ct", "mr", "percentile", "none"]'""" in doubt.way_out


def test_two_channels_that_are_the_same_are_said(case: SourceCase) -> None:
    twice = replace(case, channels=(case.channels[0], case.channels[0], *case.channels[2:]))
    _, report = prepare_case(twice, declared(intensity=("ct", "ct", "percentile", "none")), RULE)
    said = [doubt.what for doubt in report.doubts if not doubt.what.startswith("channel ")]
    assert said == ["channels CT and T1 are the same, voxel by voxel"]


def test_a_case_is_found_again_until_any_channel_changes(case: SourceCase) -> None:
    def found() -> str:
        (one,), problems = prepare([case], declared(), RULE, 1, lambda name: None)
        assert problems == []
        assert one.is_whole()
        assert one.load().image.shape == (4, *one.shape)
        return one.digest

    first = found()
    assert found() == first
    last = case.channels[3]
    assert last is not None
    save(last, np.random.default_rng(9).random(ct().shape, np.float32))
    assert found() != first


def test_one_channel_is_kept_as_it_was_before_there_were_several(tmp_path: Path) -> None:
    case = SourceCase("a", save(tmp_path / "a.nii", ct()), save(tmp_path / "b.nii", heart()), patient="a")
    recipe = Preprocessing(intensity="ct", region="whole")
    assert not {"channels", "missing_channels"} & recipe.model_dump().keys()
    (one,), _ = prepare([case], recipe, RULE, 1, lambda name: None)
    assert one.load().image.shape == one.shape
    kept = json.loads((one.folder / "case.json").read_text())
    assert kept.keys() == {
        *(
            "identifier",
            "shape",
            "spacing_mm",
            "label",
            "notes",
            "doubts",
            "has_class",
            "sources",
            "signature",
            "scales",
        )
    }
    assert kept["sources"].keys() == {"image", "label"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"channels": ["T1"], "intensity": "mr"}, "channels names two or more, each once; leave it out for one"),
        ({"channels": ["T1", "T1"], "intensity": "mr"}, "channels names two or more, each once"),
        ({"channels": ["T1", "T2"], "intensity": ["mr"]}, "intensity has 1 recipes for 2 channels; give one for each"),
        ({"intensity": ["mr", "ct"]}, "intensity has 2 recipes for one channel; give one for each"),
    ],
)
def test_what_makes_no_recipe_for_each_channel_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Preprocessing.model_validate({"region": "whole"} | fields)
