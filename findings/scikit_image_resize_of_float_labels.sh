#!/usr/bin/env bash
# scikit-image and nibabel: a label map from get_fdata that `resize` makes smaller by nearest neighbours has new labels.
#
# Seen with: scikit-image==0.26.0 nibabel==5.4.2 numpy==2.4.6 (Python 3.11, Linux).
# nibabel's get_fdata gives floats whatever the file holds. `resize(..., order=0)` is nearest neighbours, but of floats
# `anti_aliasing` is on by default when it makes a volume smaller: a Gaussian filter goes over the labels first, and the
# nearest of its values are taken. Of 0, 2 and 4 come dozens of values; rounded to whole numbers there is a structure 3
# that nobody drew, between 2 and 4. The same labels as integers stay 0, 2 and 4.
#
# What helps: read labels as integers (np.asarray(image.dataobj)), and say anti_aliasing=False for every label map.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    scikit-image==0.26.0 nibabel==5.4.2 numpy==2.4.6 scipy==1.17.1

cd "$work"
cat >probe.py <<'PYTHON'
import nibabel
import numpy as np
from skimage.transform import resize

labels = np.zeros((32, 32, 32), np.uint8)
labels[8:24, 8:24, 8:24] = 4
labels[12:20, 12:20, 12:20] = 2
nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), "labels.nii")
read = nibabel.load("labels.nii")

for name, volume, more in (
    ("np.asarray(dataobj)", np.asarray(read.dataobj), {}),
    ("get_fdata()", read.get_fdata(), {}),
    ("get_fdata(), anti_aliasing=False", read.get_fdata(), {"anti_aliasing": False}),
):
    half = resize(volume, (16, 16, 16), order=0, preserve_range=True, **more)
    values = np.unique(half)
    few = f"values {values.tolist()}" if len(values) < 10 else "more than 50 values" if len(values) > 50 else values
    print(f"{name} ({volume.dtype}): {few}; rounded: {np.unique(np.rint(half)).astype(int).tolist()}")
PYTHON
cat >expected <<'TEXT'
np.asarray(dataobj) (uint8): values [0, 2, 4]; rounded: [0, 2, 4]
get_fdata() (float64): more than 50 values; rounded: [0, 2, 3, 4]
get_fdata(), anti_aliasing=False (float64): values [0.0, 2.0, 4.0]; rounded: [0, 2, 4]
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
