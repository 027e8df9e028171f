import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_bench.api.cases import SPLITS, Case
from ssl_bench.api.rng import Draws
from ssl_bench.api.task import Task
from ssl_bench.data.synthetic.anatomy import Anatomy, load_anatomy
from ssl_bench.data.synthetic.corpus import EMBEDDED, CardiacCT
from ssl_bench.data.synthetic.ct import acquire
from ssl_bench.data.synthetic.generator import AnatomyGenerator
from ssl_bench.data.synthetic.lesions import paint
from ssl_bench.data.synthetic.sampling import Scene, class_indices, grow_scene, pool, sample
from ssl_bench.data.synthetic.thorax import LEFT_VENTRICLE, MYOCARDIUM, vary_wall
from ssl_bench.data.synthetic.warps import Variation
from ssl_bench.errors import UserError
from ssl_bench.report.pictures.cases import draw_cases
from ssl_bench.tasks.sbm import SBM
from ssl_bench.tasks.shc import SHC, Hearts
from tests.data.synthetic.shipped import files_of

TASKS: tuple[type[Task], ...] = (SHC, SBM)


def generator(task: type[Task]) -> type[AnatomyGenerator]:
    assert task.generator is not None
    assert issubclass(task.generator, AnatomyGenerator)
    return task.generator


@cache
def grow(task: type[Task], split: str = "train", count: int = 2, detail: float = 0.5, seed: int = 0) -> list[Case]:
    return generator(task)().grow(split, count, detail, seed)


@pytest.mark.parametrize("task", TASKS)
def test_same_seed_same_bits_whatever_the_count(task: type[Task]) -> None:
    many, few = grow(task, count=6), grow(task, count=5)
    assert len(many) == 6
    for a, b in zip(many, few, strict=False):
        assert a.identifier == b.identifier
        assert a.image.tobytes() == b.image.tobytes()
        assert a.label.tobytes() == b.label.tobytes()


@pytest.mark.parametrize("task", TASKS)
def test_splits_and_seeds_give_other_subjects(task: type[Task]) -> None:
    cases = [grow(task, split)[0] for split in SPLITS] + [grow(task, seed=1)[0], grow(task)[1]]
    assert len({case.image.tobytes() for case in cases}) == len(cases)
    assert len({case.label.tobytes() for case in cases}) == len(cases)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("split", SPLITS)
def test_every_case_is_whole(task: type[Task], split: str) -> None:
    facts, grown_by = task.facts, generator(task)
    shape = tuple(round(f / s) for f, s in zip(grown_by.field_of_view_mm, grown_by.spacing_mm, strict=True))
    sizes = []
    for case in grow(task, split, count=4, detail=1.0):
        assert case.image.shape == case.label.shape == shape
        assert case.image.dtype == np.float32
        assert case.label.dtype == np.uint8
        assert case.spacing_mm == grown_by.spacing_mm
        assert np.isfinite(case.image).all()
        assert case.image.min() >= 0
        assert case.image.max() <= 1
        sizes.append(np.bincount(case.label.ravel(), minlength=len(facts.classes) + 1)[1:])
    assert len(facts.classes) == len(grown_by.label_values)
    # In millilitres, against the anatomy: nothing vanishes, nothing explodes, and no two subjects are alike.
    anatomy = load_anatomy(grown_by.shipped)
    grown = np.array(sizes) * np.prod(grown_by.spacing_mm) / 1000
    real = [float(anatomy.mask((v,)).sum()) * np.prod(anatomy.spacing_mm) / 1000 for v in grown_by.label_values]
    ratio = grown / real
    assert ratio.min() > 0.2
    assert ratio.max() < 4
    assert (ratio.std(0) > 0.005).all()


def test_detail_sets_the_spacing() -> None:
    case = grow(SHC, count=1, detail=0.5)[0]
    assert case.image.shape == (24, 24, 24)
    assert case.spacing_mm == (8.0, 8.0, 8.0)


def test_heart_looks_like_contrast_ct() -> None:
    for case in grow(SHC, "validation", count=4, detail=1.0):
        hu = case.image * 2048 - 1024
        middle = {index: float(np.median(hu[case.label == index])) for index in range(1, 8)}
        assert middle[3] > middle[1] + 60
        assert 150 < middle[3] < 650
        assert 40 < middle[1] < 250
        assert (hu < -700).mean() > 0.05


def test_brain_looks_like_t1() -> None:
    names = SBM.facts.classes
    for case in grow(SBM, "validation", count=4, detail=1.0):
        white, cortex, fluid = (
            np.median(case.image[case.label == names.index(f"left {name}") + 1])
            for name in ("cerebral white matter", "cerebral cortex", "lateral ventricle")
        )
        assert white > cortex > fluid


