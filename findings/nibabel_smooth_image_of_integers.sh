#!/usr/bin/env bash
# nibabel: smooth_image of a mask stored as integers gives an empty volume, and of a dim structure less than half of it.
#
# Seen with: nibabel==5.4.2 scipy==1.17.1 numpy==2.4.6 (Python 3.11, Linux).
# A Gaussian filter keeps the sum of a structure that lies far from the edges. nibabel.processing.smooth_image keeps the type
# of the stored numbers instead, and cuts the fractions off after each of the three axes. As float32 a cube of ones keeps its
# sum; as int16 or uint8 nothing of it is left. Of a cube of 10 remain 40 %, of 100 88 %. Neither its documentation nor a
# warning says so. nilearn had the like for unsigned integers (its issue 6440), and takes floats for signed ones.
#
# What helps: give it floats, nibabel.Nifti1Image(image.get_fdata(dtype="float32"), image.affine).
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check nibabel==5.4.2 scipy==1.17.1 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import nibabel
import numpy as np
from nibabel.processing import smooth_image

cube = np.zeros((32, 32, 32), np.float32)
cube[13:19, 13:19, 13:19] = 1
for value in (1, 10, 100):
    for kind in ("float32", "int16", "uint8"):
        image = nibabel.Nifti1Image((value * cube).astype(kind), np.eye(4))
        smoothed = smooth_image(image, fwhm=5).get_fdata()
        kept = 100 * smoothed.sum() / (value * cube.sum())
        print(f"a cube of {value}, {kind}: {kept:.0f} % of the sum, the largest value {smoothed.max():.1f}")
PYTHON
cat >expected <<'TEXT'
a cube of 1, float32: 100 % of the sum, the largest value 0.6
a cube of 1, int16: 0 % of the sum, the largest value 0.0
a cube of 1, uint8: 0 % of the sum, the largest value 0.0
a cube of 10, float32: 100 % of the sum, the largest value 5.8
a cube of 10, int16: 40 % of the sum, the largest value 5.0
a cube of 10, uint8: 40 % of the sum, the largest value 5.0
a cube of 100, float32: 100 % of the sum, the largest value 58.1
a cube of 100, int16: 88 % of the sum, the largest value 57.0
a cube of 100, uint8: 88 % of the sum, the largest value 57.0
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
