"""A few small sound files of every ending that semivox reads, to be damaged by ``fuzz_readers.py``."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import imagecodecs
import nibabel as nib
import numpy as np
import tifffile
from nibabel.freesurfer import MGHImage
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from semivox.cohort import ENDINGS, Volume, read_volume, write_mask, write_volume

SOLID = np.random.default_rng(0).integers(0, 9, (9, 8, 7)).astype(np.uint8)
FLAT = np.random.default_rng(1).integers(0, 4, (31, 23)).astype(np.uint8)
COLOUR = np.random.default_rng(2).integers(0, 255, (48, 32, 3)).astype(np.uint8)
ALPHA = np.random.default_rng(3).integers(0, 255, (23, 31, 4)).astype(np.uint8)
AFFINE = np.array([[-0.7, 0, 0, 31.3], [0, -0.8, 0, -12.9], [0, 0, 1.25, 4.1], [0, 0, 0, 1]])


def write_seeds(folder: Path) -> dict[str, list[Path]]:
    """Ending -> files, one or more of each ending; the voxels of detached headers lie beside them."""
    found: dict[str, list[Path]] = {ending: [] for ending in ENDINGS}
    for ending, row in ENDINGS.items():
        if not row.written or row.name in ("dicom-seg", "rtstruct"):
            continue
        for number, volume in enumerate((Volume(SOLID[None], AFFINE), Volume(FLAT[None], np.eye(4)))):
            written = write_volume(folder / f"plain{number}{ending}", volume.array, volume)
            if ENDINGS[ending] is row and written.name.endswith(ending):
                found[ending].append(written)
    for name, content in (*niftis(), *texts(), *pictures(), *foreign()):
        path = folder / name
        path.write_bytes(content)
        ending = next((e for e in ENDINGS if name.endswith(e)), None)
        if ending is not None:
            found[ending].append(path)
    tiffs(folder, found)
    dicoms(folder, found)
    return found


def niftis() -> Iterator[tuple[str, bytes]]:
    """Scaled, big-endian, the second version, four axes, and a pair."""
    scaled = nib.Nifti1Image(SOLID.astype(np.float32) / 7, AFFINE, dtype=np.int16)
    big = nib.Nifti1Image(SOLID.astype(">i2"), AFFINE, nib.Nifti1Header(endianness=">"))
    for name, image in (
        ("scaled", scaled), ("big", big), ("second", nib.Nifti2Image(SOLID, AFFINE)),
        ("four", nib.Nifti1Image(SOLID[..., None].repeat(2, 3), AFFINE)),
    ):  # fmt: skip
        yield f"{name}.nii", image.to_bytes()
        yield f"{name}.nii.gz", gzip.compress(image.to_bytes(), mtime=0)
    files = nib.Nifti1Pair.make_file_map({"header": io.BytesIO(), "image": io.BytesIO()})
    for part in files.values():
        part.fileobj = io.BytesIO()
    nib.Nifti1Pair(SOLID, AFFINE).to_file_map(files)
    yield "pair.hdr", files["header"].fileobj.getvalue()
    yield "pair.img", files["image"].fileobj.getvalue()


def texts() -> Iterator[tuple[str, bytes]]:
    """NRRD and MetaImage in every encoding, with the voxels behind the header and beside it."""
    voxels = SOLID.ravel("F").tobytes()
    text = " ".join(map(str, SOLID.ravel("F"))).encode()
    yield "voxels.raw", voxels
    yield "voxels.gz", gzip.compress(voxels, mtime=0)
    nrrd = "NRRD0005\n# seed\ntype: uint8\ndimension: 3\nsizes: 9 8 7\nkey:=value\nendian: little\n"
    placed = (
        "space: left-posterior-superior\nspace directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (1,2,3)\n"
    )
    spaced = 'spacings: 1 2 3\nunits: "mm" "mm" "mm"\nkinds: domain domain domain\n'
    packed = {"gzip": gzip.compress(voxels, mtime=0), "bzip2": bz2.compress(voxels)}
    encodings = {"raw": voxels, **packed, "ascii": text}
    for number, (head, (encoding, data)) in enumerate(product((placed, spaced), encodings.items())):
        yield f"{number}.nrrd", f"{nrrd}{head}encoding: {encoding}\n\n".encode() + data
    yield "a.nhdr", f"{nrrd}{placed}encoding: raw\ndata file: voxels.raw\n".encode()
    yield "b.nhdr", f"{nrrd}{spaced}encoding: gzip\ndata file: voxels.gz\n".encode()
    meta = "ObjectType = Image\nNDims = 3\nBinaryData = True\nElementSpacing = 1 2 3\nOffset = 4 5 6\n"
    meta += "TransformMatrix = 1 0 0 0 1 0 0 0 1\nDimSize = 9 8 7\nElementType = MET_UCHAR\n"
    yield "a.mha", f"{meta}ElementDataFile = LOCAL\n".encode() + voxels
    yield "b.mha", f"{meta.replace('Data = True', 'Data = False')}ElementDataFile = LOCAL\n".encode() + text
    yield "a.mhd", f"{meta}ElementDataFile = voxels.raw\n".encode()


def pictures() -> Iterator[tuple[str, bytes]]:
    """PNG of several colour types and depths, and JPEG."""
    colour = np.ascontiguousarray(COLOUR[:23, :31])
    for name, array in (
        ("grey", FLAT.T), ("colour", colour), ("alpha", ALPHA),
        ("deep", FLAT.T.astype(np.uint16) * 999), ("deepcolour", colour.astype(np.uint16) * 99),
    ):  # fmt: skip
        yield f"{name}.png", imagecodecs.png_encode(np.ascontiguousarray(array))
    for ending in (".jpg", ".jpeg"):
        yield f"grey{ending}", imagecodecs.jpeg8_encode(np.ascontiguousarray(FLAT.T * 60))
        yield f"colour{ending}", imagecodecs.jpeg8_encode(colour)


def tiffs(folder: Path, found: dict[str, list[Path]]) -> None:
    """Strips, tiles, stacks and planes in the compressions that programs write."""
    for compression in (None, "lzw", "zlib", "packbits", "zstd", "lzma", "jpeg", "webp", "lerc", "png"):
        for number, options in enumerate(({"rowsperstrip": 16}, {"tile": (16, 16)}, {"byteorder": ">"})):
            path = folder / f"{compression}{number}.tif"
            tifffile.imwrite(path, COLOUR, photometric="rgb", compression=compression, **options)
            found[".tif"].append(path)
    stack = np.ascontiguousarray(SOLID.T)
    for name, options in (
        ("predicted", {"compression": "lzw", "predictor": True}), ("big", {"bigtiff": True}),
        ("deflated", {"compression": "zlib"}), ("imagej", {"imagej": True, "metadata": {"axes": "ZYX"}}),
    ):  # fmt: skip
        tifffile.imwrite(folder / f"{name}.tiff", stack, **{"photometric": "minisblack", **options})
        found[".tiff"].append(folder / f"{name}.tiff")
    for ending in (".ome.tif", ".ome.tiff"):
        tifffile.imwrite(folder / f"whole{ending}", stack, photometric="minisblack", metadata={"axes": "ZYX"})
        found[ending].append(folder / f"whole{ending}")


def dicoms(folder: Path, found: dict[str, list[Path]]) -> None:
    """A plane, a zipped series, native and compressed, and a segmentation of it."""
    for name, syntax in (
        ("native", ExplicitVRLittleEndian),
        ("jpegls", JPEGLSLossless),
        ("rle", RLELossless),
    ):
        with ZipFile(folder / f"{name}.zip", "w") as archive:
            for k in range(2):
                content = plane(k, syntax)
                archive.writestr(ZipInfo(f"{k}"), content)
        found[".zip"].append(folder / f"{name}.zip")
        (folder / f"{name}.dcm").write_bytes(content)
        found[".dcm"].append(folder / f"{name}.dcm")
    (folder / "frames.dcm").write_bytes(of_many_frames([plane(k, ExplicitVRLittleEndian) for k in range(3)]))
    found[".dcm"].append(folder / "frames.dcm")
    scan = read_volume(folder / "native.zip")
    label = np.zeros(scan.shape, np.uint8)
    label[2:5, 2:5] = 1
    found[".seg.dcm"].append(without_chance(write_mask(folder / "label", label, scan, "dicom-seg")))
    (folder / "contours.rtstruct.dcm").write_bytes(content)  # never read, so that any object will do
    found[".rtstruct.dcm"].append(folder / "contours.rtstruct.dcm")


def without_chance(path: Path) -> Path:
    """The same object at any time: UIDs that were drawn, and dates."""
    dataset = dcmread(path)

    def settle(_: Dataset, element: DataElement) -> None:
        if element.VR == "UI" and len(str(element.value)) > 50:
            element.value = f"1.2.7.{element.tag.group}.{element.tag.element}"
        elif element.VR in ("DA", "TM", "DT") and element.value:
            element.value = {"DA": "20260101", "TM": "120000", "DT": "20260101120000"}[element.VR]

    dataset.walk(settle)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path)
    return path


def plane(k: int, syntax: str) -> bytes:
    """The k-th plane of a series, as a file of DICOM."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, f"1.2.3.{k + 1}"
    made.SeriesInstanceUID, made.StudyInstanceUID, made.FrameOfReferenceUID = "1.2.4", "1.2.5", "1.2.6"
    made.Modality, made.SeriesNumber, made.InstanceNumber = "CT", 1, k + 1
    made.PatientID, made.PatientName, made.PatientBirthDate, made.PatientSex = "1", "A^B", "", "O"
    made.StudyID, made.AccessionNumber, made.ReferringPhysicianName = "1", "", ""
    made.StudyDate, made.StudyTime, made.Manufacturer, made.PositionReferenceIndicator = "", "", "", ""
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.Rows, made.Columns = SOLID.shape[1], SOLID.shape[0]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 0
    made.PixelSpacing, made.SliceThickness = [0.8, 0.7], 2.5
    made.ImageOrientationPatient, made.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2.5 * k]
    made.RescaleSlope, made.RescaleIntercept = 1, -1024
    pixels = np.ascontiguousarray(SOLID[:, :, k].T.astype(np.uint16))
    made.PixelData = pixels.tobytes()
    if syntax == JPEGLSLossless:
        made.PixelData = encapsulate([imagecodecs.jpegls_encode(pixels)])
        made["PixelData"].is_undefined_length = True
        made.file_meta.TransferSyntaxUID = syntax
    elif syntax == RLELossless:
        made.compress(syntax, generate_instance_uid=False)
    content = io.BytesIO()
    made.save_as(content, enforce_file_format=True)
    return content.getvalue()


