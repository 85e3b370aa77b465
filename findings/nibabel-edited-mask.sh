#!/usr/bin/env bash
# Correct one voxel of a mask with nibabel, and other labels vanish.
#
# Expected: load an 8-bit mask with get_fdata(), set one voxel to another label, save it with the same affine and header: a mask
#           of whole numbers comes out that differs in one voxel.
# Happens:  get_fdata() gives float64 and the header still asks for uint8. nibabel then stretches the values over the whole range
#           of the integer type and stores a scale factor. Read back, labels 0 1 2 3 7 are 0, 0.988, 2.004, 2.992 and 7: nothing
#           equals 1 or 3 any more, and a cast to int turns 1 into 0 and 3 into 2. No warning; the file's type is still uint8.
# Versions: nibabel 5.4.2; SimpleITK 2.5.7 reads the same fractions and turns the mask into a float image.
# Matters:  this is the way most scripts correct, merge or clean masks. A whole structure goes to background (or becomes its
#           neighbour) in training data and in Dice tables, and a viewer that rounds shows a perfect mask.
# Instead:  read labels with numpy.asanyarray(image.dataobj), keep the array an integer, and check after loading that labels are
#           whole; np.rint(get_fdata()) mends files written in this way as long as neighbouring labels stay apart.
# Source:   https://github.com/nipy/nibabel/issues/1001 and https://github.com/nipy/nibabel/issues/1344.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 nibabel==5.4.2 SimpleITK==2.5.7

venv/bin/python - <<'PYTHON'
import nibabel as nib
import numpy as np
import SimpleITK as sitk

labels = np.array([0, 1, 2, 3, 3], np.uint8).reshape(5, 1, 1)
nib.save(nib.Nifti1Image(labels, np.eye(4)), "mask.nii")

mask = nib.load("mask.nii")
edited = mask.get_fdata()
edited[4] = 7
nib.save(nib.Nifti1Image(edited, mask.affine, mask.header), "edited.nii")

again = nib.load("edited.nii")
values = again.get_fdata().ravel()
kind = str(again.get_data_dtype())
cast = values.astype(int).tolist()
present = [label for label in (0, 1, 2, 3, 7) if (values == label).any()]
by_sitk = sitk.ReadImage("edited.nii")
print("saved labels     ", edited.ravel())
print("read back        ", values, "stored as", kind)
print("cast to int      ", cast)
print("labels equal to themselves:", present)
print("SimpleITK reads  ", by_sitk.GetPixelIDTypeAsString(), sitk.GetArrayFromImage(by_sitk).ravel())

holds = (
    kind == "uint8"
    and cast == [0, 0, 2, 2, 7]
    and np.allclose(values, [0, 0.988, 2.004, 2.992, 7], atol=1e-3)
    and not {1, 2, 3} & set(present)
    and "float" in by_sitk.GetPixelIDTypeAsString()
)
if not holds:
    raise SystemExit(f"CHANGED: {values} as {kind}, cast to {cast}")
print("HOLDS: labels 1 and 3 are lost by editing another voxel")
PYTHON
