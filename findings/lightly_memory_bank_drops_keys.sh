#!/usr/bin/env bash
# lightly: a memory bank whose size is no multiple of the batch throws keys away at each turn.
#
# Seen with: lightly==1.6.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 (Python 3.11, Linux).
# The bank is a queue that begins anew at its end. A batch that reaches over the end is cut: what does not fit is not
# written to the front but dropped, and the next batch begins at the front. Of three batches of four keys, a bank of
# ten takes ten. MoCo asks that the size be a multiple of the batch and checks it; this class neither checks nor says
# so, and the last batch of an epoch is often a smaller one.
#
# What helps: take a size that the batch divides, and drop the last, smaller batch of an epoch.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check lightly==1.6.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import torch
from lightly.models.modules.memory_bank import MemoryBankModule

bank = MemoryBankModule(size=(10, 2))
for batch in range(4):
    keys = torch.arange(4.0) + 4 * batch
    bank(keys.unsqueeze(1).expand(4, 2), update=True)
held = sorted(int(key) for key in bank.bank[:, 0])
print("keys that came: 0 to 15; the newest ten: 6 to 15")
print("keys in the bank:", *held)
PYTHON
cat >expected <<'TEXT'
keys that came: 0 to 15; the newest ten: 6 to 15
keys in the bank: 4 5 6 7 8 9 12 13 14 15
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
