#!/usr/bin/env bash
# torchmetrics: a class that no case belongs to counts as an AUROC of zero in the macro average, and in no other metric so.
#
# Seen with: torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6 (Python 3.11, Linux).
# Small test sets, folds and hospitals often lack a rare class. MulticlassAUROC(average="macro") then averages a 0 in: a
# classifier that ranks every case right scores 0.667 of three classes with one absent. The warning says that a "true
# positive value" is meaningless, not that the average has changed. Of the same predictions macro average precision, recall,
# F1 and accuracy leave the class out and are 1.0; average="weighted" is 1.0 too.
#
# What helps: average="none", and average over the classes that occur, saying how many those are.
#
# Ends with 0 while the behaviour is as described, with 1 when it has changed. Needs the network, not ssl-bench.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6

cd "$work"
cat >probe.py <<'PYTHON'
import warnings

import torch
from torchmetrics import classification

warnings.simplefilter("ignore")
truth = torch.tensor([0, 0, 1, 1])
probabilities = torch.tensor([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]])
for name in ("AUROC", "AveragePrecision", "Recall", "F1Score", "Accuracy"):
    metric = getattr(classification, f"Multiclass{name}")
    macro = metric(num_classes=3, average="macro")(probabilities, truth)
    weighted = metric(num_classes=3, average="weighted")(probabilities, truth)
    print(f"{name}: macro {macro:.3f}, weighted {weighted:.3f}")
PYTHON
cat >expected <<'TEXT'
AUROC: macro 0.667, weighted 1.000
AveragePrecision: macro 1.000, weighted 1.000
Recall: macro 1.000, weighted 1.000
F1Score: macro 1.000, weighted 1.000
Accuracy: macro 1.000, weighted 1.000
TEXT
"$work/venv/bin/python" probe.py | tee seen
diff expected seen || { echo "The behaviour has changed." >&2; exit 1; }
