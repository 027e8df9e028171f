"""What headers say of sizes, places and values, or leave out: read right, noted or refused, alike in every format."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from ssl_bench.data.io.formats import read_volume
from ssl_bench.data.io.units import millimetres
from ssl_bench.errors import UserError

VALUES = np.arange(-30, 30, dtype="<i2").reshape(3, 4, 5)
"""(K, J, I)."""


def metaimage(folder, *fields, suffix="mha"):
    """Of these fields and what they leave out; the voxels lie in the file, or beside an mhd."""
    data = "LOCAL" if suffix == "mha" else "ä.raw"
    described = ["ObjectType = Image", "NDims = 3", *fields, "DimSize = 5 4 3", "ElementType = MET_SHORT"]
    header = "\n".join([*described, f"ElementDataFile = {data}", ""]).encode()
    (folder / f"a.{suffix}").write_bytes(header + (VALUES.tobytes() if suffix == "mha" else b""))
    (folder / "ä.raw").write_bytes(VALUES.tobytes())
    return folder / f"a.{suffix}"


def nrrd(folder, *fields, space="space: left-posterior-superior"):
    described = ["NRRD0005", "type: short", "dimension: 3", "sizes: 5 4 3", "endian: little", "encoding: raw"]
    header = "\n".join([*described, *([space] if space else []), *fields, "", ""]).encode()
    (folder / "a.nrrd").write_bytes(header + VALUES.tobytes())
    return folder / "a.nrrd"


def nifti(folder, affine, unit="mm", sform=2, qform=1, pixdim=None):
    image = nib.Nifti1Image(VALUES.T, affine)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    image.header.set_xyzt_units(unit)
    nib.save(image, folder / "a.nii")
    if pixdim is not None:
        file = (folder / "a.nii").read_bytes()
        (folder / "a.nii").write_bytes(file[:80] + np.array(pixdim, "<f4").tobytes() + file[92:])
    return folder / "a.nii"


def directions(x, y, z):
    return f"space directions: ({x},0,0) (0,{y},0) (0,0,{z})"


# Sizes and their units.

READ = {
    "mha in mm": lambda f: metaimage(f, "ElementSpacing = 0.7 0.8 2.5", "DistanceUnits = mm"),
    "mhd, its data's name not in ASCII": lambda f: metaimage(f, "ElementSpacing = 0.7 0.8 2.5", suffix="mhd"),
    "mha of unknown unit": lambda f: metaimage(f, "ElementSpacing = 0.7 0.8 2.5", "DistanceUnits = ?"),
    "mha in um": lambda f: metaimage(f, "ElementSpacing = 700 800 2500", "DistanceUnits = um"),
    "mha in cm": lambda f: metaimage(f, "ElementSpacing = .07 .08 .25", "DistanceUnits = cm"),
    "mha of an old name": lambda f: metaimage(f, "ElementSize = 0.7 0.8 2.5"),
    "nrrd in mm": lambda f: nrrd(f, directions(0.7, 0.8, 2.5), 'space units: "mm" "mm" "mm"'),
    "nrrd without a unit": lambda f: nrrd(f, directions(0.7, 0.8, 2.5)),
    "nrrd in um": lambda f: nrrd(f, directions(700, 800, 2500), 'space units: "um" "um" "um"'),
    "nrrd in \N{MICRO SIGN}m": lambda f: nrrd(f, directions(700, 800, 2500), 'space units: "µm" "µm" "µm"'),
    "nrrd in m": lambda f: nrrd(f, directions(0.0007, 0.0008, 0.0025), 'space units: "m" "m" "m"'),
    "nrrd in cm, by spacings": lambda f: nrrd(f, "spacings: .07 .08 .25", 'units: "cm" "cm" "cm"', space=None),
    "nrrd by spacings": lambda f: nrrd(f, "Spacings: 0.7 0.8 2.5", space=None),
    "nifti in mm": lambda f: nifti(f, np.diag([0.7, 0.8, 2.5, 1])),
    "nifti of unknown unit": lambda f: nifti(f, np.diag([0.7, 0.8, 2.5, 1]), "unknown"),
    "nifti in um": lambda f: nifti(f, np.diag([700, 800, 2500, 1]), "micron"),
    "nifti in m": lambda f: nifti(f, np.diag([0.0007, 0.0008, 0.0025, 1]), "meter"),
    "nifti in m by its qform": lambda f: nifti(f, np.diag([0.0007, 0.0008, 0.0025, 1]), "meter", sform=0),
}


@pytest.mark.parametrize("make", READ.values(), ids=READ)
def test_a_spacing_counts_in_its_unit(tmp_path, make):
    assert read_volume(make(tmp_path)).spacing_mm == (2.5, 0.8, 0.7)


def test_places_count_in_the_unit_too(tmp_path):
    mha = metaimage(tmp_path, "ElementSpacing = 0.1 0.1 0.2", "DistanceUnits = cm", "Offset = 1 2 3")
    in_cm = nrrd(tmp_path, directions(0.1, 0.1, 0.2), "space origin: (1,2,3)", 'space units: "cm" "cm" "cm"')
    for path in (mha, in_cm):
        stored = read_volume(path).file_grid.affine
        np.testing.assert_allclose(stored[:3, 3], [30, -20, -10])


@pytest.mark.parametrize(
    ("unit", "length"), [("Millimetres", 1), ("microns", 1e-3), ("nm", 1e-6), ("inch", 25.4), ("", 1), ("???", 1)]
)
def test_units_go_by_many_names(tmp_path, unit, length):
    assert millimetres(tmp_path, unit) == length


NO_SPACING = {
    "mha": lambda f: metaimage(f),
    "mha in another case": lambda f: metaimage(f, "elementspacing = 1 1 1"),
    "nrrd": lambda f: nrrd(f),
    "nrrd of nan": lambda f: nrrd(f, "spacings: nan nan nan", space=None),
    "nrrd, a remark only": lambda f: nrrd(f, "spacings:=1 1 1"),
    "nrrd, of two axes": lambda f: nrrd(f, "spacings: 1 1 nan", space=None),
}


@pytest.mark.parametrize("make", NO_SPACING.values(), ids=NO_SPACING)
def test_a_header_without_a_spacing_is_refused(tmp_path, make):
    path = make(tmp_path)
    with pytest.raises(
        UserError, match=f"^{path}: its header gives no spacing .*; write the file again with its spacing$"
    ):
        read_volume(path)


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        (
            "gives no spacing (space directions) but only axis mins",
            lambda f: nrrd(f, "axis mins: 0 0 0", "axis maxs: 9 9 9"),
        ),
        (
            "counts in 'furlong', which is not known",
            lambda f: nrrd(f, directions(1, 1, 1), 'space units: "furlong" "" ""'),
        ),
        ("counts in 'parsec'", lambda f: metaimage(f, "ElementSpacing = 1 1 1", "DistanceUnits = parsec")),
        ("in different units (mm, mm, cm)", lambda f: nrrd(f, directions(1, 1, 1), 'space units: "mm" "mm" "cm"')),
        ("has spacing (1.0, 0.0, 1.0)", lambda f: metaimage(f, "ElementSpacing = 1 0 1")),
        ("(NDims = 3, ElementSpacing = 1 1)", lambda f: metaimage(f, "ElementSpacing = 1 1")),
        ("header (could not convert string", lambda f: metaimage(f, "ElementSpacing = 1 1 x")),
    ],
)
def test_a_spacing_that_does_not_do_is_refused(tmp_path, reason, make):
    path = make(tmp_path)
    with pytest.raises(UserError) as refusal:
        read_volume(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert reason in str(refusal.value)
    assert "write the file again" in str(refusal.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda f: metaimage(f, "ElementSpacing = -1 2 3", "Offset = 10 20 30"),
        lambda f: nrrd(f, "spacings: -1 2 3", space=None),
        lambda f: nrrd(f, directions(-1, 2, 3), "space origin: (10,20,30)"),
    ],
    ids=["mha", "nrrd", "nrrd by directions"],
)
def test_an_axis_of_negative_spacing_runs_backwards_as_in_itk(tmp_path, make):
    path = make(tmp_path)
    found, image = read_volume(path), sitk.DICOMOrient(sitk.ReadImage(path), "RAS")
    np.testing.assert_array_equal(found.voxels, sitk.GetArrayFromImage(image))
    assert found.spacing_mm == image.GetSpacing()[::-1] == (3, 2, 1)


# Which way axes run.


@pytest.mark.parametrize(
    ("make", "noted"),
    [
        (lambda f: metaimage(f, "ElementSpacing = 1 1 1"), True),
        (lambda f: metaimage(f, "ElementSpacing = 1 1 1", "TransformMatrix = 1 0 0 0 1 0 0 0 1"), False),
        (lambda f: nrrd(f, directions(1, 1, 1)), False),
        (lambda f: nrrd(f, directions(1, 1, 1), space="space: RAS"), False),
        (lambda f: nrrd(f, directions(1, 1, 1), space="space dimension: 3"), True),
        (lambda f: nrrd(f, directions(1, 1, 1), space="space: scanner-xyz"), True),
        (lambda f: nrrd(f, directions(1, 1, 1), space="space: 3D-right-handed"), True),
        (lambda f: nrrd(f, "spacings: 1 1 1", space=None), True),
        (lambda f: nifti(f, np.eye(4)), False),
        (lambda f: nifti(f, np.eye(4), sform=0), False),
        (lambda f: nifti(f, np.eye(4), qform=0), False),
        (lambda f: nifti(f, np.eye(4), sform=0, qform=0), True),
    ],
)
def test_a_header_without_an_orientation_is_noted(tmp_path, make, noted):
    notes = read_volume(make(tmp_path)).notes
    assert len(notes) == noted
    assert all("does not say which way its axes run" in note for note in notes)


def test_a_nifti_that_says_two_things_is_noted(tmp_path):
    path = nifti(tmp_path, np.diag([2.0, 2, 2, 1]), pixdim=(1, 1, 2))
    expected = "its sform gives voxels of 2 x 2 x 2 mm and its pixdim of 1 x 1 x 2 mm: the sform was taken"
    assert read_volume(path).notes == (expected,)
    assert read_volume(path).spacing_mm == (2, 2, 2)
    assert read_volume(nifti(tmp_path, np.diag([700, 800, 2500, 1]), "micron")).notes == ()
    image = nib.load(nifti(tmp_path, np.eye(4)))
    image.set_qform(np.diag([-1, -1, 1, 1]), 1)
    nib.save(image, tmp_path / "b.nii")
    assert read_volume(tmp_path / "b.nii").notes == (
        "its sform and its qform lie up to 8.0 voxels apart: the sform was taken",
    )
    np.testing.assert_array_equal(read_volume(tmp_path / "b.nii").voxels, VALUES)


# Values.

SLOPE, OFFSET = "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset"


@pytest.mark.parametrize(
    ("slope", "offset", "kept"), [("0.5", "-100", "float32"), ("1", "-1024", "int16"), ("2", "0", "float32")]
)
def test_the_intensity_function_of_a_metaimage_is_applied(tmp_path, slope, offset, kept):
    found = read_volume(metaimage(tmp_path, "ElementSpacing = 1 1 1", f"{SLOPE} = {slope}", f"{OFFSET} = {offset}"))
    np.testing.assert_allclose(found.voxels, (VALUES * float(slope) + float(offset))[:, ::-1, ::-1])
    assert found.voxels.dtype == np.dtype(kept)


@pytest.mark.parametrize("fields", [[f"{SLOPE} = 0"], [f"{SLOPE} = nan"], [f"{SLOPE} = 1", f"{OFFSET} = inf"]])
def test_an_intensity_function_without_values_is_refused(tmp_path, fields):
    with pytest.raises(UserError, match=f"makes no values of its voxels .{SLOPE} = "):
        read_volume(metaimage(tmp_path, "ElementSpacing = 1 1 1", *fields))


def test_a_scaling_that_the_format_does_not_know_is_noted(tmp_path):
    spaced = ["ElementSpacing = 1 1 1", "TransformMatrix = 1 0 0 0 1 0 0 0 1"]
    found = read_volume(metaimage(tmp_path, *spaced, "ElementSlope = 0.5", "RescaleIntercept = 0"))
    np.testing.assert_array_equal(found.voxels, VALUES[:, ::-1, ::-1])
    assert found.notes[0].startswith("its header holds ElementSlope = 0.5, RescaleIntercept = 0, which MetaImage")
    assert read_volume(metaimage(tmp_path, *spaced, "RescaleSlope = 1")).notes == ()
    (note,) = read_volume(nrrd(tmp_path, directions(1, 1, 1), "old min: -1", "old max: 1")).notes
    assert "(old min -1, old max 1): not undone" in note
