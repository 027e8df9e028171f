#!/usr/bin/env bash
# safetensors: the same tensors and the same metadata make a file of other bytes each time.
#
# Seen with: safetensors==0.8.0 numpy==2.4.6 (Python 3.11, Linux).
# The order in which several entries of the metadata are written is random, even within a process: the header's JSON
# holds a hash map. Files of one content have many SHA-256 digests, so that the digest of a weights file cannot say
# whether two runs gave the same weights, and caches by digest miss. Without metadata, or with one entry, the bytes
# are always the same.
#
# What helps: digest the tensors (names, shapes, types, bytes), not the file; or put everything into one entry.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import hashlib

import numpy as np
from safetensors.numpy import save

tensors = {"weight": np.zeros((2, 2), np.float32), "bias": np.ones(2, np.float32)}
for count in (0, 1, 6):
    metadata = {f"entry {number}": "value" for number in range(count)}
    digests = {hashlib.sha256(save(tensors, metadata)).hexdigest() for _ in range(50)}
    print(f"{count} entries of metadata, 50 files:", "one digest" if len(digests) == 1 else "many digests")
PYTHON
cat >expected <<'TEXT'
0 entries of metadata, 50 files: one digest
1 entries of metadata, 50 files: one digest
6 entries of metadata, 50 files: many digests
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
