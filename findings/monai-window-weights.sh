#!/usr/bin/env bash
# MONAI's sliding windows divide by the weights of the first window, also where process_fn gives each window its own.
#
# Expected: process_fn may "adjust the importance map per window": a voxel gets the weighted mean of its windows, so that a
#           network that answers 0.9 everywhere gives 0.9 everywhere.
# Happens:  the sums are made with each window's own weights and divided by those of the first window. Where a window's weight is
#           its part of tissue, at least a quarter, a network that answers 0.9 gives 0.225 to 0.9 in a scan that begins with
#           tissue, and 0.9 to 3.6 in the same scan turned round. A threshold of 0.5 finds 0 voxels of a lesion of 128, and all
#           128 in the turned scan. Without process_fn, or with one that returns the map as it is, the answer is 0.9.
# Versions: monai 1.6.1, torch 2.13.0, numpy 2.4.6.
# Matters:  such weights are there to make air or padding count less, and what comes out depends on what lies in the corner where
#           the windows start. Too low a probability looks like a network that is unsure. An argmax hides it, for all classes of
#           a voxel have the same factor.
# Instead:  let the network's answer carry its weight as one more channel, and divide by that channel afterwards.
# Source:   sliding_window_inference in monai/inferers/utils.py (https://github.com/Project-MONAI/MONAI): count_map_list is filled
#           when the first window has come back, for all windows. The words are those of its docstring.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0 monai==1.6.1

venv/bin/python -W ignore - <<'PYTHON'
import torch
from monai.inferers import sliding_window_inference

scan = torch.zeros(1, 1, 16, 16, 64)
scan[..., :32] = 1  # tissue in the first half, then air, then air with a rim of tissue
scan[..., 12:, 48:] = 1
lesion = torch.zeros_like(scan, dtype=torch.bool)
lesion[..., 4:12, 12:16, 56:60] = True  # in the rim


def network(window: torch.Tensor) -> torch.Tensor:
    return torch.full_like(window, 0.9)


def tissue(window: torch.Tensor) -> torch.Tensor:
    return window.mean().clamp(min=0.25)


def run(given: torch.Tensor, how: str) -> torch.Tensor:
    if how == "one more channel":
        both = sliding_window_inference(
            given, (16, 16, 16), 1, lambda window: torch.cat([network(window), torch.ones_like(window)], 1) * tissue(window), 0.5
        )
        return both[:, :1] / both[:, 1:]
    functions = {
        "no process_fn": None,
        "unchanged": lambda answers, window, weights: (answers, weights),
        "part of tissue": lambda answers, window, weights: (answers, weights * tissue(window)),
    }
    return sliding_window_inference(given, (16, 16, 16), 1, network, 0.5, process_fn=functions[how])


seen = {}
for how in ("no process_fn", "unchanged", "part of tissue", "one more channel"):
    for name, given, where in (("as it is", scan, lesion), ("turned", scan.flip(-1), lesion.flip(-1))):
        answer = run(given, how)
        found = int((answer[where] > 0.5).sum())
        seen[how, name] = (round(float(answer.min()), 3), round(float(answer.max()), 3), found)
        print(f"{how:16}, scan {name:8}: {seen[how, name][0]} to {seen[how, name][1]}, lesion {found} of {int(where.sum())}")

expected = dict.fromkeys(seen, (0.9, 0.9, 128))
expected["part of tissue", "as it is"], expected["part of tissue", "turned"] = (0.225, 0.9, 0), (0.9, 3.6, 128)
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: the answer depends on the weights of the first window")
PYTHON
