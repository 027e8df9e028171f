#!/usr/bin/env bash
# timm: create_optimizer_v2 decays norms and biases when it is given parameters, and does not when it is given the module.
#
# Seen with: timm==1.0.31 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 (Python 3.11, Linux).
# With a module, biases and one-dimensional weights (norms) are put into a group without weight decay, which is the
# default and what papers' recipes mean. With the same module's parameters(), or even named_parameters(), which hold
# all that is needed to tell, everything decays. No word is said, and filter_bias_and_bn=True, asked for by name,
# changes nothing. Whoever passes only parameters that ask for a gradient trains another recipe than whoever passes
# the module.
#
# What helps: pass the module, or make the groups with timm.optim.param_groups_weight_decay.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check timm==1.0.31 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import torch
from timm.optim import create_optimizer_v2

network = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3), torch.nn.GroupNorm(1, 2))
given = {"module": network, "parameters()": network.parameters(), "named_parameters()": network.named_parameters()}
for name, parameters in given.items():
    optimiser = create_optimizer_v2(parameters, opt="adamw", lr=1e-3, weight_decay=0.1, filter_bias_and_bn=True)
    decayed = sum(len(group["params"]) for group in optimiser.param_groups if group["weight_decay"] > 0)
    print(f"{name}: {decayed} of 4 tensors decay")
PYTHON
cat >expected <<'TEXT'
module: 1 of 4 tensors decay
parameters(): 4 of 4 tensors decay
named_parameters(): 4 of 4 tensors decay
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
