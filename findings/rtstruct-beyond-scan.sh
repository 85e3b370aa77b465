#!/usr/bin/env bash
# RTSTRUCT contours that lie beyond the scan come up inside of it: at its other end, or as a mask or a gap on its end slice.
#
# Expected: contours on slices that the scan does not have are left out, or the reader refuses.
# Happens:  dcmrtstruct2nii and PlatiPy wrap slices below the scan round to its top, since index -1 is the last slice to numpy. A node
#           at the lower end gets a second piece at the upper end, an organ wholly below the scan gets a mask, and a cord through
#           the whole scan loses 5 slices at the top, where two contours on one slice cancel each other. DicomRTTool moves contours
#           from beyond an end to the slice at that end, where an even number cancels and an odd number fills: the cord loses its
#           first slice, and the organ below the scan appears there. None of them tells.
# Versions: dcmrtstruct2nii 5, platipy 0.7.2, DicomRTTool 6.2.0, SimpleITK 2.5.7, numpy 2.4.6.
# Matters:  contours are drawn on a long planning CT, and masks made for shorter images in the same coordinates: a cone-beam CT, an MR
#           scan, a cropped copy. Networks are trained on such masks, and the faults look like an annotator's.
# Instead:  drop the contours outside of the scan first, by their position along its normal, or make the mask on the whole CT and
#           crop it. rt-utils refuses such a file.
# Source:   the readers' code. dcmrtstruct2nii's README asks for contours within the scan's slices, and for one beyond the upper end
#           it leaves out the whole structure, with a warning. PlatiPy skips contours beyond the upper end only; its
#           https://github.com/pyplati/platipy/issues/172 tells of an index of -138, which is too far down to wrap round.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv old
old/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 SimpleITK==2.5.7 scikit-image==0.26.0 \
    pydicom==2.4.4 termcolor==3.3.0
old/bin/pip install --quiet --disable-pip-version-check --no-deps dcmrtstruct2nii==5 platipy==0.7.2
python3 -m venv new
new/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 SimpleITK==2.5.7 scikit-image==0.26.0 \
    pydicom==3.0.2 pandas==3.1.1 tqdm==4.70.1 opencv-python-headless==5.0.0.93
new/bin/pip install --quiet --disable-pip-version-check --no-deps NiftiResampler==0.1.1 DicomRTTool==6.2.0

old/bin/python -W ignore - <<'PYTHON'
import contextlib
import io
import json
import logging
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from platipy.dicom.io.rtstruct_to_nifti import convert_rtstruct
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

with contextlib.redirect_stdout(io.StringIO()):
    from dcmrtstruct2nii import dcmrtstruct2nii

study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
slices = [generate_uid() for _ in range(40)]  # of the planning CT; the scan is its slices 10 to 29


def item(**values) -> Dataset:
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def file(kind: str, instance: str, modality: str, series: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("file", {}, file_meta=meta, preamble=bytes(128), is_implicit_VR=False, is_little_endian=True)
    made.SOPClassUID, made.SOPInstanceUID, made.Modality, made.FrameOfReferenceUID = kind, instance, modality, frame_of_reference
    made.StudyInstanceUID, made.SeriesInstanceUID, made.PatientID, made.PatientName = study, series, "phantom", "Phantom^"
    return made


Path("data/ct").mkdir(parents=True)
for number in range(10, 30):
    image = file(CTImageStorage, slices[number], "CT", series)
    image.InstanceNumber, image.ImagePositionPatient, image.SliceThickness = number + 1, [0, 0, 3 * number], 3
    image.ImageOrientationPatient, image.PixelSpacing, image.Rows, image.Columns = [1, 0, 0, 0, 1, 0], [1, 1], 32, 32
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.SamplesPerPixel, image.PhotometricInterpretation, image.RescaleSlope, image.RescaleIntercept = 1, "MONOCHROME2", 1, 0
    image.PixelData = np.zeros((32, 32), np.int16).tobytes()
    image.save_as(f"data/ct/{number}.dcm", write_like_original=False)

structures = {"inside": (15, 25), "node": (4, 13), "cord": (5, 30), "below": (5, 10), "above": (27, 35)}
plan = file(RTStructureSetStorage, generate_uid(), "RTSTRUCT", generate_uid())
images = [item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=one) for one in slices]
referenced = item(SeriesInstanceUID=series, ContourImageSequence=images)
studies = item(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID=study, RTReferencedSeriesSequence=[referenced])
frame = item(FrameOfReferenceUID=frame_of_reference, RTReferencedStudySequence=[studies])
plan.StructureSetLabel, plan.ReferencedFrameOfReferenceSequence = "plan", [frame]
plan.StructureSetROISequence, plan.ROIContourSequence, plan.RTROIObservationsSequence = [], [], []
for roi, (name, (first, end)) in enumerate(structures.items(), 1):
    contours = []
    for number in range(first, end):
        z = 3 * number
        square = [9.6, 9.6, z, 19.4, 9.6, z, 19.4, 19.4, z, 9.6, 19.4, z]  # holds the centres of 10 x 10 voxels
        contours.append(item(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=4, ContourData=square,
                             ContourImageSequence=[images[number]]))  # fmt: skip
    plan.StructureSetROISequence.append(item(ROINumber=roi, ROIName=name, ReferencedFrameOfReferenceUID=frame_of_reference,
                                             ROIGenerationAlgorithm="MANUAL"))  # fmt: skip
    plan.ROIContourSequence.append(item(ReferencedROINumber=roi, ROIDisplayColor=[255, 0, 0], ContourSequence=contours))
    observation = item(ObservationNumber=roi, ReferencedROINumber=roi, RTROIInterpretedType="", ROIInterpreter="")
    plan.RTROIObservationsSequence.append(observation)
