#!/usr/bin/env bash
# MONAI: a missed structure has a Hausdorff distance of NaN, a surface distance of infinity and a surface Dice of 0.
#
# Seen with: monai==1.6.1 torch==2.14.1 scipy==1.17.1 numpy==2.4.6 (Python 3.11, Linux).
# A network that does not find a structure at all gets three different answers from three measures of one library. The
# Hausdorff distance is the same NaN as for a structure that neither the truth nor the prediction holds. Whoever
# averages over the numbers that are there, as MONAI's own reductions do, leaves the worst cases out: the network that
# misses most has the best HD95. The message about empty masks does not tell the two apart either.
#
# What helps: decide oneself what a miss is worth, such as the diagonal of the volume, and count it.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check monai==1.6.1 torch==2.14.1 scipy==1.17.1 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import warnings

import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

warnings.simplefilter("ignore")
found = torch.zeros(1, 1, 12, 12, 12)
found[..., 3:8, 3:8, 3:8] = 1
empty = torch.zeros_like(found)
for name, predicted, truth in (("missed", empty, found), ("invented", found, empty), ("in neither", empty, empty)):
    hausdorff = compute_hausdorff_distance(predicted, truth, include_background=True, percentile=95)
    surface = compute_average_surface_distance(predicted, truth, include_background=True)
    dice = compute_surface_dice(predicted, truth, [1.0], include_background=True)
    print(f"{name}: HD95 {hausdorff.item()}, average distance {surface.item()}, surface Dice {dice.item()}")
PYTHON
cat >expected <<'TEXT'
missed: HD95 nan, average distance inf, surface Dice 0.0
invented: HD95 nan, average distance inf, surface Dice 0.0
in neither: HD95 nan, average distance nan, surface Dice nan
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
