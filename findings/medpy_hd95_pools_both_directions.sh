#!/usr/bin/env bash
# MedPy: its hd95 is not the larger of the two directions' 95th percentiles, but one percentile of both together.
#
# Seen with: MedPy==0.5.2 scipy==1.17.1 numpy==2.4.6 (Python 3.11, Linux).
# `hd` takes the larger of the two directed distances, as the Hausdorff distance is defined. `hd95` puts the distances of
# both surfaces into one list and takes its 95th percentile. Where one direction has the errors, as of a false branch at a
# structure that is otherwise right, their share halves and may fall below 5 %: here 9 voxels become 1. Tools that take
# the larger percentile (MONAI among them) give 9, so that the same two masks have two values of "HD95".
#
# What helps: say which of the two a number is, and compare only numbers of one tool.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check MedPy==0.5.2 scipy==1.17.1 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import numpy as np
from medpy.metric import binary
from scipy.ndimage import binary_erosion, distance_transform_edt

truth = np.zeros((60, 60, 60), bool)
truth[20:40, 20:40, 20:40] = True
branched = truth.copy()
branched[20:24, 20:24, 40:58] = True


def directed(mask, other):
    """From each voxel of the surface of `mask` to the nearest of the surface of `other`."""
    surface, nearest = (each ^ binary_erosion(each) for each in (mask, other))
    return distance_transform_edt(~nearest)[surface]


there, back = directed(branched, truth), directed(truth, branched)
print(f"hd: {binary.hd(branched, truth):.1f}; the larger direction: {max(there.max(), back.max()):.1f}")
print(f"hd95: {binary.hd95(branched, truth):.1f}")
print(f"95th percentiles of the directions: {np.percentile(there, 95):.1f} and {np.percentile(back, 95):.1f}")
print(f"95th percentile of both in one list: {np.percentile(np.hstack([there, back]), 95):.1f}")
PYTHON
cat >expected <<'TEXT'
hd: 18.0; the larger direction: 18.0
hd95: 1.0
95th percentiles of the directions: 9.0 and 0.0
95th percentile of both in one list: 1.0
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
