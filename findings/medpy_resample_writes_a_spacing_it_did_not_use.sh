#!/usr/bin/env bash
# MedPy: resample cuts a volume into steps of 0.96 mm and writes 1 mm into its header.
#
# Seen with: MedPy==0.5.2 SimpleITK==2.5.7 scipy==1.17.1 numpy==2.4.6 (Python 3.11, Linux).
# medpy.filter.image.resample lays the new first and last voxel upon the old ones: of 20 slices 5 mm apart (95 mm from the
# first centre to the last) 100 slices are made, 95 / 99 = 0.96 mm apart. The header says 1 mm, and keeps its offset. All
# structures lie wrong by a growing amount (nearly 3 mm for one in the upper part, up to 4 mm at the end) and are 4 % too
# thick, so that volumes in ml are wrong too; of 8 thick slices it is 12 %. A label map drawn on the old grid, or resampled by
# another tool, no longer fits the volume. SimpleITK, asked for 1 mm, leaves place and thickness alone.
#
# What helps: SimpleITK's Resample with a grid of one's own; or set the spacing to old * (n - 1) / (new n - 1).
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    MedPy==0.5.2 SimpleITK==2.5.7 scipy==1.17.1 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import numpy as np
import SimpleITK
from medpy.filter.image import resample
from medpy.io import Header


def described(name, volume, spacing, offset=0.0):
    """Where the profile along the last axis has its centre, and how thick it is, in mm of the header."""
    line = volume[0, 0].astype(float)
    centre = offset + spacing * (line * np.arange(line.size)).sum() / line.sum()
    print(f"  {name}: {line.size} slices of {spacing:g} mm, centre at {centre:.1f} mm, {spacing * line.sum():.1f} mm thick")


for slices, first, last in ((20, 12, 16), (8, 4, 6)):
    print(f"{slices} slices, the structure in slices {first} to {last - 1}")
    scan = np.zeros((4, 4, slices), np.float32)
    scan[..., first:last] = 1
    described("before", scan, 5.0)
    made, header = resample(scan, Header(spacing=(1.0, 1.0, 5.0)), (1.0, 1.0, 1.0), bspline_order=1)
    described("MedPy", made, header.get_voxel_spacing()[2], header.get_offset()[2])
    image = SimpleITK.GetImageFromArray(scan.transpose())
    image.SetSpacing((1.0, 1.0, 5.0))
    other = SimpleITK.Resample(
        image, (4, 4, 5 * slices), SimpleITK.Transform(), SimpleITK.sitkLinear, (0.0, 0.0, -2.0), (1.0, 1.0, 1.0)
    )
    described("SimpleITK", SimpleITK.GetArrayFromImage(other).transpose(), other.GetSpacing()[2], other.GetOrigin()[2])
PYTHON
cat >expected <<'TEXT'
20 slices, the structure in slices 12 to 15
  before: 20 slices of 5 mm, centre at 67.5 mm, 20.0 mm thick
  MedPy: 100 slices of 1 mm, centre at 70.3 mm, 20.8 mm thick
  SimpleITK: 100 slices of 1 mm, centre at 67.5 mm, 20.0 mm thick
8 slices, the structure in slices 4 to 5
  before: 8 slices of 5 mm, centre at 22.5 mm, 10.0 mm thick
  MedPy: 40 slices of 1 mm, centre at 25.1 mm, 11.2 mm thick
  SimpleITK: 40 slices of 1 mm, centre at 22.5 mm, 10.0 mm thick
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
