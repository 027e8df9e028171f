"""What is not one volume is refused in one line that names the file, the reason and the way out."""

from __future__ import annotations

import gzip
import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from ssl_bench.data.io.formats import find_volumes, read_volume
from ssl_bench.errors import UserError
from tests.data.io.scans import scan, write, write_series

IMAGE, _ = scan()
VALUES = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


def nifti(folder, values=VALUES, affine=None, name="a.nii"):
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else np.array(affine)), folder / name)
    return folder / name


def at(path, offset, data):
    file = path.read_bytes()
    end = offset + len(data)
    path.write_bytes(file[:offset] + data + (file[end:] if end else b""))
    return path


def cut(path, count):
    path.write_bytes(path.read_bytes()[:-count])
    return path


def text(folder, name, content=b"<html>404 Not Found</html>"):
    (folder / name).write_bytes(content)
    return folder / name


def without(path, data):
    (path.parent / data).unlink()
    return path


def emptied(path, data):
    (path.parent / data).write_bytes(b"")
    return path


def joined(folder, name):
    sitk.WriteImage(sitk.JoinSeries([IMAGE, IMAGE]), str(folder / name))
    return folder / name


def hollow(value, kind=np.float32):
    values = VALUES.astype(kind)
    values[1, 2, 3] = value
    return values


def sheared(folder, name):
    image = sitk.Image(IMAGE)
    image.SetDirection((1, 0.1, 0, 0, 1, 0, 0, 0, 1))
    return write_as_is(image, folder / name)


def write_as_is(image, path):
    sitk.WriteImage(image, str(path))
    return path


def packed(path):
    sitk.WriteImage(IMAGE, str(path), True)
    return path


def frames_and_slices(folder):
    frames = sitk.DICOMOrient(IMAGE, "LPS")
    for tag, value in {"0008|0060": "CT", "0020|000e": "1.2.3.4", "0020|000d": "1.2.3", "0008|0018": "1.9"}.items():
        frames.SetMetaData(tag, value)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(series(folder) / "frames.dcm"))
    writer.Execute(frames)
    return folder / "scan"


def series(folder, **options):
    return write_series(sitk.DICOMOrient(IMAGE, "LPS"), folder / "scan", **options)


def two(folder, second, **options):
    """Two calls into one folder: the slices of `options` and those of a second image."""
    series(folder, **options)
    return write_series(second, folder / "scan", name="second{}")


def metaimage(folder, old, new):
    sitk.WriteImage(sitk.Image(3, 4, 5, sitk.sitkInt16), str(folder / "a.mha"))
    file = (folder / "a.mha").read_bytes()
    return text(folder, "a.mha", file.replace(old, new))


def quaternion_only(path, pixdim):
    """A NIfTI that has its quaternion alone, with a spacing along x as given."""
    at(at(path, 252, np.array([1, 0], "<i2").tobytes()), 80, np.array([pixdim], "<f4").tobytes())
    return path


