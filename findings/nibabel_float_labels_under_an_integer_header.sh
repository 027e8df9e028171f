#!/usr/bin/env bash
# nibabel: labels that went through get_fdata and are saved with their own integer header come back as 1.004 and 1.992.
#
# Seen with: nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6 (Python 3.11, Linux).
# A label map is read, a part of it is cleared, and it is saved with its old affine and header. get_fdata made floats of it,
# the header still says uint8, and so nibabel spreads the values over 0 to 255 with a slope of its own (4 / 255 here).
# What is no multiple of that slope is moved: labels 1 and 2 have no voxel left, for nibabel and for SimpleITK. Cast to
# int, which cuts off, 2 becomes 1. Of a plain mask of 0 and 1, no voxel that nibabel reads equals 1 either. Nothing is
# said, and all values were whole numbers before they were saved.
#
# What helps: cast to the header's type before the image is made, np.rint(labels).astype(np.uint8), or read labels with
# np.asarray(image.dataobj) from the beginning.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import nibabel
import numpy as np
import SimpleITK

four = np.zeros((10, 10, 10), np.uint8)
four[2:9], four[4:7], four[6] = 1, 2, 4
for name, labels in (("labels 1, 2, 4", four), ("a mask", (four > 0).astype(np.uint8))):
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), "before.nii.gz")
    image = nibabel.load("before.nii.gz")
    floats = image.get_fdata()
    floats[:, :5] = 0
    for how, changed in (("floats", floats), ("cast", np.rint(floats).astype(np.uint8))):
        nibabel.save(nibabel.Nifti1Image(changed, image.affine, image.header), "after.nii.gz")
        after = nibabel.load("after.nii.gz")
        by_nibabel = after.get_fdata()
        by_itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("after.nii.gz"))
        print(f"{name}, {how}: {after.get_data_dtype()}, values {[f'{value:.9g}' for value in np.unique(by_nibabel)]}")
        for label in np.unique(changed)[1:].astype(int):
            counts = [int((volume == label).sum()) for volume in (changed, by_nibabel, by_itk)]
            print(f"  label {label}: {counts[0]} voxels saved, read by nibabel {counts[1]}, by SimpleITK {counts[2]};", end="")
            print(f" as int: {np.unique(by_nibabel[changed == label].astype(int)).tolist()}")
PYTHON
cat >expected <<'TEXT'
labels 1, 2, 4, floats: uint8, values ['0', '1.00392163', '1.99215698', '4.00000024']
  label 1: 200 voxels saved, read by nibabel 0, by SimpleITK 0; as int: [1]
  label 2: 100 voxels saved, read by nibabel 0, by SimpleITK 0; as int: [1]
  label 4: 50 voxels saved, read by nibabel 0, by SimpleITK 50; as int: [4]
labels 1, 2, 4, cast: uint8, values ['0', '1', '2', '4']
  label 1: 200 voxels saved, read by nibabel 200, by SimpleITK 200; as int: [1]
  label 2: 100 voxels saved, read by nibabel 100, by SimpleITK 100; as int: [2]
  label 4: 50 voxels saved, read by nibabel 50, by SimpleITK 50; as int: [4]
a mask, floats: uint8, values ['0', '1.00000006']
  label 1: 350 voxels saved, read by nibabel 0, by SimpleITK 350; as int: [1]
a mask, cast: uint8, values ['0', '1']
  label 1: 350 voxels saved, read by nibabel 350, by SimpleITK 350; as int: [1]
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