def of_many_frames(planes: list[bytes]) -> bytes:
    """The planes of a series as one enhanced object: what they share stands apart from what is their own."""
    one, *others = (dcmread(io.BytesIO(content)) for content in planes)
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    one.PixelData = b"".join(each.PixelData for each in (one, *others))
    one.NumberOfFrames = len(planes)
    groups = []
    for each in (one, *others):
        place, group = Dataset(), Dataset()
        place.ImagePositionPatient = each.ImagePositionPatient
        group.PlanePositionSequence = [place]
        groups.append(group)
    shared = Dataset()
    for sequence, names in (
        ("PixelMeasuresSequence", ("PixelSpacing", "SliceThickness")),
        ("PixelValueTransformationSequence", ("RescaleSlope", "RescaleIntercept")),
        ("PlaneOrientationSequence", ("ImageOrientationPatient",)),
    ):
        inner = Dataset()
        for name in names:
            inner[name] = one[name]
            del one[name]
        setattr(shared, sequence, [inner])
    del one.ImagePositionPatient
    one.SharedFunctionalGroupsSequence, one.PerFrameFunctionalGroupsSequence = [shared], groups
    content = io.BytesIO()
    one.save_as(content, enforce_file_format=True)
    return content.getvalue()


def foreign() -> Iterator[tuple[str, bytes]]:
    """Formats that semivox does not write."""
    for kind in (np.uint8, np.float32, np.int16):
        content = MGHImage(SOLID.astype(kind), AFFINE).to_bytes()
        yield f"{np.dtype(kind)}.mgh", content
        yield f"{np.dtype(kind)}.mgz", gzip.compress(content, mtime=0)
