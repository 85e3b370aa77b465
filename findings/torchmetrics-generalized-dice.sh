#!/usr/bin/env bash
# TorchMetrics' generalised Dice of a scan depends on the scans beside it in the batch, and on their order.
#
# Expected: a score of a scan is a function of its mask and its reference; a perfect mask has 1, for every class.
# Happens:  where a scan's reference lacks a class, that class's weight (1 / volume^2, so infinite) is replaced by the largest
#           weight in the batch, and that is looked up in another order than the weights are kept in: with two classes and two
#           scans, class 2 of the first scan takes the one of class 1. One and the same scan, with one pixel of class 2 too
#           many, has 1.000 alone (the pixel counts nothing), 0.986 before another scan and 0.471 behind it. By class, a class
#           that is absent from mask and reference counts as 0: perfect masks of four scans, of which one has class 2, have
#           0.25 for it. DiceScore and MeanIoU of the same package leave such scans out and give 1.
# Versions: torchmetrics 1.9.0, torch 2.13.0.
# Matters:  it is a metric of segmentation for training loops (Lightning), where batches are shuffled, and classes that are not
#           in every scan are common (lesions, slices of an organ): the figure changes with the batch size and the order.
# Instead:  torchmetrics.segmentation.DiceScore with average=None; or one scan at a time, with the absent classes left out.
# Source:   functional/segmentation/generalized_dice.py, _generalized_dice_update in https://github.com/Lightning-AI/torchmetrics
#           (the weights are flattened scan by scan, their largest values class by class).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0 torchmetrics==1.9.0

venv/bin/python - <<'PYTHON'
import torch
from torchmetrics.functional.segmentation import generalized_dice_score
from torchmetrics.segmentation import DiceScore, GeneralizedDiceScore, MeanIoU

reference = torch.zeros(2, 16, 16, dtype=torch.long)
reference[:, 2:8, 2:8] = 1
reference[1, 10:12, 10:12] = 2  # the first scan has no class 2
mask = reference.clone()
mask[0, 12, 12] = 2  # one pixel too many

how = {"num_classes": 3, "include_background": False, "input_format": "index"}
seen = {}
for name, order in {"alone": [0], "before": [0, 1], "behind": [1, 0]}.items():
    scores = generalized_dice_score(mask[order], reference[order], **how)
    seen[name] = round(float(scores[order.index(0)]), 3)
print("the same scan, by its place in the batch:", seen)

four = torch.zeros(4, 16, 16, dtype=torch.long)
four[:, 2:8, 2:8] = 1
four[0, 10:12, 10:12] = 2
perfect = {}
for kind, by_class in (
    (GeneralizedDiceScore, {"per_class": True}),
    (MeanIoU, {"per_class": True}),
    (DiceScore, {"average": None}),
):
    metric = kind(**how, **by_class)
    metric.update(four, four)
    perfect[kind.__name__] = [round(float(value), 3) for value in metric.compute()]
print("perfect masks, class 2 in one scan of four:", perfect)

if seen != {"alone": 1.0, "before": 0.986, "behind": 0.471}:
    raise SystemExit(f"CHANGED: the scan has {seen}")
if perfect != {"GeneralizedDiceScore": [1.0, 0.25], "MeanIoU": [1.0, 1.0], "DiceScore": [1.0, 1.0]}:
    raise SystemExit(f"CHANGED: perfect masks have {perfect}")
print("HOLDS: the score of a scan depends on its neighbours, and perfect masks have 0.25")
PYTHON
