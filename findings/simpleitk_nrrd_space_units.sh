#!/usr/bin/env bash
# SimpleITK: an NRRD file whose header says centimetres or micrometres is read as if it said millimetres.
#
# Seen with: SimpleITK==2.5.7 pynrrd==1.1.3 numpy==2.4.6 (Python 3.11, Linux).
# The field "space units" names the unit of "space directions" and "space origin". SimpleITK takes their numbers as
# millimetres whatever it says, and keeps the field neither in the image nor among its metadata, so that nobody behind it
# can know. A micro-CT of 20 um voxels becomes a body of 20 mm voxels, with volumes wrong by 10^9.
#
# What helps: read "space units" from the header (pynrrd's read_header) and scale spacing and origin by it.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 pynrrd==1.1.3 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import nrrd
import numpy as np
import SimpleITK

volume = np.zeros((4, 5, 6), np.int16)
for unit in ("mm", "cm", "um"):
    nrrd.write(
        "volume.nrrd",
        volume,
        {
            "space": "left-posterior-superior",
            "space directions": np.eye(3) * 2,
            "space origin": [10, 20, 30],
            "space units": [unit] * 3,
        },
    )
    image = SimpleITK.ReadImage("volume.nrrd")
    kept = [key for key in image.GetMetaDataKeys() if "unit" in key.lower()]
    print(f"2 {unit}: spacing {image.GetSpacing()[0]} mm, origin {image.GetOrigin()[0]} mm; metadata on units: {kept}")
PYTHON
cat >expected <<'TEXT'
2 mm: spacing 2.0 mm, origin 10.0 mm; metadata on units: []
2 cm: spacing 2.0 mm, origin 10.0 mm; metadata on units: []
2 um: spacing 2.0 mm, origin 10.0 mm; metadata on units: []
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
