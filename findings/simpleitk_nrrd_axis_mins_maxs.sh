#!/usr/bin/env bash
# SimpleITK: of an NRRD with `axis mins` and `axis maxs` it takes the origin and leaves the spacing at 1.
#
# Seen with: SimpleITK==2.5.7 numpy==2.4.6 (Python 3.11, Linux).
# The format lets a file say where its samples lie by the ends of each axis instead of by a spacing. ITK works the
# spacing out, since the origin that it gives is the middle of the first cell (half a spacing from the end of the
# axis), and then reports a spacing of 1 along every axis, without a word. A volume of 2 x 3 x 2 mm voxels is read as
# one of 1 mm.
#
# What helps: look for `axis mins` or `axis maxs` in the header and work out (max - min) / size oneself, or refuse the
# file.
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

header = b"""NRRD0004
type: short
dimension: 3
sizes: 2 3 4
endian: little
encoding: raw
axis mins: 0 0 0
axis maxs: 4 9 8
centers: cell cell cell

"""
with open("volume.nrrd", "wb") as file:
    file.write(header + np.arange(24, dtype="<i2").tobytes())
volume = SimpleITK.ReadImage("volume.nrrd")
print("spacing that the header says: (2.0, 3.0, 2.0); read:", volume.GetSpacing())
print("origin that the header says:  (1.0, 1.5, 1.0); read:", volume.GetOrigin())
PYTHON
cat >expected <<'TEXT'
spacing that the header says: (2.0, 3.0, 2.0); read: (1.0, 1.0, 1.0)
origin that the header says:  (1.0, 1.5, 1.0); read: (1.0, 1.5, 1.0)
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
