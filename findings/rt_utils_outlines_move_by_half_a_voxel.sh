#!/usr/bin/env bash
# rt-utils: an outline that is read makes a mask half a voxel too large all round, and one that is written is as much too small.
#
# Seen with: rt-utils==1.2.7 pydicom==3.0.2 opencv-python==5.0.0.93 scikit-image==0.26.0
# numpy==2.4.6 (Python 3.11, Linux).
# An RTSTRUCT holds outlines in mm. Read by rt-utils, they are rounded to whole voxels, and all that the line touches is
# filled: a disc of 6.2 mm radius at 1 mm has 145 voxels where it covers 120 mm2 and 121 centres of voxels, and one of 3.1 mm
# half as many again as it should. Written by rt-utils, the line goes through the centres of the outermost voxels, not around
# them: 10 x 10 voxels become an outline of 81 mm2, 4 x 4 one of 9 mm2, and a single voxel a point. The way there and back
# gives the same mask, so that a test of it finds nothing; but the outlines that a clinic drew become labels that are too
# large, and the areas and volumes of written outlines are too small. Small lesions change most.
#
# What helps: fill outlines by the centres that lie inside (skimage.draw.polygon2mask does, below), and compare a mask's volume
# with the outlines' area times the distance of the slices. To write, take skimage.measure.find_contours(mask, 0.5).
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    rt-utils==1.2.7 pydicom==3.0.2 opencv-python==5.0.0.93 scikit-image==0.26.0 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import contextlib
import io
import pathlib

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rt_utils import RTStructBuilder
from skimage.draw import polygon2mask

SIZE, SLICES = 40, 4


def ct_slice(path, number):
    """An empty slice; voxels of 1 x 1 x 2 mm, the centre of the first at 0, 0, 0."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[f"instance {number}"])
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(entropy_srcs=["study"]), generate_uid(entropy_srcs=["series"])
    data.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame of reference"])
    data.PatientName = data.PatientID = "phantom"
    data.PatientBirthDate = data.PatientSex = data.StudyDate = data.StudyTime = data.StudyID = ""
    data.AccessionNumber = data.ReferringPhysicianName = data.Manufacturer = data.PositionReferenceIndicator = ""
    data.Modality, data.SeriesNumber, data.InstanceNumber, data.AcquisitionNumber = "CT", 1, number + 1, 1
    data.ImageType, data.KVP = ["ORIGINAL", "PRIMARY", "AXIAL"], 120
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 2 * number], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness = [1, 1], 2
    data.Rows = data.Columns = SIZE
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, 0, "HU"
    data.PixelData = bytes(2 * SIZE * SIZE)
    data["PixelData"].VR = "OW"
    data.save_as(path, enforce_file_format=True)


def area(points):
    """In mm2, of a closed outline."""
    x, y = points.T
    return abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2


def read():
    return RTStructBuilder.create_from("ct", "outlines.dcm").get_roi_mask_by_name("lesion")


pathlib.Path("ct").mkdir()
for number in range(SLICES):
    ct_slice(f"ct/{number}.dcm", number)

print("written: one square in each slice")
mask = np.zeros((SIZE, SIZE, SLICES), bool)
for number, side in enumerate((1, 4, 10, 20)):
    mask[10 : 10 + side, 12 : 12 + side, number] = True
structures = RTStructBuilder.create_new("ct")
structures.add_roi(mask=mask, name="lesion")
with contextlib.redirect_stdout(io.StringIO()):
    structures.save("outlines.dcm")
file = pydicom.dcmread("outlines.dcm")
outlines = file.ROIContourSequence[0].ContourSequence
again = read()
for number, outline in enumerate(outlines):
    points = np.array(outline.ContourData, float).reshape(-1, 3)[:, :2]
    print(f"  {mask[..., number].sum()} mm2 of voxels: an outline of {len(points)} points around {area(points):.0f} mm2;", end="")
    print(f" read again {again[..., number].sum()} voxels")

print("read: one disc in each slice, its centre in that of a voxel")
turn = np.linspace(0, 2 * np.pi, 360, endpoint=False)
discs = [20 + radius * np.stack([np.cos(turn), np.sin(turn)], 1) for radius in (1.03, 3.09, 6.18, 8.24)]
for number, (outline, points) in enumerate(zip(outlines, discs, strict=True)):
    outline.ContourData = [round(float(value), 4) for x, y in points for value in (x, y, 2 * number)]
    outline.NumberOfContourPoints = len(points)
file.save_as("outlines.dcm")
mask = read()
for number, points in enumerate(discs):
    inside = polygon2mask((SIZE, SIZE), points).sum()
    print(f"  {area(points):.0f} mm2 with {inside} centres of voxels inside: {mask[..., number].sum()} voxels")
PYTHON
cat >expected <<'TEXT'
written: one square in each slice
  1 mm2 of voxels: an outline of 1 points around 0 mm2; read again 1 voxels
  16 mm2 of voxels: an outline of 4 points around 9 mm2; read again 16 voxels
  100 mm2 of voxels: an outline of 4 points around 81 mm2; read again 100 voxels
  400 mm2 of voxels: an outline of 4 points around 361 mm2; read again 400 voxels
read: one disc in each slice, its centre in that of a voxel
  3 mm2 with 5 centres of voxels inside: 9 voxels
  30 mm2 with 29 centres of voxels inside: 45 voxels
  120 mm2 with 121 centres of voxels inside: 145 voxels
  213 mm2 with 213 centres of voxels inside: 241 voxels
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
