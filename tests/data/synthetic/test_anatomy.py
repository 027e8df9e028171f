from importlib import resources
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from ssl_bench.data.synthetic.anatomy import Anatomy, load_anatomy
from ssl_bench.errors import UserError
from ssl_bench.tasks.sbm import Brains
from ssl_bench.tasks.shc import Hearts
from tests.data.synthetic.shipped import files_of


def save(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.zeros((5, 6, 7), np.int16)
    labels[1:3, 2:5, 3:6] = 500
    return rng.normal(size=labels.shape).astype(np.float32), labels


def test_shipped_data_stay_small() -> None:
    folder = resources.files("ssl_bench.data.synthetic.anatomies")
    sizes = [len(item.read_bytes()) for item in folder.iterdir() if item.name.endswith(".nii.gz")]
    assert len(sizes) == 4
    assert sum(sizes) <= 8_000_000
    assert "research use" in (folder / "LICENSES.md").read_text()


@pytest.mark.parametrize(("name", "structures"), [("chest", 7), ("brain", 28)])
def test_shipped_anatomy(name: str, structures: int) -> None:
    anatomy = load_anatomy(name)
    assert anatomy is load_anatomy(name)
    assert anatomy.image.shape == anatomy.labels.shape
    assert anatomy.image.dtype == torch.float32
    assert len(anatomy.labels.unique()) == structures + 1
    assert (
        anatomy.fingerprint == load_anatomy(name).fingerprint != load_anatomy("brain" if name == "chest" else "chest")
    )


def test_a_generator_is_identified_by_the_anatomy_that_its_subjects_grow_from() -> None:
    """Whatever the files are called: a user's copy of the shipped ones is the same."""
    assert Hearts().fingerprint == load_anatomy("chest").fingerprint
    assert Hearts(files_of("chest")).fingerprint == load_anatomy("chest").fingerprint
    assert Brains().fingerprint == load_anatomy("brain").fingerprint


def test_axes_are_superior_anterior_right() -> None:
    chest, brain = load_anatomy("chest"), load_anatomy("brain")
    height, front, right = range(3)

    def middle(anatomy: Anatomy, value: int) -> torch.Tensor:
        return anatomy.points_in((value,)).mean(0)

    assert middle(chest, 850)[height] > middle(chest, 500)[height]
    assert middle(chest, 600)[front] > middle(chest, 420)[front]
    assert middle(chest, 550)[right] > middle(chest, 500)[right]
    assert middle(brain, 53)[right] > middle(brain, 17)[right]


def test_any_orientation_reads_the_same(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, labels = pair
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    straight = Anatomy.from_files(
        save(tmp_path / "a.nii.gz", image, affine), save(tmp_path / "b.nii.gz", labels, affine)
    )
    turned = affine @ np.array([[-1.0, 0, 0, 4], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    other = Anatomy.from_files(
        save(tmp_path / "c.nii.gz", image[::-1].transpose(0, 2, 1).copy(), turned),
        save(tmp_path / "d.nii.gz", labels[::-1].transpose(0, 2, 1).copy(), turned),
    )
    assert straight.spacing_mm == other.spacing_mm == (4.0, 3.0, 2.0)
    assert straight.image.shape == (7, 6, 5)
    assert torch.equal(straight.image, other.image)
    assert straight.fingerprint == other.fingerprint
    assert straight.centre_mm == (16.0, 9.0, 3.0)


def test_bad_files_are_named(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, labels = pair
    good, marks = save(tmp_path / "image.nii.gz", image), save(tmp_path / "labels.nii.gz", labels)
    text = tmp_path / "text.nii.gz"
    text.write_text("not a volume")
    bad = {
        tmp_path / "absent.nii.gz": "no such file",
        text: "is no NIfTI file",
        save(tmp_path / "short.nii.gz", labels[1:]): "grid",
        save(tmp_path / "shifted.nii.gz", labels, np.diag([1.0, 1, 2, 1])): "grid",
        save(tmp_path / "empty.nii.gz", labels * 0): "all 0",
        save(tmp_path / "fraction.nii.gz", labels + np.float32(0.5)): "whole numbers",
        save(tmp_path / "series.nii.gz", np.stack([labels, labels], -1)): "several frames",
    }
    for path, reason in bad.items():
        with pytest.raises(UserError, match=reason) as caught:
            Anatomy.from_files(good, path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"image\.nii.*420"):
        Anatomy.from_files(good, marks, "image.nii").require((420, 500))


def test_signed_distance(pair: tuple[np.ndarray, np.ndarray]) -> None:
    labels = torch.zeros(9, 9, 9, dtype=torch.int16)
    labels[3:6, 3:6, 3:6] = 7
    anatomy = Anatomy("box", labels.float(), labels, (2.0, 1.0, 1.0))
    distance = anatomy.distance((7,), reach_mm=3.0)
    assert distance[4, 4, 4] == -2
    assert distance[4, 4, 7] == 2
    assert distance[7, 4, 4] == 3
    assert distance.max() == 3
    assert anatomy.distance((7,), reach_mm=3.0) is distance


def test_points_of_a_structure_are_the_millimetres_of_its_voxels() -> None:
    labels = torch.zeros(5, 6, 7, dtype=torch.int16)
    labels[3, 4, 5], labels[0, 0, 1], labels[1, 1, 1] = 7, 8, 9
    anatomy = Anatomy("three voxels", labels.float(), labels, (2.0, 1.0, 0.5))
    assert anatomy.points_in((7, 8)).tolist() == [[0, 0, 0.5], [6, 4, 2.5]]
    assert anatomy.voxel_points(labels == 9).tolist() == [[2, 1, 0.5]]
