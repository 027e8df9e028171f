"""DICOM: frames of one file and slices in many are laid out, and refused, by the same rules."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    NuclearMedicineImageStorage,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)

from ssl_bench.data.io.formats import find_volumes, read_volume
from ssl_bench.errors import UserError
from tests.data.io.dicom_files import AXIAL, PLACES, SPACING, STEP, VALUES, dose, enhanced, frame, item, series, write

CANONICAL = VALUES[:, ::-1, ::-1]
"""`VALUES` with rows to the left and columns to posterior, seen with axes to superior, anterior and right."""
AFFINE = np.array([[STEP, 0, 0, 30], [0, 0.8, 0, 20 - 3 * 0.8], [0, 0, 0.7, -10 - 5 * 0.7], [0, 0, 0, 1]])
ORDER = [3, 0, 4, 1, 2]
CORONAL = [1, 0, 0, 0, 0, -1]


def shifted(aside):
    """The places with every plane moved aside, mm as a function of its number."""
    return [(x + aside(number), y, z) for number, (x, y, z) in enumerate(PLACES)]


def one_file(folder, places, values=VALUES, orientation=AXIAL):
    return enhanced(folder, [frame(place) for place in places], values, orientation)


def files(folder, places, values=VALUES, orientation=AXIAL):
    return series(folder, values, places, ImageOrientationPatient=orientation)


BOTH = pytest.mark.parametrize("lay", [one_file, files])


@BOTH
@pytest.mark.parametrize("order", [range(5), ORDER, range(5)[::-1]], ids=["in order", "mixed", "from head to foot"])
def test_places_count_and_not_the_order_of_frames(tmp_path, lay, order):
    found = read_volume(lay(tmp_path / "a", [PLACES[number] for number in order], VALUES[list(order)]))
    np.testing.assert_array_equal(found.voxels, CANONICAL)
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-9)
    assert found.notes == ()


@BOTH
def test_coronal_frames_have_their_axes_turned(tmp_path, lay):
    # Rows to the left, columns to inferior, planes from posterior to anterior.
    places = [(10, 40 - STEP * number, 0) for number in range(5)]
    found = read_volume(lay(tmp_path / "a", places, orientation=CORONAL))
    np.testing.assert_array_equal(found.voxels, VALUES.transpose(1, 0, 2)[::-1, :, ::-1])
    assert found.spacing_mm == (0.8, STEP, 0.7)


UNFIT = {
    "are 5 mm apart, others 2.5 mm; add the missing slices": [*PLACES[:3], *PLACES[4:], (10, -20, 42.5)],
    "lie at the same place": [PLACES[number] for number in (0, 1, 0, 1, 2)],
    "not at right angles (a sheared affine or a tilted gantry)": shifted(lambda number: 0.5 * number),
    "mm beside the line of the others": shifted(lambda number: 2.0 * (number % 2)),
}


@BOTH
@pytest.mark.parametrize(("reason", "places"), UNFIT.items(), ids=UNFIT)
def test_planes_that_are_no_volume_are_refused(tmp_path, lay, reason, places):
    path = lay(tmp_path / "a", places)
    with pytest.raises(UserError) as refusal:
        read_volume(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert reason in str(refusal.value)


def test_a_slice_may_lie_aside_by_less_than_half_a_pixel(tmp_path):
    found = read_volume(one_file(tmp_path, shifted(lambda number: 0.3 * (number % 2))))
    np.testing.assert_array_equal(found.voxels, CANONICAL)


def functional(**last):
    """Frames of which the last differs."""
    return [*(frame(place) for place in PLACES[:-1]), frame(PLACES[-1], **last)]


@pytest.mark.parametrize(
    ("reason", "last"),
    [
        ("holds 2 stacks of frames; export every one alone", {"stack": "2"}),
        ("frame 1 of scan.dcm and frame 5 of scan.dcm differ in orientation", {"orientation": CORONAL}),
        ("differ in orientation or pixel size", {"spacing": [0.8, 0.8]}),
    ],
)
def test_frames_of_another_kind_are_refused(tmp_path, reason, last):
    with pytest.raises(UserError, match=f"^{tmp_path / 'scan.dcm'}: .*{reason}"):
        read_volume(enhanced(tmp_path, functional(**last)))


def test_each_frame_has_its_own_rescaling(tmp_path):
    slopes = [1, 2, 0.5, 4, 1]
    frames = [frame(place, slope=slope) for place, slope in zip(PLACES, slopes, strict=True)]
    found = read_volume(enhanced(tmp_path, frames, storage=EnhancedMRImageStorage))
    np.testing.assert_allclose(found.voxels, CANONICAL * np.reshape(slopes, (5, 1, 1)) - 3)


def test_frames_in_several_files_are_one_volume(tmp_path):
    enhanced(tmp_path / "a", [frame(place) for place in PLACES[:3]], VALUES[:3]).rename(tmp_path / "1.dcm")
    enhanced(tmp_path / "a", [frame(place) for place in PLACES[3:]], VALUES[3:]).rename(tmp_path / "2.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path).voxels, CANONICAL)


# Pixels.


@pytest.mark.parametrize("lossless", [None, "JPEG", "JPEG2000"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_values_are_what_is_stored_however_they_are_to_be_shown(tmp_path, lossless, photometric):
    path = tmp_path / "a.dcm"
    values = np.random.default_rng(0).integers(-1000, 3000, (3, 64, 48)).astype(np.int16)
    image = sitk.GetImageFromArray(values)
    for tag, text in {"0008|0060": "CT", "0028|1052": "-24", "0028|1053": "1"}.items():
        image.SetMetaData(tag, text)
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    if lossless:
        writer.UseCompressionOn()
        writer.SetCompressor(lossless)
    writer.Execute(image)
    file = pydicom.dcmread(path)
    assert file.file_meta.TransferSyntaxUID.is_encapsulated == bool(lossless)
    file.PhotometricInterpretation = photometric
    file.save_as(path)
    np.testing.assert_array_equal(read_volume(path).voxels, values[:, ::-1, ::-1])


def test_monochrome1_slices_keep_their_hounsfield_units(tmp_path):
    found = read_volume(
        series(tmp_path, PhotometricInterpretation="MONOCHROME1", RescaleIntercept=-1024, RescaleSlope=1)
    )
    np.testing.assert_array_equal(found.voxels, CANONICAL.astype(int) - 1024)


def test_run_lengths_big_endian_and_old_files_are_read(tmp_path):
    values = np.random.default_rng(0).integers(0, 4000, (5, 64, 48)).astype(np.uint16)
    for number, path in enumerate(sorted(series(tmp_path, values).iterdir())):
        file = pydicom.dcmread(path)
        if number == 0:
            file.compress(RLELossless, encoding_plugin="pydicom")
            file.save_as(path)
        elif number == 1:
            file.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
            file.PixelData = values[1].astype(">u2").tobytes()
            pydicom.dcmwrite(path, file, force_encoding=True, implicit_vr=False, little_endian=False)
        elif number == 2:  # Neither the letters DICM nor a word on the encoding.
            del file.file_meta
            pydicom.dcmwrite(path, file, implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read_volume(tmp_path).voxels, values[:, ::-1, ::-1])


def test_twelve_packed_bits_are_read(tmp_path):
    def packed(number):
        first, second = VALUES[number].ravel()[::2], VALUES[number].ravel()[1::2]
        return np.stack([first & 255, first >> 8 | (second & 15) << 4, second >> 4], 1).astype(np.uint8).tobytes()

    found = read_volume(series(tmp_path, PixelData=packed, BitsAllocated=12, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(found.voxels, CANONICAL)


# Files whose frames follow one another by a step.


@pytest.mark.parametrize(
    ("offsets", "orientation"),
    [
        (np.arange(5) * STEP, AXIAL),
        (30 + np.arange(5) * STEP, AXIAL),
        (np.arange(5) * -STEP, [1, 0, 0, 0, -1, 0]),
    ],
    ids=["from the first plane", "heights", "along a normal to inferior"],
)
def test_a_dose_lies_by_its_offsets_and_counts_in_gray(tmp_path, offsets, orientation):
    found = read_volume(dose(tmp_path, offsets, orientation))
    expected = CANONICAL if orientation == AXIAL else VALUES[:, :, ::-1]
    np.testing.assert_allclose(found.voxels, expected * 0.01, rtol=1e-6)
    np.testing.assert_allclose(found.affine[0], [STEP, 0, 0, 30])


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("begins with 7, neither 0 nor the height", {"offsets": 7 + np.arange(5) * STEP}),
        ("are 5 mm apart, others 2.5", {"offsets": [0, 2.5, 5, 10, 12.5]}),
        ("holds 5 frames and places for 4", {"offsets": [0, 2.5, 5, 7.5]}),
        ("makes no values of its pixels (slope 0)", {"offsets": np.arange(5) * STEP, "DoseGridScaling": 0}),
    ],
)
def test_a_dose_without_a_place_for_every_plane_is_refused(tmp_path, reason, change):
    with pytest.raises(UserError) as refusal:
        read_volume(dose(tmp_path, **change))
    assert reason in str(refusal.value)


def test_nuclear_medicine_lies_where_its_detector_says(tmp_path):
    detector = item(ImagePositionPatient=list(PLACES[4]), ImageOrientationPatient=AXIAL)
    common = {"DetectorInformationSequence": detector, "PixelSpacing": SPACING, "SpacingBetweenSlices": -STEP}
    by_slice = {"FrameIncrementPointer": 0x00540080, "SliceVector": [number + 1 for number in ORDER]}
    for order, more in ((range(5)[::-1], {}), ([4 - number for number in ORDER], by_slice)):
        path = write(tmp_path / "a.dcm", NuclearMedicineImageStorage, VALUES[list(order)], **common, **more)
        found = read_volume(path)
        np.testing.assert_array_equal(found.voxels, CANONICAL)
        np.testing.assert_allclose(found.affine, AFFINE, atol=1e-9)
    path = write(tmp_path / "a.dcm", NuclearMedicineImageStorage, VALUES, **common, SliceVector=[1, 2, 1, 2, 3])
    with pytest.raises(UserError, match="lie at the same place"):
        read_volume(path)


@pytest.mark.parametrize(
    ("reason", "elements"),
    [
        ("its 5 frames are one for each FrameTime, not slices", {"FrameIncrementPointer": 0x00181063}),
        ("does not say where its 5 frames lie", {"SpacingBetweenSlices": None}),
    ],
)
def test_frames_that_are_no_slices_are_refused(tmp_path, reason, elements):
    elements = {"PixelSpacing": SPACING, "SpacingBetweenSlices": STEP} | elements
    with pytest.raises(UserError, match=reason):
        read_volume(write(tmp_path / "a.dcm", UltrasoundMultiFrameImageStorage, VALUES, **elements))


# Headers.


@pytest.mark.parametrize(
    ("reason", "elements"),
    [
        ("its header gives no spacing (PixelSpacing)", {"PixelSpacing": None}),
        ("its header gives no spacing (PixelSpacing)", {"PixelSpacing": None, "ImagerPixelSpacing": SPACING}),
        ("has spacing 0.7 x 0;", {"PixelSpacing": [0, 0.7]}),
        ("does not say where it lies (ImagePositionPatient)", {"ImagePositionPatient": None}),
        ("is none; write the file again", {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}),
        ("is none; write the file again", {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}),
        ("makes no values of its pixels (slope 0)", {"RescaleSlope": 0}),
        ("its values go through a table (Modality LUT)", {"ModalityLUTSequence": item(ModalityLUTType="HU")}),
        ("its voxels are colours (PALETTE COLOR)", {"PhotometricInterpretation": "PALETTE COLOR"}),
        ("is damaged or of another kind (CT Image Storage)", {"Rows": None}),
        ("has a broken DICOM header (1000000000 frames)", {"NumberOfFrames": 10**9}),
        ("is damaged (", {"Rows": 7}),
    ],
)
def test_a_slice_whose_header_does_not_do_is_refused(tmp_path, reason, elements):
    with pytest.raises(UserError) as refusal:
        read_volume(series(tmp_path, **elements))
    assert str(refusal.value).startswith(f"{tmp_path / '0.dcm'}: ")
    assert reason in str(refusal.value)


def test_as_many_frames_as_are_described_are_there(tmp_path):
    with pytest.raises(UserError, match="holds 5 frames and describes 4"):
        read_volume(enhanced(tmp_path, [frame(place) for place in PLACES[:4]]))


def test_slices_without_an_orientation_are_noted(tmp_path):
    found = read_volume(series(tmp_path, ImageOrientationPatient=None))
    np.testing.assert_array_equal(found.voxels, CANONICAL)
    assert "does not say which way its axes run" in found.notes[0]


# Objects that are no pictures.

OTHERS = {
    "481.3": "RT Structure Set Storage",
    "481.5": "RT Plan Storage",
    "88.22": "Enhanced SR Storage",
    "11.1": "Grayscale Softcopy Presentation State Storage",
    "88.59": "Key Object Selection Document Storage",
    "104.1": "Encapsulated PDF Storage",
    "66.4": "Segmentation Storage",
    "66": "Raw Data Storage",
    "66.1": "Spatial Registration Storage",
}


@pytest.mark.parametrize(("storage", "name"), OTHERS.items(), ids=OTHERS.values())
def test_an_object_that_is_no_picture_is_passed_over_and_named(tmp_path, storage, name):
    series(tmp_path / "scan")
    uid = UID(f"1.2.840.10008.5.1.4.1.1.{storage}")
    pixels = np.ones((5, 4, 6), np.uint8) if storage == "66.4" else None
    for folder in ("scan", "alone"):
        write(tmp_path / folder / "XX.dcm", uid, pixels, SeriesInstanceUID="1.2.3.5")
    assert find_volumes(tmp_path) == [tmp_path / "scan"]
    found = read_volume(tmp_path / "scan")
    np.testing.assert_array_equal(found.voxels, CANONICAL)
    assert found.notes == (f"passed over, no picture: XX.dcm ({name})",)
    with pytest.raises(UserError, match=f"holds no DICOM slices but XX.dcm \\({name}\\); give a scan's file"):
        read_volume(tmp_path / "alone")


def test_many_objects_make_a_short_note(tmp_path):
    series(tmp_path)
    for number in range(5):
        write(tmp_path / f"report{number}", "1.2.3.4.5.6", SeriesInstanceUID=f"1.{number}")
    (note,) = read_volume(tmp_path).notes
    assert note.endswith("report2 (1.2.3.4.5.6) and 2 more")


def test_a_picture_of_another_series_is_not_passed_over(tmp_path):
    series(tmp_path)
    dose(tmp_path, np.arange(5) * STEP, SeriesInstanceUID="1.2.3.5")
    with pytest.raises(UserError, match="holds 2 DICOM series; put every series into a folder of its own"):
        read_volume(tmp_path)
