#!/usr/bin/env bash
# scikit-image: the 3D skeleton of a tube two or four voxels thick is empty.
#
# Seen with: scikit-image==0.26.0 numpy==2.4.6 (Python 3.11, Linux).
# Thinning keeps the topology of an object, so that a connected one should leave at least a voxel. skeletonize()
# erases boxes and tubes of an even thickness wholly: of a tube of 2 x 2 x 20 voxels, as a small vessel is in CT,
# nothing is left, of one of 3 x 3 x 20 a line. Centreline Dice (clDice) then takes the structure for absent, or
# divides by zero.
#
# What helps: where a connected part has no voxel in the skeleton, put one there, or thin a volume that was enlarged
# threefold.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import numpy as np
from skimage.morphology import skeletonize

for thickness in (1, 2, 3, 4, 5):
    tube = np.zeros((30, 12, 12), dtype=bool)
    tube[5:25, 3 : 3 + thickness, 3 : 3 + thickness] = True
    print(f"{thickness} x {thickness} x 20 voxels: {int(skeletonize(tube).sum() > 0)} skeleton")
PYTHON
cat >expected <<'TEXT'
1 x 1 x 20 voxels: 1 skeleton
2 x 2 x 20 voxels: 0 skeleton
3 x 3 x 20 voxels: 1 skeleton
4 x 4 x 20 voxels: 0 skeleton
5 x 5 x 20 voxels: 1 skeleton
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
