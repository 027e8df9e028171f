#!/usr/bin/env bash
# seg-metrics: a structure that was missed altogether has a Hausdorff distance of zero, the best there is.
#
# Seen with: seg-metrics==1.2.8 SimpleITK==2.5.7 numpy==2.4.6 (Python 3.11, Linux).
# Where either the truth or the prediction holds no voxel of a label, all distances are written as 0.0: hd, hd95, msd,
# mdsd and stdsd, as for a perfect prediction. Dice is 0 there, and a warning speaks of precision and recall alone. A mean
# of hd95 over cases therefore falls when a network misses more structures.
#
# What helps: look for Dice 0 and put the volume's diagonal, or no value and a count of misses, in the distance's place.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check seg-metrics==1.2.8 SimpleITK==2.5.7 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import logging

import numpy as np
from seg_metrics import seg_metrics

logging.disable(logging.WARNING)
truth = np.zeros((40, 40, 40), np.uint8)
truth[10:30, 10:30, 10:30] = 1
shifted = np.roll(truth, 3, axis=0)
missed = np.zeros_like(truth)
NAMES = ["dice", "hd", "hd95", "msd"]
for name, prediction in (("perfect", truth), ("shifted by 3 voxels", shifted), ("missed", missed)):
    row = seg_metrics.write_metrics(
        labels=[1], gdth_img=truth, pred_img=prediction, csv_file=None, spacing=(1, 1, 1), metrics=NAMES
    )[0]
    print(f"{name}:", ", ".join(f"{metric} {float(row[metric][0]):.2f}" for metric in NAMES))
PYTHON
cat >expected <<'TEXT'
perfect: dice 1.00, hd 0.00, hd95 0.00, msd 0.00
shifted by 3 voxels: dice 0.85, hd 3.00, hd95 3.00, msd 1.02
missed: dice 0.00, hd 0.00, hd95 0.00, msd 0.00
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
