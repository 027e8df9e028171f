#!/usr/bin/env bash
# batchgenerators: the variance of its noise is taken for a standard deviation, and its Rician noise leaves air without noise.
#
# Seen with: batchgenerators==0.25.5 scikit-image==0.26.0 scipy==1.17.1 numpy==2.4.6 (Python 3.11, Linux).
# GaussianNoiseTransform(noise_variance=(0, 0.1)), which recipes are copied from, says that a variance is drawn from that range.
# It is used as the standard deviation: asked for a variance of 0.1, it adds noise of 0.01. Whoever rebuilds the recipe in a
# library that keeps to the word gets noise ten times as strong in power. RicianNoiseTransform does the same, and multiplies
# the magnitude by the sign of the voxel: a voxel of 0 stays 0. In MRI noise turns air into a Rayleigh distribution with a mean
# of 1.25 standard deviations, which is what Rician noise is known by; here there is none of it.
#
# What helps: give it standard deviations, and write so in the paper; for Rician noise on volumes with air, another library.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    batchgenerators==0.25.5 scikit-image==0.26.0 scipy==1.17.1 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import numpy as np
from batchgenerators.transforms.noise_transforms import GaussianNoiseTransform, RicianNoiseTransform

np.random.seed(0)
for variance in (0.01, 0.1, 0.25):
    noise = GaussianNoiseTransform(noise_variance=(variance, variance))(data=np.zeros((1, 1, 64, 64, 64)))["data"]
    print(f"Gaussian, variance {variance}: found variance {noise.var():.4f}, standard deviation {noise.std():.2f}")
draws = np.random.normal(0, 0.1, (2, 64, 64, 64))
for value in (0.0, 1.0):
    given = np.full((1, 1, 64, 64, 64), value)
    found = RicianNoiseTransform(noise_variance=(0.1, 0.1))(data=given)["data"]
    magnitude = np.hypot(value + draws[0], draws[1])
    print(f"Rician, 0.1, voxels of {value}: mean {found.mean():.2f}, deviation {found.std():.2f};", end="")
    print(f" a magnitude with deviation 0.1: mean {magnitude.mean():.2f}, deviation {magnitude.std():.2f}")
PYTHON
cat >expected <<'TEXT'
Gaussian, variance 0.01: found variance 0.0001, standard deviation 0.01
Gaussian, variance 0.1: found variance 0.0100, standard deviation 0.10
Gaussian, variance 0.25: found variance 0.0625, standard deviation 0.25
Rician, 0.1, voxels of 0.0: mean 0.00, deviation 0.00; a magnitude with deviation 0.1: mean 0.13, deviation 0.07
Rician, 0.1, voxels of 1.0: mean 1.01, deviation 0.10; a magnitude with deviation 0.1: mean 1.00, deviation 0.10
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