def test_wall_thickness_changes_image_and_labels_together() -> None:
    chest = load_anatomy("chest")
    draws = Draws.keyed("wall", samples=range(4))
    scene = grow_scene(chest, "waves", draws, (24, 24, 24), (8.0, 8.0, 8.0), Variation(8.0, 8.0, 0.08, 7.0))
    labels, image = scene.labels.clone(), scene.image.clone()
    vary_wall(scene, chest, draws)
    moved = labels != scene.labels
    assert moved.flatten(1).any(1).all()
    assert set(scene.labels[moved].tolist()) == {MYOCARDIUM, LEFT_VENTRICLE}
    assert torch.equal(image[~moved], scene.image[~moved])
    blood, wall = (scene.image[moved & (scene.labels == value)].mean() for value in (LEFT_VENTRICLE, MYOCARDIUM))
    assert blood > wall + 150


def test_lesions_stay_in_their_tissue() -> None:
    chest = load_anatomy("chest")
    draws = Draws.keyed("lesion", samples=range(2))
    scene = grow_scene(chest, "grid", draws, (24, 24, 24), (8.0, 8.0, 8.0), Variation(8.0, 8.0, 0.08, 7.0))
    before, inside = scene.image.clone(), scene.labels == LEFT_VENTRICLE
    paint(scene, draws, chest.points_in((LEFT_VENTRICLE,)), 1.0, (8.0, 10.0), 900.0, inside)
    changed = before != scene.image
    assert changed.flatten(1).any(1).all()
    assert not (changed & ~inside).any()


def test_scan_covers_all_but_its_cuts() -> None:
    draws = Draws.keyed("scan", samples=range(16))
    image, seen = acquire(torch.full((16, 24, 24, 24), 50.0), (8.0, 8.0, 8.0), draws)
    assert (image[~seen] == 0).all()
    assert image[seen].min() > 0.3
    assert 0.7 < seen.float().mean() < 1
    assert acquire(torch.zeros(16, 8, 8, 8), (8.0, 8.0, 8.0), draws, cuts=False)[1].all()


def test_missing_structures_are_the_users_error() -> None:
    with pytest.raises(UserError, match="brain"):
        Hearts(files_of("brain")).grow("train", 1, 0.5, 0)


def test_a_heart_without_lungs_grows() -> None:
    chest = load_anatomy("chest")
    hearts = Hearts()
    hearts.anatomy = Anatomy("bare", torch.where(chest.labels > 0, chest.image, 40.0), chest.labels, chest.spacing_mm)
    (case,) = hearts.grow("train", 1, 0.5, 0)
    assert len(np.unique(case.label)) == 8


def test_corpus() -> None:
    scans = CardiacCT().grow("corpus", 5, 0.5, 0)
    held_out = CardiacCT().grow("held-out", 2, 0.5, 0)
    for scan in (*scans, *held_out):
        assert (scan.image.shape, scan.image.dtype, scan.label) == ((32, 32, 32), np.float32, 0)
        assert 0 <= scan.image.min() < scan.image.max() <= 1
    fewer = CardiacCT().grow("corpus", 3, 0.5, 0)
    assert [scan.image.tobytes() for scan in fewer] == [scan.image.tobytes() for scan in scans[:3]]
    assert len({scan.image.tobytes() for scan in (*scans, *held_out)}) == 7
    assert (EMBEDDED.modality, EMBEDDED.region) == (SHC.facts.modality, SHC.facts.region)
    assert (EMBEDDED.modality, EMBEDDED.region) != (SBM.facts.modality, SBM.facts.region)


def test_sampling_and_pooling() -> None:
    ramp = torch.arange(4.0).expand(4, 4, 4).contiguous()
    point = torch.tensor([[2.0, 2.0, 2.5]]).reshape(1, 1, 1, 1, 3)
    assert sample(ramp, point, (2.0, 2.0, 2.0)).item() == pytest.approx(1.25)
    assert sample(ramp.short(), point, (2.0, 2.0, 2.0)).item() == 1
    labels = torch.tensor([5, 9, 9, 0, 9, 5, 9, 0], dtype=torch.int16).reshape(1, 2, 2, 2)
    scene = Scene(torch.empty(0), torch.empty(0), labels.float(), labels, (1.0, 1.0, 1.0))
    image, pooled = pool(scene)
    assert image.item() == 5.75
    assert pooled.item() == 9
    assert class_indices(labels, (9, 5)).flatten().tolist() == [2, 1, 1, 0, 1, 2, 1, 0]


def test_picture(tmp_path: Path) -> None:
    cases = grow(SHC)
    draw_cases(cases, "heart", SHC.facts.classes, tmp_path / "shc.png")
    draw_cases([dataclasses.replace(case, label=1) for case in cases], "lungs", ("COVID-19",), tmp_path / "ccc.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ccc.png", "shc.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
