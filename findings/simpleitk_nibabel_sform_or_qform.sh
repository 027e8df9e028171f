#!/usr/bin/env bash
# SimpleITK and nibabel: of a NIfTI whose sform is an alignment (code 2 to 4) one reads the qform, the other the sform.
#
# Seen with: SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6 (Python 3.11, Linux).
# A file may have two frames, each with a code: 1 for the scanner, 2 for another scan, 3 and 4 for Talairach and MNI. nibabel
# takes the sform wherever it has a code. SimpleITK takes it if its code is 1 or the qform has none, and else the qform,
# without a word. So a scan that was registered (sform_code 2 or 4) and kept its scanner's qform has one place and one
# orientation in nibabel and other ones in SimpleITK; a label drawn in one and read in the other may be turned.
#
# What helps: compare get_sform(coded=True) with get_qform(coded=True), and write both alike before files change hands.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import nibabel
import numpy as np
import SimpleITK

scanner = np.diag([2.0, 2, 2, 1])
scanner[:3, 3] = 10, 20, 30
aligned = np.array([[0.0, -2, 0, 40], [2, 0, 0, 50], [0, 0, 2, 60], [0, 0, 0, 1]])


def which(affine):
    return next(name for name, each in (("qform", scanner), ("sform", aligned)) if np.allclose(affine, each, atol=1e-4))


def by_simpleitk(path):
    """The affine in NIfTI's axes: ITK counts to the left and to the back."""
    image = SimpleITK.ReadImage(path)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ affine


for sform_code in (0, 1, 2, 3, 4):
    for qform_code in (0, 1, 2):
        if sform_code or qform_code:
            image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), None)
            image.set_sform(aligned, sform_code)
            image.set_qform(scanner, qform_code)
            nibabel.save(image, "scan.nii")
            read = which(nibabel.load("scan.nii").affine), which(by_simpleitk("scan.nii"))
            told = "" if read[0] == read[1] else "  <- differ"
            print(f"sform_code {sform_code}, qform_code {qform_code}: nibabel {read[0]}, SimpleITK {read[1]}{told}")
PYTHON
cat >expected <<'TEXT'
sform_code 0, qform_code 1: nibabel qform, SimpleITK qform
sform_code 0, qform_code 2: nibabel qform, SimpleITK qform
sform_code 1, qform_code 0: nibabel sform, SimpleITK sform
sform_code 1, qform_code 1: nibabel sform, SimpleITK sform
sform_code 1, qform_code 2: nibabel sform, SimpleITK sform
sform_code 2, qform_code 0: nibabel sform, SimpleITK sform
sform_code 2, qform_code 1: nibabel sform, SimpleITK qform  <- differ
sform_code 2, qform_code 2: nibabel sform, SimpleITK qform  <- differ
sform_code 3, qform_code 0: nibabel sform, SimpleITK sform
sform_code 3, qform_code 1: nibabel sform, SimpleITK qform  <- differ
sform_code 3, qform_code 2: nibabel sform, SimpleITK qform  <- differ
sform_code 4, qform_code 0: nibabel sform, SimpleITK sform
sform_code 4, qform_code 1: nibabel sform, SimpleITK qform  <- differ
sform_code 4, qform_code 2: nibabel sform, SimpleITK qform  <- differ
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
