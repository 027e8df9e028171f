"""One scan is one volume, whatever the format, orientation, byte order and compression of its files."""

from __future__ import annotations

import gzip
import random
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from ssl_bench.data.io.formats import read_volume
from tests.data.io.scans import ORIENTATIONS, scan, write, write_series

PLANES = ("LPS", "LIP", "PIL")
"""The orders in which scanners store axial, coronal and sagittal slices."""
FORMATS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", "")


def assert_same(found, expected):
    np.testing.assert_allclose(found.voxels, expected.voxels, atol=1e-4)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-4)
    assert found.spacing_mm == expected.spacing_mm


@pytest.mark.parametrize("suffix", FORMATS, ids=lambda suffix: suffix or "dicom")
def test_any_orientation_of_any_format_reads_to_one_volume(tmp_path, suffix):
    image, expected = scan()
    for code in {*random.Random(suffix).sample(ORIENTATIONS, 12), *PLANES}:
        found = read_volume(write(image, tmp_path / f"{code}{suffix}", code))
        assert_same(found, expected)
        assert found.voxels.dtype == np.int16, code
        assert found.voxels.flags.c_contiguous


def test_axes_run_to_superior_anterior_and_right(tmp_path):
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)  # x to the left, y to posterior, z to inferior
    affine = np.array([[-1, 0, 0, 5], [0, -2, 0, 6], [0, 0, -3, 7], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "a.nii.gz")
    found = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(found.voxels, voxels.transpose(2, 1, 0)[::-1, ::-1, ::-1])
    np.testing.assert_allclose(found.affine, [[3, 0, 0, -2], [0, 2, 0, 2], [0, 0, 1, 4], [0, 0, 0, 1]])


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize(
    ("stored", "kept"),
    [("float64", "float32"), ("float32", "float32"), ("uint8", "uint8"), ("uint16", "uint16"), ("int32", "int16")],
)
def test_whole_numbers_stay_whole_and_fractions_are_float32(tmp_path, suffix, stored, kept):
    image, expected = scan(np.dtype(stored).type)
    found = read_volume(write(image, tmp_path / f"a{suffix}"))
    assert_same(found, expected)
    assert found.voxels.dtype == np.dtype(kept)


def test_wide_integers_stay_exact(tmp_path):
    voxels = np.full((2, 3, 4), 2**53 + 1)
    nib.save(nib.Nifti1Image(voxels, np.eye(4), dtype="int64"), tmp_path / "a.nii")
    assert (read_volume(tmp_path / "a.nii").voxels == 2**53 + 1).all()


@pytest.mark.parametrize(
    ("slope", "intercept", "kept"), [(1, -1024, "int16"), (0.5, 3, "float32"), (1, 0.5, "float32")]
)
def test_nifti_scaling_is_applied(tmp_path, slope, intercept, kept):
    stored = np.array([0, 1, 4000, 65535 // 2], np.uint16).repeat(6).reshape(4, 3, 2)
    image = nib.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(slope, intercept)
    nib.save(image, tmp_path / "a.nii")
    file = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii").write_bytes(file[:352] + stored.tobytes("F"))  # nibabel scales what it saves
    found = read_volume(tmp_path / "a.nii").voxels
    np.testing.assert_allclose(found, stored.T * float(slope) + intercept)
    assert found.dtype == np.dtype(kept)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_nifti_of_either_byte_order_and_version_is_read_in_native_order(tmp_path, kind):
    image, expected = scan()
    plain = nib.load(write(image, tmp_path / "plain.nii"))
    header = kind.header_class(endianness=">")
    header.set_data_dtype(">i2")
    nib.save(kind(np.asanyarray(plain.dataobj), plain.affine, header), tmp_path / "a.nii")
    found = read_volume(tmp_path / "a.nii")
    assert_same(found, expected)
    assert found.voxels.dtype.isnative


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_itk_formats_in_big_endian_order(tmp_path, suffix):
    image, expected = scan()
    path = write(image, tmp_path / f"a{suffix}")
    file, size = path.read_bytes(), expected.voxels.nbytes
    header = file[:-size].replace(b"endian: little", b"endian: big").replace(b"OrderMSB = False", b"OrderMSB = True")
    path.write_bytes(header + np.frombuffer(file[-size:], "<i2").astype(">i2").tobytes())
    assert_same(read_volume(path), expected)


def test_compression_is_known_by_content(tmp_path):
    image, expected = scan()
    plain = write(image, tmp_path / "plain.nii").read_bytes()
    (tmp_path / "packed.nii").write_bytes(gzip.compress(plain))
    (tmp_path / "unpacked.nii.gz").write_bytes(plain)
    assert_same(read_volume(tmp_path / "packed.nii"), expected)
    assert_same(read_volume(tmp_path / "unpacked.nii.gz"), expected)


def test_the_case_of_a_suffix_does_not_matter(tmp_path):
    image, expected = scan()
    assert_same(read_volume(write(image, tmp_path / "a.nii.gz").rename(tmp_path / "A.NII.GZ")), expected)


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_a_single_frame_is_a_volume(tmp_path, suffix):
    image, expected = scan(oblique=False)
    sitk.WriteImage(sitk.JoinSeries([image]), str(tmp_path / f"a{suffix}"))
    assert_same(read_volume(tmp_path / f"a{suffix}"), expected)


@pytest.mark.parametrize(("intercept", "kept"), [(b"0     ", "int16"), (b"-999.5", "float32"), (b"90000 ", "int32")])
def test_each_dicom_slice_has_its_own_rescaling(tmp_path, intercept, kept):
    image, expected = scan()
    slices = write(image, tmp_path / "a", "RAS").iterdir()
    last = max(slices, key=lambda path: sitk.ReadImage(path).GetOrigin()[2])
    last.write_bytes(last.read_bytes().replace(b"-1024 ", intercept))
    voxels = expected.voxels.astype(np.float32)
    voxels[-1] += 1024 + float(intercept)
    found = read_volume(tmp_path / "a").voxels
    np.testing.assert_allclose(found, voxels)
    assert found.dtype == np.dtype(kept)


def test_dicom_places_that_are_rounded_are_even(tmp_path):
    image, _ = scan(oblique=False)
    slices = write_series(image, tmp_path / "a", offset=lambda number: (0, 0, 2.5 * number + 0.2 * (number == 1)))
    assert read_volume(slices).spacing_mm == (2.5, 0.8, 0.7)


@pytest.mark.parametrize("alone_in_folder", [True, False])
def test_dicom_frames_in_one_file(tmp_path, alone_in_folder):
    image, expected = scan()
    path = write(image, tmp_path / "a.dcm", "PIR")
    assert_same(read_volume(tmp_path if alone_in_folder else path), expected)


def test_nifti_without_sform_takes_the_quaternion_and_its_unit(tmp_path):
    image, expected = scan()
    plain = nib.load(write(image, tmp_path / "plain.nii"))
    affine = np.diag([1000, 1000, 1000, 1]) @ plain.affine
    microns = nib.Nifti1Image(np.asanyarray(plain.dataobj), affine, dtype="int16")
    microns.set_qform(affine, 1)
    microns.set_sform(None, 0)
    microns.header.set_xyzt_units("micron")
    nib.save(microns, tmp_path / "a.nii")
    assert_same(read_volume(tmp_path / "a.nii"), expected)


def test_hand_written_headers_are_enough(tmp_path):
    values = np.arange(24, dtype="<i2").reshape(2, 3, 4)
    (tmp_path / "a.raw").write_bytes(values.tobytes())
    shape = "NDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\n"
    (tmp_path / "a.mhd").write_text(f"{shape}ElementSpacing = 1 2 3\nElementDataFile = a.raw\n")
    space = "space: right-anterior-superior\nspace directions: (-1,0,0) (0,-2,0) (0,0,3)\n"
    fields = f"type: int16\ndimension: 3\n{space}sizes: 4 3 2\nencoding: raw\nendian: little\ndata file: a.raw\n"
    (tmp_path / "a.nhdr").write_text(f"NRRD0004\n{fields}")
    for name in ("a.mhd", "a.nhdr"):
        found = read_volume(tmp_path / name)
        np.testing.assert_array_equal(found.voxels, values[:, ::-1, ::-1])
        np.testing.assert_allclose(found.affine, [[3, 0, 0, 0], [0, 2, 0, -4], [0, 0, 1, -3], [0, 0, 0, 1]])


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_compressed_voxels_of_itk_formats(tmp_path, suffix):
    image, expected = scan(oblique=False)
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"), True)
    assert_same(read_volume(tmp_path / f"a{suffix}"), expected)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ""], ids=lambda suffix: suffix or "dicom")
def test_reading_takes_two_copies_at_most(tmp_path, suffix):
    values = np.zeros((32, 256, 256), np.int16)
    path = write(sitk.GetImageFromArray(values), tmp_path / f"a{suffix}")
    read_volume(path)
    tracemalloc.start()
    read_volume(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.3 * values.nbytes
