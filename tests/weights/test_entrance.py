"""Volumes enter weights of others as their contract says, and what was predicted comes back as volumes lie here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import ScaleIntensityRange
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from scipy.stats import zscore

from ssl_bench.api.cases import Case
from ssl_bench.api.registry import TASKS
from ssl_bench.data.sources import source_of
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.contract import InputContract
from ssl_bench.training import evaluation
from ssl_bench.training.attempt import Attempt
from ssl_bench.training.pretraining import build_backbone
from ssl_bench.training.progress import Progress
from ssl_bench.training.runtime import Runtime, make_fabric
from ssl_bench.weights.entrance import Entrance, unmet
from ssl_bench.weights.loading import build_external, describe_external

EVERY_AXES = ["".join(axes) for triple in product("SI", "AP", "RL") for axes in permutations(triple)]
RANDOM = np.random.default_rng(0)


def case(size: tuple[int, int, int] = (4, 5, 6), channels: int = 1) -> Case:
    image = RANDOM.random((channels, *size), dtype=np.float32)
    label = RANDOM.integers(0, 3, size).astype(np.uint8)
    return Case("one", image if channels > 1 else image[0], label, (1.0, 2.0, 3.0))


@pytest.mark.parametrize("axes", EVERY_AXES)
def test_axes_are_turned_as_nibabel_turns_them_and_back(axes: str) -> None:
    given = case(channels=2)
    turn = ornt_transform(axcodes2ornt(tuple("SAR")), axcodes2ornt(tuple(axes)))
    entrance = Entrance(InputContract(axes=axes), "CT")
    entered = entrance.case(given)
    for channel, expected in zip(entered.channels, given.channels, strict=True):
        assert np.array_equal(channel, apply_orientation(expected, turn))
    assert isinstance(given.label, np.ndarray)
    assert isinstance(entered.label, np.ndarray)
    assert np.array_equal(entered.label, apply_orientation(given.label, turn))
    spacing = dict(zip("SAR", given.spacing_mm, strict=True)) | dict(zip("IPL", given.spacing_mm, strict=True))
    assert entered.spacing_mm == tuple(spacing[axis] for axis in axes)
    assert np.array_equal(entrance.back(torch.from_numpy(entered.label.copy())).numpy(), given.label)
    volume = torch.from_numpy(np.array(given.channels))[None]
    assert torch.equal(entrance.volume(volume)[0], torch.from_numpy(entered.channels.copy()))
    assert torch.equal(entrance.back(entrance.volume(volume)), volume)


def test_the_axes_of_here_are_those_of_nibabels_canonical_order() -> None:
    """A volume that grows to the right along its last axis and so on is what `HERE` says."""
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = affine[3, 3] = 1
    assert "".join(nib.orientations.aff2axcodes(affine)) == "SAR"
    assert not InputContract(axes="SAR").changes


def test_intensities_are_those_of_other_libraries() -> None:
    given = case(channels=2)
    standard = Entrance(InputContract(intensity="z-score"), "MR").case(given)
    expected = np.stack([zscore(channel.astype(np.float64), axis=None) for channel in given.channels])
    np.testing.assert_allclose(standard.channels, expected, atol=1e-5)
    window = InputContract(intensity="window", window_hu=(-175, 250))
    scale = ScaleIntensityRange(a_min=-175, a_max=250, b_min=0, b_max=1, clip=True)
    units = 2048 * given.channels - 1024
    np.testing.assert_allclose(Entrance(window, "CT").case(given).channels, scale(units).numpy(), atol=1e-5)
    assert np.array_equal(Entrance(window, "MR").case(given).channels, given.channels)


def test_a_volume_of_one_value_is_no_division_by_zero() -> None:
    flat = Case("flat", np.ones((2, 2, 2), np.float32), 0, (1.0, 1.0, 1.0))
    assert not Entrance(InputContract(intensity="z-score"), "CT").case(flat).channels.any()


def test_cases_that_change_nothing_are_the_same() -> None:
    cases = [case()]
    assert Entrance(InputContract(patch=(3, 3, 3)), "CT").cases(cases) is cases
    entering = Entrance(InputContract(axes="RAS"), "CT").cases(cases)
    assert (len(entering), entering[0].size, next(iter(entering)).size, entering[:1][0].size) == (1, *[(6, 5, 4)] * 3)


@pytest.mark.parametrize(
    "fields",
    [
        {"axes": "RAR"},
        {"axes": "RA"},
        {"axes": "XYZ"},
        {"intensity": "window"},
        {"window_hu": (0, 1)},
        {"intensity": "window", "window_hu": (1, 0)},
        {"spacing_mm": (1, 1, 0)},
        {"patch": (0, 1, 1)},
    ],
)
def test_a_contract_that_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        InputContract.model_validate(fields)


def network_in(path: Path) -> Path:
    """The random start of seed 0."""
    save_file({name: value.contiguous() for name, value in build_backbone(8, 0).state_dict().items()}, path)
    return path


def mirrored(path: Path, target: Path) -> Path:
    """The network in `path` as it would be, had all its volumes lain upside down: kernels mirrored along D."""
    tensors = {name: v.flip(2).contiguous() if v.dim() == 5 else v for name, v in load_file(path).items()}
    save_file(tensors, target)
    return target


def test_a_flipped_axis_is_noticed_and_mended_by_the_contract(tmp_path: Path) -> None:
    """Weights that knew volumes upside down give the same features as the others under their contract, else not."""
    usual = network_in(tmp_path / "usual.safetensors")
    flipped = mirrored(usual, tmp_path / "flipped.safetensors")
    known, other = (build_external(describe_external(file), file)[0].eval() for file in (usual, flipped))
    volume = torch.rand(1, 1, 32, 16, 16, generator=torch.Generator().manual_seed(1))
    entrance = Entrance(InputContract(axes="IAR"), "CT")
    with torch.no_grad():
        expected, found = known(volume).local, entrance.back(other(entrance.volume(volume)).local)
        unturned = other(volume).local
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert (unturned - expected).abs().max() > 0.1


def test_a_cell_trains_and_predicts_on_volumes_as_the_contract_says(
    planner: Planner, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it scores, and the digest of its cases, is of volumes as they lie here."""
    file = network_in(tmp_path / "net.safetensors")
    contract = InputContract(axes="IAR", intensity="z-score")
    cell = planner.external(file, describe_external(file, contract=contract), "shc", "linear", 0)
    learned: list[Case] = []

    def no_training(cases: Sequence[Case], crop: int) -> None:
        learned.extend(cases)
        raise InterruptedError

    monkeypatch.setattr(evaluation, "CaseBatches", no_training)
    with pytest.raises(InterruptedError):
        evaluation.evaluate(cell, runtime, Progress(shown=False), file, 0, Attempt())
    plain = source_of(cell).load("train")["train"]
    assert len(learned) == len(plain) > 0
    for entered, given in zip(learned, plain, strict=True):
        assert np.array_equal(entered.label, np.flip(np.asarray(given.label), 0))
        np.testing.assert_allclose(
            entered.image, np.flip(zscore(np.asarray(given.image, float), axis=None), 0), atol=1e-4
        )

    class Bright(torch.nn.Module):
        """Whatever is brighter than the mean of its volume is of class 1."""

        kind = "segmentation"

        def probabilities(self, volumes: torch.Tensor) -> torch.Tensor:
            assert abs(float(volumes.mean())) < 1e-3
            return torch.cat([volumes <= 0, volumes > 0], dim=1).float()

    side = cell.evaluation.crop
    given = case((side, side, side))
    fabric = make_fabric(runtime, "float32")
    facts = TASKS.load("shc").facts
    model: Any = Bright()
    predicted = evaluation.ModelOnCases(fabric, model, facts, cell.evaluation, None, Entrance(contract, "CT")).predict(
        given
    )
    assert np.array_equal(predicted.numpy(), given.image > given.image.mean(dtype=np.float64))


def test_what_is_not_applied_is_said(planner: Planner, tmp_path: Path) -> None:
    file = network_in(tmp_path / "net.safetensors")
    cell = planner.external(file, describe_external(file), "shc", "probe", 0).evaluation
    assert unmet(InputContract(), cell, "CT") == []
    contract = InputContract(spacing_mm=(1.5, 1.5, 2), intensity="window", window_hu=(-1000, 3000), patch=(96, 96, 96))
    said = unmet(contract, cell, "CT")
    assert [line.partition(" ")[0] for line in said] == ["how", "voxels", "windows", "values"]
    assert "the embedded cohort's and are not resampled" in said[1]
    assert said[2] == f"windows are {cell.crop} voxels a side and not its patch"
    assert "MR stays in [0, 1]" in unmet(contract, cell, "MR")[-1]