plan.save_as("data/plan.dcm", write_like_original=False)


def voxels(path: str) -> list[int] | None:
    """Voxels in each slice of a mask, or None where the reader made none."""
    return (sitk.GetArrayFromImage(sitk.ReadImage(path)) > 0).sum((1, 2)).tolist() if Path(path).exists() else None


Path("platipy").mkdir()
logging.disable()  # of "above", dcmrtstruct2nii warns that it is out of bounds
dcmrtstruct2nii("data/plan.dcm", "data/ct", "dcmrtstruct2nii", gzip=False, convert_original_dicom=False)
convert_rtstruct("data/ct", "data/plan.dcm", output_dir="platipy")
seen = {name: {"right": [100 * (first <= number < end) for number in range(10, 30)],
               "dcmrtstruct2nii": voxels(f"dcmrtstruct2nii/mask_{name}.nii"), "PlatiPy": voxels(f"platipy/Struct_{name}.nii.gz")}
        for name, (first, end) in structures.items()}  # fmt: skip
Path("seen.json").write_text(json.dumps(seen))
PYTHON

TQDM_DISABLE=1 new/bin/python -W ignore - <<'PYTHON'
import json
from pathlib import Path

from DicomRTTool.ReaderWriter import DicomReaderWriter

seen = json.loads(Path("seen.json").read_text())
for name in seen:
    reader = DicomReaderWriter(arg_max=True, verbose=False)
    reader.walk_through_folders("data")
    reader.set_contour_names_and_associations(contour_names=[name])
    reader.get_images_and_mask()
    seen[name]["DicomRTTool"] = (reader.mask > 0).sum((1, 2)).tolist()


def runs(voxels: list[int] | None) -> str:
    """The slices of the scan, of 0 to 19, that hold 100 voxels of the mask, as first-last."""
    if voxels is None:
        return "not written"
    assert set(voxels) <= {0, 100}, voxels
    full = [number for number, count in enumerate(voxels) if count]
    starts, ends = [n for n in full if n - 1 not in full], [n for n in full if n + 1 not in full]
    return ", ".join(f"{first}-{last}" if first < last else f"{first}" for first, last in zip(starts, ends)) or "none"


found = {name: {reader: runs(voxels) for reader, voxels in each.items()} for name, each in seen.items()}
for name, each in found.items():
    print(f"{name:6}: slices of the mask by " + "; ".join(f"{reader}: {slices}" for reader, slices in each.items()))

readers = ("right", "dcmrtstruct2nii", "PlatiPy", "DicomRTTool")
expected = {"inside": ("5-14", "5-14", "5-14", "5-14"), "node": ("0-2", "0-2, 14-19", "0-2, 14-19", "0-2"),
            "cord": ("0-19", "0-14", "0-14", "1-19"), "below": ("none", "15-19", "15-19", "0"),
            "above": ("17-19", "not written", "17-19", "17-18")}  # fmt: skip
if found != {name: dict(zip(readers, slices)) for name, slices in expected.items()}:
    raise SystemExit(f"CHANGED: {found}")
print("HOLDS: contours from beyond the scan change the mask inside of it")
PYTHON
