#!/usr/bin/env bash
# segmentation_models_pytorch's weighted score per image of perfect masks is 1 divided by the number of classes.
#
# Expected: with reduction "weighted-imagewise" the docstrings promise a weighted average over the classes of each image and then
#           the mean over the images: perfect masks have 1, as with "weighted", which differs by pooling the images first.
# Happens:  perfect masks of four classes have 0.25, and of ten 0.1, whatever the weights are. All scores have it, among them
#           iou_score, f1_score, accuracy and sensitivity; false_negative_rate, where less is better, comes out too low. With
#           class_weights "macro" and "macro-imagewise" do the same.
# Versions: segmentation_models_pytorch 0.6.0, torch 2.13.0, numpy 2.4.6.
# Matters:  a good model looks poor, a table cannot be set beside another with another number of classes, and no model of two
#           classes gets above 0.5. Models on the same classes are still ranked correctly.
# Instead:  take reduction "none", and average with one's own weights.
# Source:   _compute_metric in segmentation_models_pytorch/metrics/functional.py
#           (https://github.com/qubvel-org/segmentation_models.pytorch): the weights are made to add up to 1, and then the mean of
#           the weighted scores is taken where "weighted" takes their sum.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0
venv/bin/pip install --quiet --disable-pip-version-check --no-deps segmentation_models_pytorch==0.6.0

venv/bin/python -W ignore - <<'PYTHON'
import importlib.util
from pathlib import Path

import torch

# the scores need torch alone, while importing the whole package also loads its networks and what they need
package = Path(importlib.util.find_spec("segmentation_models_pytorch").origin).parent
spec = importlib.util.spec_from_file_location("metrics", package / "metrics" / "functional.py")
metrics = importlib.util.module_from_spec(spec)
spec.loader.exec_module(metrics)

seen = {}
for classes in (2, 4, 10):
    truth = torch.arange(classes).repeat(3, 20, 2)  # three images in which every class has its stripes
    poor = torch.where(torch.arange(20)[:, None] < 10, truth, (truth + 1) % classes)  # the lower half is wrong
    weights = [float(number) for number in range(1, classes + 1)]
    for name, mask in (("perfect", truth), ("half wrong", poor)):
        counts = metrics.get_stats(mask, truth, mode="multiclass", num_classes=classes)
        for reduction in ("weighted", "weighted-imagewise"):
            scores = [
                round(float(score(*counts, reduction=reduction, class_weights=weights)), 4)
                for score in (metrics.iou_score, metrics.sensitivity, metrics.false_negative_rate)
            ]
            seen[classes, name, reduction] = scores
            print(f"{classes} classes, {name}, {reduction}: IoU {scores[0]}, sensitivity {scores[1]}, missed {scores[2]}")
        alone = metrics.iou_score(*counts, reduction="none")
        own = (alone * torch.tensor(weights)).sum(1).mean() / sum(weights)
        assert round(float(own), 4) == seen[classes, name, "weighted"][0], own

expected = {}
for classes in (2, 4, 10):
    for name, scores in (("perfect", [1.0, 1.0, 0.0]), ("half wrong", [1 / 3, 0.5, 0.5])):
        expected[classes, name, "weighted"] = [round(score, 4) for score in scores]
        expected[classes, name, "weighted-imagewise"] = [round(score / classes, 4) for score in scores]
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: per image, weighted scores are divided by the number of classes")
PYTHON
