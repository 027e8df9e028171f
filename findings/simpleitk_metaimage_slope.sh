#!/usr/bin/env bash
# SimpleITK: the slope and offset of a MetaImage are not applied.
#
# Seen with: SimpleITK==2.5.7 numpy==2.4.6 (Python 3.11, Linux).
# MetaImage has ElementToIntensityFunctionSlope and ElementToIntensityFunctionOffset, as NIfTI has scl_slope and
# scl_inter. ITK applies those of NIfTI and leaves those of MetaImage: a CT that is stored as unsigned numbers with an
# offset of -1024 is read 1024 HU too bright, in air 0 instead of -1024. The keys do not appear in the image's
# metadata either, so that a program cannot see that they were there.
#
# What helps: read the two lines of the header before ITK reads the voxels.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import numpy as np
import SimpleITK

header = b"""ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
ElementSpacing = 1 1 1
DimSize = 2 3 4
ElementToIntensityFunctionSlope = 2
ElementToIntensityFunctionOffset = -1024
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""
with open("volume.mha", "wb") as file:
    file.write(header + np.arange(24, dtype="<i2").tobytes())
volume = SimpleITK.ReadImage("volume.mha")
voxels = SimpleITK.GetArrayFromImage(volume)
print("meant: -1024 to -978; read:", voxels.min(), "to", voxels.max())
print("told in the metadata:", any("Intensity" in key for key in volume.GetMetaDataKeys()))
PYTHON
cat >expected <<'TEXT'
meant: -1024 to -978; read: 0 to 23
told in the metadata: False
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
