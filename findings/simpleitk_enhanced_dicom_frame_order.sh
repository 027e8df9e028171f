#!/usr/bin/env bash
# SimpleITK: frames of an enhanced DICOM stay in file order, whatever their positions, and the spacing becomes 1 mm.
#
# Seen with: SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6 (Python 3.11, Linux).
# DICOM does not ask that the frames of an enhanced file lie in spatial order: their place is their Image Position
# (Patient). SimpleITK stacks them as they come. Frames at 4, 0, 6 and 2 mm are a volume that jumps to and fro, its
# third spacing is 1 mm where 2 mm lie between neighbours, and nothing is said. In a series of single files the same
# library sorts by position.
#
# What helps: sort the frames by their positions along the normal of the slices, and check that the steps are equal.
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


for name, heights in (("in order", [0, 2, 4, 6]), ("not in order", [4, 0, 6, 2])):
    enhanced_ct("scan.dcm", heights, slopes=[1] * 4, stored=[100 + height for height in heights])
    volume = SimpleITK.ReadImage("scan.dcm")
    heights_read = SimpleITK.GetArrayFromImage(volume)[:, 0, 0] - 100
    print(f"{name}: slices of {', '.join(map(str, heights_read))} mm, spacing {volume.GetSpacing()[2]} mm")
PYTHON
cat >expected <<'TEXT'
in order: slices of 0, 2, 4, 6 mm, spacing 2.0 mm
not in order: slices of 4, 0, 6, 2 mm, spacing 1.0 mm
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
