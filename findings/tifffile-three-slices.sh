#!/usr/bin/env bash
# A stack of exactly three or four slices becomes a colour picture on the way from tifffile to SimpleITK, and loses half of its bits.
#
# Expected: a 16-bit stack (slices, rows, columns) written by tifffile is read as that stack, whatever the number of slices.
# Happens:  three or four slices are taken for colour channels by tifffile.imwrite (photometric RGB, planes apart). SimpleITK then
#           reads one slice of 8-bit vectors: slices are gone into "channels" and every value is divided by 257 or so. Two or five
#           slices come back as they were. Python sees no exception; ITK writes a warning to the process's standard error.
# Versions: tifffile 2026.3.3, SimpleITK 2.5.7, numpy 2.4.6, Linux x86-64.
# Matters:  labels become 0 altogether, and a cohort fails only in the cases with three or four
#           slices.
# Instead:  tifffile.imwrite(path, stack, photometric="minisblack").
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 tifffile==2026.3.3 SimpleITK==2.5.7

venv/bin/python - 2>errors <<'PYTHON' || { cat errors; exit 1; }
import numpy as np
import SimpleITK as sitk
import tifffile

found = {}
for slices in (2, 3, 4, 5):
    stack = np.arange(slices * 20, dtype=np.uint16).reshape(slices, 4, 5) * 600 + 1
    label = np.arange(slices * 20, dtype=np.uint16).reshape(slices, 4, 5) % 3 + 1
    tifffile.imwrite("asked.tif", stack, photometric="minisblack")
    tifffile.imwrite("stack.tif", stack)
    tifffile.imwrite("label.tif", label)
    asked, read, classes = (sitk.ReadImage(f"{name}.tif") for name in ("asked", "stack", "label"))
    found[slices] = (
        read.GetSize(),
        read.GetPixelIDTypeAsString(),
        np.array_equal(sitk.GetArrayFromImage(read), stack),
        np.array_equal(sitk.GetArrayFromImage(asked), stack),
        int(sitk.GetArrayFromImage(classes).reshape(-1, 4 if slices in (3, 4) else 1)[:, 0].max()),
    )
    size, kind, same, same_asked, largest = found[slices]
    print(f"{slices} slices: {size} {kind}, equal {same}, with minisblack {same_asked}; labels 1 to 3 become up to {largest}")

colour = (5, 4), "vector of 8-bit unsigned integer", False, True, 0
whole = {n: ((5, 4, n), "16-bit unsigned integer", True, True, 3) for n in (2, 5)}
if found != {**whole, 3: colour, 4: colour}:
    raise SystemExit(f"CHANGED: {found}")
print("HOLDS: three and four slices become an 8-bit colour picture unless minisblack is asked for")
PYTHON
