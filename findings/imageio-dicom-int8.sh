#!/usr/bin/env bash
# imageio squeezes DICOM values into signed types of the same width, and a whole volume into the type of its first slice.
#
# Expected: a stored value times slope plus intercept, in a type that holds it; slope 1 and intercept 0 change nothing.
# Happens:  where a file has a slope, imageio takes the smallest type by the values of that file, and of the signed ones where
#           unsigned ones were meant: up to 255 int8, up to 65535 int16. One slice with a background of 20, tissue of 90 and a
#           lesion of 200 has the lesion at -56; tissue at 40000 of 65535 becomes -25536. A volume takes the type of its first
#           slice: behind a slice of air (0 to 20) an organ at 1000 is -24 and a lesion at 300 is 44, so the threshold 250 finds
#           0 of 60 voxels. With a brighter first slice the same slices are right, and so are files without a slope. No warning.
# Versions: imageio 2.38.1, numpy 2.4.6; pydicom 3.0.2 and SimpleITK 2.5.7 are right.
# Matters:  a slope of 1 and an intercept of 0 are usual, and the first slice of a scan is often air. The numbers look like an image,
#           in a type that DICOM has, and two scans of one study differ by what their first slices show.
# Instead:  SimpleITK or pydicom with apply_modality_lut; where imageio must be kept, compare the range with pydicom's.
# Source:   imageio/plugins/_dicom.py, SimpleDicomReader._apply_slope_and_offset and DicomSeries.get_numpy_array. The types are
#           asked about in https://github.com/imageio/imageio/issues/348 (open since 2018), the first slice is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 imageio==2.38.1 pydicom==3.0.2 SimpleITK==2.5.7

venv/bin/python - <<'PYTHON'
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid


def write(folder: str, volume: np.ndarray, slope: bool = True) -> None:
    """The slices of a volume as one series, each with slope 1 and intercept 0, or without them."""
    Path(folder).mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for number, plane in enumerate(volume):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = FileDataset("file", {}, file_meta=meta, preamble=bytes(128))
        made.SOPClassUID, made.SOPInstanceUID, made.Modality = MRImageStorage, meta.MediaStorageSOPInstanceUID, "MR"
        made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = study, series, frame
        made.PatientID, made.PatientName, made.InstanceNumber = "phantom", "Phantom^", number + 1
        made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, 3 * number], [1, 0, 0, 0, 1, 0]
        made.PixelSpacing, made.SliceThickness, (made.Rows, made.Columns) = [1, 1], 3, plane.shape
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 0
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        if slope:
            made.RescaleSlope, made.RescaleIntercept = 1, 0
        made.PixelData = plane.astype(np.uint16).tobytes()
        made.save_as(f"{folder}/{number}.dcm", enforce_file_format=True)


def three(folder: str) -> dict[str, np.ndarray]:
    """A series by three readers."""
    names = sorted(str(path) for path in Path(folder).iterdir())
    files = [dcmread(name) for name in names]
    right = np.stack([apply_modality_lut(one.pixel_array, one) for one in files])
    volume = imageio.volread(folder, "DICOM", progress=False) if len(names) > 1 else imageio.imread(names[0])[None]
    return {"imageio": volume, "SimpleITK": sitk.GetArrayFromImage(sitk.ReadImage(names)), "pydicom": right}


slice_ = np.full((1, 16, 16), 20)
slice_[0, 4:12, 4:12] = 90
slice_[0, 6:8, 6:8] = 200
wide = np.full((1, 16, 16), 40000)
volume = np.zeros((5, 16, 16), int)
volume[:] = np.arange(16) + 5  # 5 to 20: air
volume[1:4, 4:8, 4:8] = 1000
volume[1:4, 10:12, 10:12] = 300
write("slice", slice_)
write("wide", wide)
write("volume", volume)
write("brighter", np.concatenate([volume[1:], volume[:1]]))
write("plain", volume, slope=False)

seen = {}
for name in ("slice", "wide", "volume", "brighter", "plain"):
    readers = three(name)
    assert np.array_equal(readers["SimpleITK"], readers["pydicom"])
    for reader, array in readers.items():
        z, rows = (0, (0, 5, 6)) if len(array) == 1 else (2, (0, 5, 10))
        values = [int(array[z, row, row]) for row in rows]
        print(f"{name:9} by {reader:10} {array.dtype!s:8} values {values}, {int((array > 250).sum())} voxels above 250")
        if reader == "imageio":
            seen[name] = (str(array.dtype), values, int((array > 250).sum()), np.array_equal(array, readers["pydicom"]))

expected = {
    "slice": ("int8", [20, 90, -56], 0, False),
    "wide": ("int16", [-25536, -25536, -25536], 0, False),
    "volume": ("int8", [5, -24, 44], 0, False),
    "brighter": ("int16", [5, 1000, 300], 60, True),
    "plain": ("uint16", [5, 1000, 300], 60, True),
}
if seen != expected:
    raise SystemExit(f"CHANGED: {seen}")
print("HOLDS: values above the signed type's range, or behind a dark first slice, come out changed")
PYTHON
