#!/usr/bin/env bash
# miseval: the Hausdorff distance of a structure that was moved down by 20 pixels is 0, and the average one is a maximum.
#
# Seen with: miseval==1.3.0 hausdorff==0.2.6 scipy==1.17.1 (Python 3.11, Linux).
# The function "HD" hands both masks to a library that takes each row of an array for a point. The rows of an image are
# no points: a square that lies 20 pixels lower has the same rows, and its distance is 0, the best there is; one that lies
# 20 pixels to the right has 4.47, the root of its side. "AHD", listed as the average Hausdorff distance, is the largest
# distance: a cube with one false voxel far away has the distance of that voxel. The right values come from scipy.
#
# What helps: scipy.spatial.distance.directed_hausdorff of the masks' coordinates, or another library.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check miseval==1.3.0 hausdorff==0.2.6 scipy==1.17.1

cd "$work"
cat >probe.py <<'PYTHON'
import numpy as np
from miseval import evaluate
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial.distance import directed_hausdorff

square = np.zeros((64, 64), np.uint8)
square[10:30, 10:30] = 1
for name, axis in (("down", 0), ("to the right", 1)):
    moved = np.roll(square, 20, axis)
    ends = np.argwhere(square), np.argwhere(moved)
    right = max(directed_hausdorff(*ends)[0], directed_hausdorff(*ends[::-1])[0])
    print(f"a square moved by 20 {name}: HD {evaluate(square, moved, metric='HD', multi_class=False):.2f}; by scipy {right:.2f}")

cube = np.zeros((40, 40, 40), np.uint8)
cube[10:20, 10:20, 10:20] = 1
spotted = cube.copy()
spotted[15, 15, 35] = 1


def directed(mask, other):
    """From each voxel of the surface of `mask` to the nearest of the surface of `other`."""
    surface, nearest = (each ^ binary_erosion(each) for each in (mask.astype(bool), other.astype(bool)))
    return distance_transform_edt(~nearest)[surface]


there, back = directed(spotted, cube), directed(cube, spotted)
found = evaluate(cube, spotted, metric="AHD", multi_class=False)
print(f"a cube and a voxel 16 away: AHD {found:.2f}; by scipy an average of {max(there.mean(), back.mean()):.2f}", end="")
print(f" and a maximum of {max(there.max(), back.max()):.2f}")
PYTHON
cat >expected <<'TEXT'
a square moved by 20 down: HD 0.00; by scipy 20.00
a square moved by 20 to the right: HD 4.47; by scipy 20.00
a cube and a voxel 16 away: AHD 16.00; by scipy an average of 0.03 and a maximum of 16.00
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
