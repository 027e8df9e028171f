"""Which volumes a folder holds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ssl_bench.data.io.formats import find_volumes, natural_key, read_volume
from ssl_bench.errors import UserError
from tests.data.io.scans import scan, write, write_series

DICOM = bytes(128) + b"DICM"


def tree(root, *names, content=b"x"):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def found(root):
    return [path.relative_to(root).as_posix() for path in find_volumes(root)]


def test_numbers_in_names_count_as_numbers():
    names = ["s10", "s9", "s09", "s1-2", "s1-10", "10", "9", "a"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "s1-2", "s1-10", "s09", "s9", "s10"]


def test_volumes_of_every_format_and_depth_are_found_in_natural_order(tmp_path):
    tree(tmp_path, "10/a.nii.gz", "9/a.MHA", "9/b.mhd", "9/b.raw", "9/deep/er/c.nrrd", "9/c.nhdr", "a.nii", "notes.csv")
    tree(tmp_path, "9/.hidden.nii", "9/._a.nii", ".trash/a.nii", "__MACOSX/._a.nii", "label.txt", "a.nii.gz.part")
    assert found(tmp_path) == ["9/a.MHA", "9/b.mhd", "9/c.nhdr", "9/deep/er/c.nrrd", "10/a.nii.gz", "a.nii"]


def test_a_folder_of_dicom_slices_is_one_volume(tmp_path):
    tree(tmp_path, "1/IM1", "1/IM2", "2/1.3.6.1", "3/a.ima", "4/DICOMDIR", content=DICOM)
    tree(tmp_path, "5/a.dcm", "5/b.dcm", "5/beside.nii", "6/IM1")
    assert found(tmp_path) == ["1", "2", "3", "5", "5/beside.nii"]
    assert find_volumes(tmp_path / "1") == [tmp_path / "1"]


def test_links_are_followed_once_and_never_in_circles(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    tree(root, "z/a.nii")
    tree(outside, "b.nii")
    (root / "z" / "loop").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "another_name").symlink_to(root / "z")
    (root / "elsewhere").symlink_to(outside)
    (root / "dangling.nii").symlink_to(tmp_path / "nowhere")
    assert found(root) == ["dangling.nii", "elsewhere/b.nii", "z/a.nii"]


def test_what_is_found_can_be_read(tmp_path):
    image, expected = scan()
    for suffix in (".nii.gz", ".nrrd", ".mhd"):
        write(image, tmp_path / f"a{suffix}")
    write_series(image, tmp_path / "plain")
    write_series(image, tmp_path / "with_suffix", name="{}.dcm")
    tree(
        tmp_path, "plain/DICOMDIR", "plain/.DS_Store", "with_suffix/._5.dcm", "with_suffix/notes.txt", content=DICOM[:9]
    )
    volumes = [read_volume(path) for path in find_volumes(tmp_path)]
    assert len(volumes) == 5
    assert all((volume.voxels == expected.voxels).all() for volume in volumes)


@pytest.mark.parametrize("name", ["nowhere", "a.nii"])
def test_what_is_no_folder_is_refused(tmp_path, name):
    tree(tmp_path, "a.nii")
    with pytest.raises(UserError, match=f"{name}: no such folder; "):
        find_volumes(tmp_path / name)


def test_looking_for_volumes_loads_none_of_the_libraries_that_read_them():
    check = "import sys, ssl_bench.data.io.formats; assert not {'nibabel', 'SimpleITK', 'pydicom'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", check], check=True)
