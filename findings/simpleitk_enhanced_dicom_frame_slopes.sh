#!/usr/bin/env bash
# SimpleITK: every frame of an enhanced DICOM is rescaled by the first frame's slope.
#
# Seen with: SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6 (Python 3.11, Linux).
# An enhanced CT, MR or PET holds a RescaleSlope and a RescaleIntercept for each frame (Pixel Value Transformation in
# the per-frame functional groups); scanners make use of it, PET and MR above all. GDCM, by which SimpleITK reads
# DICOM, applies the first frame's to the whole file, without a word: a volume whose frames mean 100, 200, 300 and 400
# is read as 100 everywhere.
#
# What helps: take the stored pixels and rescale each frame by its own numbers (pydicom gives both).
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import numpy as np
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid


def enhanced_ct(path, heights_mm, slopes, stored):
    """One file of a frame per height: Enhanced CT Image Storage."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["instance"])
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(entropy_srcs=["study"]), generate_uid(entropy_srcs=["series"])
    data.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame of reference"])
    data.Modality, data.InstanceNumber, data.ImageType = "CT", 1, ["ORIGINAL", "PRIMARY", "AXIAL", "NONE"]
    data.Rows = data.Columns = 4
    data.NumberOfFrames, data.SamplesPerPixel, data.PhotometricInterpretation = len(stored), 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    frames = []
    for height, slope in zip(heights_mm, slopes):
        position, values, frame = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, height]
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, 0, "HU"
        frame.PlanePositionSequence = Sequence([position])
        frame.PixelValueTransformationSequence = Sequence([values])
        frames.append(frame)
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [1, 1], 2
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.PixelData = np.stack([np.full((4, 4), value, "<u2") for value in stored]).tobytes()
    data["PixelData"].VR = "OW"
    data.save_as(path, enforce_file_format=True)


enhanced_ct("scan.dcm", heights_mm=[0, 2, 4, 6], slopes=[1, 2, 3, 4], stored=[100, 100, 100, 100])
voxels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("scan.dcm"))
print("frames mean 100 200 300 400; read:", *voxels[:, 0, 0])
PYTHON
cat >expected <<'TEXT'
frames mean 100 200 300 400; read: 100 100 100 100
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
