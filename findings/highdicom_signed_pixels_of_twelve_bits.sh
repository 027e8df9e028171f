#!/usr/bin/env bash
# highdicom: of a signed CT of 12 bits get_frame reads air as 3072 HU, and pixel_array of the same image as -1024 HU.
#
# Seen with: highdicom==0.28.2 pydicom==3.0.2 SimpleITK==2.5.7 numpy==2.2.6 (Python 3.11, Linux).
# With 12 of 16 bits stored, the four high bits mean nothing: the standard says (PS3.5, 8.1.1) that a reader may suppose
# neither zeros nor copies of the sign there. pydicom and SimpleITK take the sign from bit 11. highdicom's get_frame,
# get_stored_frame and get_volume take all 16 bits, so that zeros in the high bits make every negative number 4096 too
# large: air is denser than bone. Once pixel_array was read, get_frame of that very object gives the right numbers, and
# the class ImageFileReader and get_volume_from_series of pydicom's datasets do from the start. With copies of the sign
# in the high bits, as many scanners write, all agree, so that only some of the scans are wrong.
#
# What helps: read pixel_array first, or let pydicom read the pixels.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    highdicom==0.28.2 pydicom==3.0.2 SimpleITK==2.5.7 numpy==2.2.6

cd "$work"
cat >probe.py <<'PYTHON'
import highdicom
import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def ct_slice(path, words):
    """A signed slice of 2 x 2 pixels, 12 bits stored in words of 16."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["instance"])
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(entropy_srcs=["study"]), generate_uid(entropy_srcs=["series"])
    data.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame of reference"])
    data.PatientName = data.PatientID = "phantom"
    data.PatientBirthDate = data.PatientSex = data.StudyDate = data.StudyTime = data.StudyID = ""
    data.AccessionNumber = data.ReferringPhysicianName = data.Manufacturer = data.PositionReferenceIndicator = ""
    data.Modality, data.SeriesNumber, data.InstanceNumber = "CT", 1, 1
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness, data.KVP, data.AcquisitionNumber = [1, 1], 1, 120, 1
    data.Rows = data.Columns = 2
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 1
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, 0, "HU"
    data.PixelData = words.astype("<u2").tobytes()
    data["PixelData"].VR = "OW"
    data.save_as(path, enforce_file_format=True)


def shown(name, pixels):
    print(f"  {name}: {np.asarray(pixels).ravel().astype(int).tolist()}")


units = np.array([-1024, -1, 0, 2047], np.int16)
for name, words in (("zeros in the high bits", units.view(np.uint16) & 0xFFF), ("the sign in them", units.view(np.uint16))):
    print(f"{name} ({' '.join(f'{word:04x}' for word in words)})")
    ct_slice("slice.dcm", words)
    shown("pydicom", pydicom.dcmread("slice.dcm").pixel_array)
    shown("SimpleITK", SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("slice.dcm")))
    image = highdicom.imread("slice.dcm")
    shown("highdicom, get_stored_frame", image.get_stored_frame(1))
    shown("highdicom, get_frame", image.get_frame(1))
    shown("highdicom, get_volume", image.get_volume().array)
    shown("highdicom, pixel_array", image.pixel_array)
    shown("highdicom, get_frame after that", image.get_frame(1))
    with highdicom.io.ImageFileReader("slice.dcm") as reader:
        shown("highdicom, ImageFileReader", reader.read_frame(0))
    shown("highdicom, get_volume_from_series", highdicom.get_volume_from_series([pydicom.dcmread("slice.dcm")] * 1).array)
PYTHON
cat >expected <<'TEXT'
zeros in the high bits (0c00 0fff 0000 07ff)
  pydicom: [-1024, -1, 0, 2047]
  SimpleITK: [-1024, -1, 0, 2047]
  highdicom, get_stored_frame: [3072, 4095, 0, 2047]
  highdicom, get_frame: [3072, 4095, 0, 2047]
  highdicom, get_volume: [3072, 4095, 0, 2047]
  highdicom, pixel_array: [-1024, -1, 0, 2047]
  highdicom, get_frame after that: [-1024, -1, 0, 2047]
  highdicom, ImageFileReader: [-1024, -1, 0, 2047]
  highdicom, get_volume_from_series: [-1024, -1, 0, 2047]
the sign in them (fc00 ffff 0000 07ff)
  pydicom: [-1024, -1, 0, 2047]
  SimpleITK: [-1024, -1, 0, 2047]
  highdicom, get_stored_frame: [-1024, -1, 0, 2047]
  highdicom, get_frame: [-1024, -1, 0, 2047]
  highdicom, get_volume: [-1024, -1, 0, 2047]
  highdicom, pixel_array: [-1024, -1, 0, 2047]
  highdicom, get_frame after that: [-1024, -1, 0, 2047]
  highdicom, ImageFileReader: [-1024, -1, 0, 2047]
  highdicom, get_volume_from_series: [-1024, -1, 0, 2047]
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
