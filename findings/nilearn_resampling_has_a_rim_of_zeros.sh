#!/usr/bin/env bash
# nilearn and SimpleITK: made finer within its own box, a volume has a rim of zeros in the one and none in the other.
#
# Seen with: nilearn==0.14.1 SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6 (Python 3.11, Linux).
# A voxel of 2 mm reaches 1 mm to either side of its centre. Cut into voxels of 1 mm, the outermost new centres lie 0.5 mm
# beyond the outermost old ones, and still in the old voxels. SimpleITK gives them those voxels' values. nilearn takes
# everything beyond the centres for outside: `fill_value`, 0, whatever the interpolation, nearest neighbours of a label
# map too. A CT has a shell of 0 HU in its air, and a structure at the edge loses its outermost voxels.
#
# What helps: pad the volume by one voxel with its edge's values before nilearn resamples it, or resample with SimpleITK.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    nilearn==0.14.1 SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import warnings

import nibabel
import numpy as np
import SimpleITK
from nilearn.image import resample_img

warnings.simplefilter("ignore")
coarse, fine = np.diag([2.0, 2, 2, 1]), np.eye(4)
fine[:3, 3] = -0.5
METHODS = {"linear": SimpleITK.sitkLinear, "nearest": SimpleITK.sitkNearestNeighbor}
for name, value, kind in (("linear", -1000, np.float32), ("nearest", 7, np.int16)):
    volume = np.full((10, 10, 10), value, kind)
    by_nilearn = resample_img(
        nibabel.Nifti1Image(volume, coarse), target_affine=fine, target_shape=(20, 20, 20), interpolation=name
    ).get_fdata()
    image = SimpleITK.GetImageFromArray(volume)
    image.SetSpacing((2, 2, 2))
    resampled = SimpleITK.Resample(
        image, (20, 20, 20), SimpleITK.Transform(), METHODS[name], (-0.5, -0.5, -0.5), (1, 1, 1)
    )
    for tool, found in (("nilearn", by_nilearn), ("SimpleITK", SimpleITK.GetArrayFromImage(resampled))):
        line = found[10, 10].astype(int).tolist()
        print(f"{name}, {tool}: {line[:3]} ... {line[-3:]}, {100 * (found == 0).mean():.0f} % of the voxels are 0")
PYTHON
cat >expected <<'TEXT'
linear, nilearn: [0, -1000, -1000] ... [-1000, -1000, 0], 27 % of the voxels are 0
linear, SimpleITK: [-1000, -1000, -1000] ... [-1000, -1000, -1000], 0 % of the voxels are 0
nearest, nilearn: [0, 7, 7] ... [7, 7, 0], 27 % of the voxels are 0
nearest, SimpleITK: [7, 7, 7] ... [7, 7, 7], 0 % of the voxels are 0
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