REFUSED = [
    ("no such file", lambda f: f / "a.nii.gz"),
    ("is empty;", lambda f: text(f, "a.mha", b"")),
    ("is damaged or cut short (Compressed file ended", lambda f: cut(write(IMAGE, f / "a.nii.gz"), 100)),
    (
        "(CRC check failed",
        lambda f: text(f, "a.nii.gz", at(text(f, "b", gzip.compress(nifti(f).read_bytes())), -8, b"0000").read_bytes()),
    ),
    ("cut short (140 of 240 bytes)", lambda f: cut(nifti(f), 100)),
    ("is no NIfTI file", lambda f: text(f, "a.nii.gz")),
    ("is no NIfTI file", lambda f: at(nifti(f), 344, b"ni1")),
    ("broken NIfTI header (data type 77)", lambda f: at(nifti(f), 70, bytes([77, 0]))),
    (
        "broken NIfTI header (Valid slope but invalid intercept",
        lambda f: at(nifti(f), 112, np.array([1, np.nan], "<f4").tobytes()),
    ),
    ("broken MetaImage header (invalid literal", lambda f: metaimage(f, b"3 4 5", b"3 4 x")),
    ("broken MetaImage header (NDims = 3, DimSize = 3 4)", lambda f: metaimage(f, b"3 4 5", b"3 4")),
    ("is no MetaImage", lambda f: text(f, "a.mha")),
    ("is no NRRD file", lambda f: text(f, "a.nrrd")),
    ("of another kind (parsed 2 values", lambda f: text(f, "a.nrrd", b"NRRD0004\ndimension: 3\nsizes: 2 2\n\n")),
    ("of another kind (a file without rows of pixels)", lambda f: text(f, "a.dcm")),
    ("no volume that can be read", lambda f: text(f, "a.txt")),
    ("holds no DICOM slices", lambda f: f),
    ("NaN or infinite", lambda f: nifti(f, hollow(np.nan))),
    ("NaN or infinite", lambda f: nifti(f, hollow(-np.inf))),
    ("NaN or infinite", lambda f: nifti(f, hollow(1e300, np.float64))),
    ("3 x 4 x 1 voxels are no volume", lambda f: nifti(f, VALUES[:, :, :1])),
    ("3 x 4 voxels are no volume", lambda f: nifti(f, VALUES[:, :, 0])),
    ("7 x 6 x 1 voxels are no volume", lambda f: next(series(f, keep=[0]).iterdir())),
    ("7 x 6 voxels are no volume", lambda f: write_as_is(IMAGE[:, :, 0], f / "a.mha")),
    ("holds several frames (3 x 4 x 5 x 2)", lambda f: nifti(f, np.stack([VALUES] * 2, -1))),
    ("holds several frames (7 x 6 x 5 x 2)", lambda f: joined(f, "a.mha")),
    ("holds several frames (7 x 6 x 5 x 2)", lambda f: joined(f, "a.nrrd")),
    ("voxels are vector of 16-bit signed integers", lambda f: write_as_is(sitk.Compose(IMAGE, IMAGE), f / "a.nrrd")),
    ("complex numbers or colours", lambda f: nifti(f, VALUES.astype(np.complex64))),
    ("complex numbers or colours", lambda f: nifti(f, np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")]))),
    ("not at right angles", lambda f: nifti(f, affine=np.eye(4) + np.eye(4, k=1) * 0.1)),
    ("not at right angles (a sheared", lambda f: sheared(f, "a.mha")),
    ("not at right angles (a sheared", lambda f: sheared(f, "a.nrrd")),
    (
        "not at right angles (a sheared affine or a tilted gantry)",
        lambda f: series(f, offset=lambda n: n * np.array([0, 0.3, 2.5])),
    ),
    ("affine is singular", lambda f: at(nifti(f), 280, np.array([1, 1, 0, 0, 0, 0], "<f4").tobytes())),
    ("no spacing for every axis", lambda f: at(nifti(f), 280, bytes(16))),
    ("no spacing for every axis", lambda f: at(nifti(f), 280, np.array([np.nan], "<f4").tobytes())),
    ("has spacing [0. 1. 1.]", lambda f: quaternion_only(nifti(f), 0)),
    ("has spacing [-1.  1.  1.]", lambda f: quaternion_only(nifti(f), -1)),
    ("has spacing (0.0, 1.0, 1.0)", lambda f: metaimage(f, b"ElementSpacing = 1", b"ElementSpacing = 0")),
    ("a.raw, which is missing", lambda f: without(write(IMAGE, f / "a.mhd"), "a.raw")),
    ("(couldn't open", lambda f: without(write(IMAGE, f / "a.nhdr"), "a.raw")),
    ("is cut short (410 of 420 bytes);", lambda f: cut(write(IMAGE, f / "a.mha"), 10)),
    ("is cut short (0 of 420 bytes in a.raw);", lambda f: emptied(write(IMAGE, f / "a.mhd"), "a.raw")),
    ("is cut short (its compressed voxels do not end)", lambda f: cut(packed(f / "a.mha"), 10)),
    ("is cut short (its compressed voxels do not end)", lambda f: emptied(packed(f / "a.mhd"), "a.zraw")),
    ("is cut short (its compressed voxels do not end)", lambda f: cut(packed(f / "a.nrrd"), 1)),
    ("is cut short (its compressed voxels do not end)", lambda f: emptied(packed(f / "a.nhdr"), "a.raw.gz")),
    ("is damaged (Error -3", lambda f: at(packed(f / "a.mha"), -90, bytes(50))),
    ("is damaged (Error -3", lambda f: at(packed(f / "a.nrrd"), -90, bytes(50))),
    ("(fread got only", lambda f: cut(write(IMAGE, f / "a.nrrd"), 10)),
    ("holds 2 DICOM series", lambda f: series(f) and series(f, series="1.2.3.5", name="second{}")),
    ("are 5 mm apart, others 2.5 mm; add the missing slices", lambda f: series(f, keep=[0, 1, 3, 4])),
    ("are 2.8 mm apart, others 2.5 mm", lambda f: series(f, offset=lambda n: (0, 0, 2.5 * n + 0.3 * (n == 4)))),
    ("lie at the same place", lambda f: series(f) and series(f, keep=[2], name="second{}")),
    ("and frame 1 of frames.dcm lie at the same place", frames_and_slices),
    ("slices differ in size (", lambda f: two(f, sitk.DICOMOrient(IMAGE, "LPS")[:6, :, :])),
    ("differ in orientation or pixel size", lambda f: two(f, sitk.DICOMOrient(IMAGE, "RPS"))),
    ("scan/5: is damaged", lambda f: cut(series(f) / "5", 60).parent),
]


@pytest.mark.parametrize(("reason", "make"), REFUSED, ids=[reason for reason, _ in REFUSED])
def test_a_file_that_is_no_volume_is_refused_with_its_reason(tmp_path, capfd, reason, make):
    path = make(tmp_path)
    with pytest.raises(UserError) as refusal:
        read_volume(path)
    line = str(refusal.value)
    assert line.startswith(str(path))
    assert reason in line
    assert "; " in line
    assert "\n" not in line
    assert capfd.readouterr() == ("", "")


def test_itk_keeps_its_warnings_and_a_success_that_is_none(tmp_path):
    shape = "NDims = 3\nDimSize = 4 3 2\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n"
    with pytest.raises(UserError, match=r"\(File cannot be read"):
        read_volume(text(tmp_path, "a.mhd", f"{shape}ElementDataFile = LIST\nmissing.raw\n".encode()))
    assert not sitk.ProcessObject.GetGlobalWarningDisplay()


@pytest.fixture
def nobody():
    """A user to whom permissions apply, even where the tests run as root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


@pytest.mark.parametrize("look", [read_volume, lambda path: find_volumes(path.parent)])
def test_what_may_not_be_read_is_refused(tmp_path, request, look):
    nifti(tmp_path).chmod(0)
    tmp_path.chmod(0 if look is not read_volume else 0o755)
    request.getfixturevalue("nobody")
    with pytest.raises(UserError, match="may not be read; change its permissions"):
        look(tmp_path / "a.nii")


def test_a_file_that_was_not_fetched_says_what_fetches_it(tmp_path):
    (tmp_path / "a.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    (tmp_path / "b.mha").write_text("/annex/objects/MD5E-s1--00.mha\n")
    (tmp_path / "c.nii.gz").symlink_to(".git/annex/objects/c.nii.gz")
    for name, said in (("a.nii.gz", "git lfs pull"), ("b.mha", "git annex get"), ("c.nii.gz", "is a link to nothing")):
        with pytest.raises(UserError, match=rf"{name}: .*{said}"):
            read_volume(tmp_path / name)
