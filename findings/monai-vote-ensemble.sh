#!/usr/bin/env bash
# MONAI's VoteEnsemble gives a voxel no class at all, in one-hot form, if its most common class has half of the votes or less.
#
# Expected: the docstring has it select what is most common between the models, from label maps and from one-hot masks alike.
# Happens:  label maps (with num_classes) are voted on like that. One-hot masks are averaged and rounded channel by channel, which
#           asks of a class more than half of all votes: of four models two say tumour, one liver and one background, and no
#           channel is set, not even background. AsDiscrete(argmax=True) then makes background of it. Two votes against two are
#           lost as well, which as label maps go to the lower label. A tumour of 64 voxels vanishes while all channels, background
#           too, are 0 there. With 2 of 5 votes against 1, 1 and 1 it is the same; with 3 of 5 both forms agree.
# Versions: monai 1.6.1, torch 2.13.0, numpy 2.4.6.
# Matters:  one-hot is what networks' answers are after AsDiscrete. Models differ most where it is hard, and just there the
#           ensemble answers background. No message is given, and with two classes and an odd number of models all is well.
# Instead:  vote on label maps of one channel, with num_classes; or take MeanEnsemble and argmax.
# Source:   VoteEnsemble in monai/transforms/post/array.py (https://github.com/Project-MONAI/MONAI): argmax is taken only where
#           num_classes is given and the masks have one channel; else torch.round of the mean, which makes 0.5 to 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0 monai==1.6.1

venv/bin/python -W ignore - <<'PYTHON'
import torch
from monai.networks import one_hot
from monai.transforms import AsDiscrete, VoteEnsemble

cases = {
    "2 of 4": (2, 2, 1, 0),  # 0 is background, 1 liver, 2 tumour
    "2 against 2": (2, 2, 1, 1),
    "2 of 5": (2, 2, 1, 0, 3),
    "3 of 5": (2, 2, 2, 1, 0),
}

seen = {}
for name, votes in cases.items():
    models = []
    for vote in votes:
        mask = torch.zeros(1, 8, 8, 8)
        mask[:, 1:7, 1:7, 1:7] = 1
        mask[:, 2:6, 2:6, 2:6] = vote  # the 64 voxels that the models see differently
        models.append(mask)
    where = torch.zeros_like(mask, dtype=torch.bool)
    where[:, 2:6, 2:6, 2:6] = True
    channels = VoteEnsemble()([one_hot(mask, 4, dim=0) for mask in models])
    answers = {"label maps": VoteEnsemble(num_classes=4)(models), "one-hot": AsDiscrete(argmax=True)(channels)}
    assert all(int((answer == 1)[~where].sum()) == 152 for answer in answers.values())
    for form, answer in answers.items():
        seen[name, form] = torch.bincount(answer[where].long(), minlength=3).tolist()
    seen[name, "no class"] = int((channels.sum(0, keepdim=True) == 0).sum())
    print(
        f"{name:11}: background, liver, tumour from label maps {seen[name, 'label maps']}, from one-hot {seen[name, 'one-hot']}, "
        f"where {seen[name, 'no class']} voxels have no class"
    )

expected = {(name, "label maps"): [0, 0, 64] for name in cases} | {("2 against 2", "label maps"): [0, 64, 0]}
expected |= {(name, "one-hot"): [64, 0, 0] for name in cases} | {("3 of 5", "one-hot"): [0, 0, 64]}
expected |= {(name, "no class"): 64 for name in cases} | {("3 of 5", "no class"): 0}
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: in one-hot form the most common class is lost unless it has more than half of the votes")
PYTHON
