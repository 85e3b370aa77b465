#!/usr/bin/env bash
# nilearn crops a scan to a field of view from the wrong corner, when it resamples it to a grid with the same voxels.
#
# Expected: an image resampled to a smaller field of view on the same voxel grid is a crop: what is left stays where it was.
# Happens:  for such grids nilearn copies instead of resampling, and begins at the image's first voxel that is not zero, wherever
#           the field of view begins. A scan in HU, whose air is not 0, is cut from its first corner: cropped from voxel 15 on, a
#           lesion in it moves by 15 voxels, 30 mm at 2 mm. In its mask the lesion moves by 10 mm where the organ around it is cut
#           off 5 voxels deep, and not at all where no label is cut off. A fill_value for the outside is ignored, too.
# Versions: nilearn 0.12.1, as it comes, and nilearn 0.14.1 with force_resample=False; numpy 2.4.6, scipy 1.17.1, nibabel 5.4.2.
# Matters:  scans and masks are brought onto a cropped scan's grid in this way. Nothing warns of a move, the affine is that of the
#           crop, and scan and mask move by different lengths. A crop that takes off upper slices only is right.
# Instead:  force_resample=True, the default from 0.13 on, or nibabel's img.slicer for crops.
# Source:   resample_img in nilearn/image/resampling.py; of force_resample its docstring says: "False is intended for testing,
#           this prevents the use of a padding optimization." A wrong crop by 0.6.1 is told of in
#           https://github.com/nilearn/nilearn/issues/2305.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 nibabel==5.4.2 pandas==2.3.3 \
    scikit-learn==1.8.0 nilearn==0.14.1

cat > crop.py <<'PYTHON'
import json
import sys

import nibabel
import numpy as np
from nilearn.image import resample_img, resample_to_img

VOXEL = np.diag([2.0, 2.0, 2.0, 1.0])
options = json.loads(sys.argv[1])


def image(air: int) -> nibabel.Nifti1Image:
    """A scan or a mask with an organ, 1, in the voxels 10 to 24 of each axis and a lesion, 2, in its middle."""
    array = np.full((40, 40, 40), air, np.int16)
    array[10:25, 10:25, 10:25] = 1
    array[16:19, 16:19, 16:19] = 2
    return nibabel.Nifti1Image(array, VOXEL)


def moved(air: int, low: int, high: int) -> float:
    """By how many mm along the first axis the lesion has moved in a crop of that axis to the voxels from low to high."""
    crop = image(air).slicer[low:high]
    back = resample_to_img(image(air), crop, interpolation="nearest", **options)
    assert back.shape == crop.shape and np.array_equal(back.affine, crop.affine)
    true, seen = (np.argwhere(each.get_fdata() == 2).mean(0) for each in (crop, back))
    return 2 * float(seen[0] - true[0])


larger = np.array(VOXEL)
larger[:3, 3] = -10
filled = resample_img(image(0), larger, (50, 50, 50), "nearest", clip=False, fill_value=-1000, **options)
seen = {f"{low}-{high}": [moved(-1000, low, high), moved(0, low, high)] for low, high in ((15, 40), (5, 40), (0, 20))}
print(json.dumps(seen | {"outside": int(filled.get_fdata()[0, 0, 0])}))
PYTHON
copied=$(venv/bin/python -W ignore crop.py '{"force_resample": false}')
resampled=$(venv/bin/python -W ignore crop.py '{}')
venv/bin/pip install --quiet --disable-pip-version-check nilearn==0.12.1
old=$(venv/bin/python -W ignore crop.py '{}')
echo "mm that a lesion moves in a scan and in its mask, cropped to these voxels:"
echo "nilearn 0.14.1, force_resample=False: $copied"
echo "nilearn 0.14.1, as it comes:          $resampled"
echo "nilearn 0.12.1, as it comes:          $old"
wrong='{"15-40": [30.0, 10.0], "5-40": [10.0, 0.0], "0-20": [0.0, 0.0], "outside": 0}'
right='{"15-40": [0.0, 0.0], "5-40": [0.0, 0.0], "0-20": [0.0, 0.0], "outside": -1000}'
[[ $copied == "$wrong" && $old == "$wrong" && $resampled == "$right" ]] || { echo "CHANGED"; exit 1; }
echo "HOLDS: the crop begins at the first voxel that is not zero, not where the field of view does"
