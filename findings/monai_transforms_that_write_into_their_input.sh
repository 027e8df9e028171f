#!/usr/bin/env bash
# MONAI: four transforms change the array that they are given, so that a pretext task restores what it was given.
#
# Seen with: monai==1.6.1 torch==2.14.1 numpy==2.4.6 (Python 3.11, Linux).
# RandCoarseShuffle, RandCoarseDropout, RandStdShiftIntensity and NormalizeIntensity(channel_wise=True) return a new
# array and write the same values into the old one, be it a tensor or a NumPy array; RandGaussianNoise, RandGibbsNoise,
# RandHistogramShift, RandBiasField and the others tried leave it alone. The first two are what restoration pretext tasks
# corrupt volumes with: with `corrupted = shuffle(volume)`, a loss between network(corrupted) and `volume` compares with
# the corrupted volume, falls quickly, and asks for the identity. Nothing warns, and the documentation does not say it.
# Where volumes are cached in memory, the next epoch begins with the holes of the last.
#
# What helps: give a copy, `shuffle(volume.clone())`; of the dictionary versions, CopyItemsd before the corruption.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check monai==1.6.1 torch==2.14.1 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import warnings

import torch

warnings.simplefilter("ignore")
from monai import transforms

MADE = {
    "RandCoarseShuffle": transforms.RandCoarseShuffle(holes=4, spatial_size=4, prob=1.0),
    "RandCoarseDropout": transforms.RandCoarseDropout(holes=4, spatial_size=4, fill_value=9.0, prob=1.0),
    "RandStdShiftIntensity": transforms.RandStdShiftIntensity(factors=1.0, prob=1.0),
    "NormalizeIntensity": transforms.NormalizeIntensity(channel_wise=True),
    "RandGaussianNoise": transforms.RandGaussianNoise(prob=1.0),
    "RandHistogramShift": transforms.RandHistogramShift(prob=1.0),
    "RandGibbsNoise": transforms.RandGibbsNoise(prob=1.0),
}
volume = torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
for name, transform in MADE.items():
    for kind, given in (("tensor", volume.clone()), ("array", volume.numpy().copy())):
        changed = torch.as_tensor(transform(given))
        restored = bool((torch.as_tensor(given) == volume).all())
        target = "the volume" if restored else "the output" if bool((torch.as_tensor(given) == changed).all()) else "?"
        print(f"{name}, {kind}: the input now holds {target}")
PYTHON
cat >expected <<'TEXT'
RandCoarseShuffle, tensor: the input now holds the output
RandCoarseShuffle, array: the input now holds the output
RandCoarseDropout, tensor: the input now holds the output
RandCoarseDropout, array: the input now holds the output
RandStdShiftIntensity, tensor: the input now holds the output
RandStdShiftIntensity, array: the input now holds the output
NormalizeIntensity, tensor: the input now holds the output
NormalizeIntensity, array: the input now holds the output
RandGaussianNoise, tensor: the input now holds the volume
RandGaussianNoise, array: the input now holds the volume
RandHistogramShift, tensor: the input now holds the volume
RandHistogramShift, array: the input now holds the volume
RandGibbsNoise, tensor: the input now holds the volume
RandGibbsNoise, array: the input now holds the volume
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
