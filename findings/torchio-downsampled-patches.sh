#!/usr/bin/env bash
# TorchIO's GridAggregator leaves gaps of zeros between patches if the network makes its output smaller and the patches overlap.
#
# Expected: with downsampling_factor a network whose output is half as large gives a whole volume that is half as large.
# Happens:  in the mode "crop", the default, half of the overlap is cut off each patch in voxels of the input, but the patches and
#           their places are those of the output. Of a network that answers 1 everywhere, with patches of 32 that overlap by 8 in
#           a scan of 64, a third of the output is 0, in slabs of 4 voxels between the patches. A padded scan loses its border as
#           well: 28 voxels per axis come back instead of 32. Without overlap, or with the factor 1, nothing is missing.
# Versions: torchio 1.2.1, torch 2.13.0, numpy 2.4.6.
# Matters:  0 is background in a mask and a likely value in a map of probabilities; organs come back cut apart and too small, and
#           no message is given. Overlap is what one adds in order to get seams right.
# Instead:  make the answer as large as the patch (interpolate) before add_batch, leave the factor at 1, and shrink the whole.
# Source:   GridAggregator in torchio/data/inference/aggregator.py (https://github.com/TorchIO-project/torchio): the locations and
#           the shape are divided by the factor, patch_overlap is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 SimpleITK==2.5.7 nibabel==5.4.2 \
    torch==2.13.0 torchio==1.2.1

venv/bin/python -W ignore - <<'PYTHON'
import torch
import torchio as tio
from torch.nn.functional import avg_pool3d, interpolate

subject = tio.Subject(scan=tio.ScalarImage(tensor=torch.ones(1, 64, 64, 64)))


def run(factor: int, overlap: int, padding: str | None, how: str) -> torch.Tensor:
    sampler = tio.GridSampler(subject, 32, overlap, padding_mode=padding)
    aggregator = tio.GridAggregator(sampler, downsampling_factor=factor if how == "as it is" else 1)
    for batch in torch.utils.data.DataLoader(sampler, batch_size=4):
        answer = avg_pool3d(batch["scan"][tio.DATA], factor)  # a network that answers 1 everywhere
        if how == "enlarged":
            answer = interpolate(answer, scale_factor=factor)
        aggregator.add_batch(answer, batch[tio.LOCATION])
    whole = aggregator.get_output_tensor()
    return whole if how == "as it is" else avg_pool3d(whole, factor)


seen = {}
cases = [(1, 8, None), (2, 0, None), (2, 4, None), (2, 8, None), (2, 8, "edge")]
for how in ("as it is", "enlarged"):
    for factor, overlap, padding in cases:
        whole = run(factor, overlap, padding, how)
        assert set(whole.unique().tolist()) <= {0.0, 1.0}
        seen[how, factor, overlap, padding] = (whole.shape[-1], int((whole == 0).sum()))
        print(
            f"{how}, factor {factor}, overlap {overlap}, padding {padding}: {whole.shape[-1]} voxels per axis, "
            f"{int((whole == 0).sum())} of {whole.numel()} are 0"
        )

expected = {(how, *case): (64 // case[0], 0) for how in ("as it is", "enlarged") for case in cases}
expected["as it is", 2, 4, None] = (32, 5768)
expected["as it is", 2, 8, None] = (32, 10816)
expected["as it is", 2, 8, "edge"] = (28, 8128)
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: where patches overlap, voxels between them are 0")
PYTHON
