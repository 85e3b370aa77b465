"""Whether spacing is known: every format with it and without it, its units, and what a written file tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from semivox.cohort.check import check_cohort
from semivox.cohort.format_table import FORMATS
from semivox.cohort.formats import read_geometry, read_label, read_volume, write_mask, write_volume
from semivox.cohort.geometry import cohort_spacing, grid_difference
from semivox.cohort.orientation import orientation_of
from semivox.cohort.units import mm_per_unit
from semivox.cohort.volume import Volume

RNG = np.random.default_rng(4)
STACK = RNG.integers(0, 99, (3, 4, 5)).astype(np.uint16)  # Z, Y, X
PICTURE = STACK[0]
Write = Callable[[Path], Any]


def told(path: Path) -> tuple[str, tuple[float, ...]]:
    """Status and edges, the same from the header and from the voxels."""
    volume, header = read_volume(path), read_geometry(path)
    assert (volume.spacing_status, volume.voxel_edges) == (header.spacing_status, header.voxel_edges)
    assert volume.spacing_mm == (volume.voxel_edges if volume.spacing_status == "known" else None)
    return volume.spacing_status, volume.voxel_edges


def imagej(resolution: Any = None, **meta: Any) -> Write:
    return lambda p: tifffile.imwrite(
        p, STACK, imagej=True, resolution=resolution, metadata={"axes": "ZYX", **meta}
    )


def ome(**meta: Any) -> Write:
    return lambda p: tifffile.imwrite(
        p, STACK, ome=True, photometric="minisblack", metadata={"axes": "ZYX", **meta}
    )


def tags(x: float, y: float, unit: str, array: np.ndarray = PICTURE) -> Write:
    return lambda p: tifffile.imwrite(
        p, array, photometric="minisblack", resolution=(x, y), resolutionunit=unit, metadata=None
    )


def sizes(letters: str = "XYZ", unit: str | None = None) -> dict[str, Any]:
    edges = {"X": 0.2, "Y": 0.4, "Z": 2.0}
    units = {} if unit is None else {f"PhysicalSize{letter}Unit": unit for letter in letters}
    return {**{f"PhysicalSize{letter}": edges[letter] for letter in letters}, **units}


MICRO = (0.0002, 0.0004, 0.002)
TIFFS: list[tuple[Write, str, tuple[float, ...]]] = [
    (lambda p: tifffile.imwrite(p, PICTURE), "unknown", (1, 1)),
    (lambda p: Image.fromarray(PICTURE).save(p), "unknown", (1, 1)),
    (lambda p: Image.fromarray(PICTURE).save(p, dpi=(254, 508)), "known", (0.1, 0.05)),
    (tags(20, 40, "CENTIMETER"), "known", (0.5, 0.25)),
    (tags(50000, 50000, "CENTIMETER"), "known", (0.0002, 0.0002)),
    (tags(20, 40, "CENTIMETER", STACK), "unknown", (1, 1, 1)),  # nobody tells how far the pages are apart
    (tags(1, 1, "CENTIMETER"), "unknown", (1, 1)),
    (tags(1, 1, "INCH"), "unknown", (1, 1)),
    (tags(72, 72, "INCH"), "unknown", (1, 1)),
    (tags(96, 96, "INCH"), "unknown", (1, 1)),
    (tags(28, 28, "CENTIMETER"), "unknown", (1, 1)),
    (tags(72, 72, "NONE"), "unknown", (1, 1)),
    (tags(4, 2, "NONE"), "nominal", (1, 2)),
    (imagej(), "unknown", (1, 1, 1)),
    (imagej((5, 2.5), unit="um", spacing=2.0), "known", MICRO),
    (imagej((5, 2.5), unit="micron", spacing=2.0), "known", MICRO),
    (imagej((5, 2.5), unit="\\u00B5m", spacing=2.0), "known", MICRO),
    (imagej((2, 4), unit="mm", spacing=3.0), "known", (0.5, 0.25, 3)),
    (imagej((2, 4), unit="cm", spacing=0.3), "known", (5, 2.5, 3)),
    (imagej((5, 2.5), unit="um", spacing=2.0, zunit="mm"), "known", (0.0002, 0.0004, 2)),
    (imagej((5, 5), unit="um"), "unknown", (1, 1, 1)),  # a calibration without the third edge
    (imagej((1, 1), unit="pixel", spacing=2.0), "nominal", (1, 1, 2)),
    (imagej((72, 72), unit="inch", spacing=0.1), "unknown", (1, 1, 1)),
    (ome(), "unknown", (1, 1, 1)),
    (ome(**sizes()), "known", MICRO),  # the standard's default is the micrometre
    (ome(**sizes(unit="µm")), "known", MICRO),
    (ome(**sizes(unit="nm")), "known", (2e-7, 4e-7, 2e-6)),
    (ome(**sizes(unit="mm")), "known", (0.2, 0.4, 2)),
    (ome(**sizes("XY", "mm")), "unknown", (1, 1, 1)),
    (ome(**sizes(unit="pixel")), "nominal", (1, 2, 10)),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(TIFFS)))
def test_tiff(tmp_path: Path, index: int) -> None:
    write, status, edges = TIFFS[index]
    write(tmp_path / "a.tif")
    found, found_edges = told(tmp_path / "a.tif")
    assert found == status
    np.testing.assert_allclose(found_edges, edges, rtol=1e-6)


@pytest.mark.parametrize("damaged", [b"<OME><Pixels", b"<OME></OME>"])
def test_a_damaged_ome_description_is_no_spacing(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "a.ome.tif"
    ome(**sizes())(path)
    whole = path.read_bytes()
    start, end = whole.index(b"<OME"), whole.index(b"</OME>") + len(b"</OME>")
    path.write_bytes(whole[:start] + damaged.ljust(end - start) + whole[end:])
    assert told(path)[0] == "unknown"


def test_png_tells_nothing(tmp_path: Path) -> None:
    Image.fromarray(PICTURE.astype(np.uint8)).save(tmp_path / "a.png", dpi=(254, 254))
    assert told(tmp_path / "a.png") == ("unknown", (1, 1))


@pytest.mark.parametrize(
    ("unit", "edges"),
    [("mm", (2, 2, 3)), ("micron", (2e-3, 2e-3, 3e-3)), ("meter", (2e3, 2e3, 3e3)), ("unknown", (2, 2, 3))],
)
@pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image])
def test_nifti_units(tmp_path: Path, unit: str, edges: tuple[float, ...], image_class: Any) -> None:
    image = image_class(STACK.T, np.diag([2.0, 2, 3, 1]))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii.gz")
    status, found = told(tmp_path / "a.nii.gz")
    assert status == "known"
    np.testing.assert_allclose(found, edges, rtol=1e-6)


def test_a_nifti_without_any_geometry_tells_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(STACK.T, None), path)
    assert told(path) == ("unknown", (1, 1, 1))
    nib.save(nib.Nifti1Image(STACK.T, np.eye(4)), path)
    assert told(path) == ("known", (1, 1, 1))  # an affine that says 1 mm
    image = nib.Nifti1Image(STACK.T, None)
    image.header.set_zooms((1, 1, 2))
    nib.save(image, path)
    assert told(path)[0] == "known"  # the edges of an old scan without an affine


def nrrd(*lines: str) -> bytes:
    head = [
        "NRRD0005",
        "type: uint16",
        "dimension: 3",
        "sizes: 5 4 3",
        "encoding: raw",
        "endian: little",
        *lines,
    ]
    return "\n".join([*head, "", ""]).encode() + STACK.astype("<u2").tobytes()


def metaimage(*lines: str) -> bytes:
    head = [
        "ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False", *lines,
        "DimSize = 5 4 3", "ElementType = MET_USHORT", "ElementDataFile = LOCAL",
    ]  # fmt: skip
    return "\n".join([*head, ""]).encode() + STACK.astype("<u2").tobytes()


ORIENTED = (
    "space: left-posterior-superior",
    "space directions: (2,0,0) (0,2,0) (0,0,3)",
    "space origin: (4,5,6)",
)


@pytest.mark.parametrize(
    ("content", "status", "edges"),
    [
        (nrrd(), "unknown", (1, 1, 1)),
        (nrrd("spacings: nan nan nan"), "unknown", (1, 1, 1)),
        (nrrd("spacings: 2 2 3"), "known", (2, 2, 3)),
        (nrrd("spacings: 2 2 3", 'units: "um" "um" "um"'), "known", (2e-3, 2e-3, 3e-3)),
        (nrrd(*ORIENTED), "known", (2, 2, 3)),
        (nrrd(*ORIENTED, 'space units: "mm" "mm" "mm"'), "known", (2, 2, 3)),
        (nrrd(*ORIENTED, 'space units: "um" "um" "um"'), "known", (2e-3, 2e-3, 3e-3)),
        (nrrd(*ORIENTED, 'space units: "cm" "cm" "cm"'), "known", (20, 20, 30)),
        (nrrd(*ORIENTED, 'space units: "pixel" "pixel" "pixel"'), "nominal", (2, 2, 3)),
        (nrrd(*ORIENTED, 'space units: "mm" "mm" "um"'), "nominal", (2, 2, 3)),
        (metaimage(), "unknown", (1, 1, 1)),
        (metaimage("ElementSpacing = 2 2 3"), "known", (2, 2, 3)),
        (metaimage("ElementSpacing = 2 2 3", "DistanceUnits = um"), "known", (2e-3, 2e-3, 3e-3)),
        (metaimage("ElementSpacing = 2 2 3", "DistanceUnits = cm"), "known", (20, 20, 30)),
    ],
)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_nrrd_and_metaimage(
    tmp_path: Path, content: bytes, status: str, edges: tuple[float, ...], newline: bytes
) -> None:
    is_nrrd = content.startswith(b"NRRD")
    path = tmp_path / ("a.nrrd" if is_nrrd else "a.mha")
    size = STACK.nbytes
    path.write_bytes(content[:-size].replace(b"\n", newline if is_nrrd else b"\n") + content[-size:])
    found, found_edges = told(path)
    assert found == status
    np.testing.assert_allclose(found_edges, edges, rtol=1e-6)
    np.testing.assert_array_equal(read_volume(path).array[0], STACK.T)


def test_the_unit_counts_for_the_place_too(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(nrrd(*ORIENTED, 'space units: "cm" "cm" "cm"'))
    np.testing.assert_allclose(read_volume(tmp_path / "a.nrrd").affine[:3, 3], (-40, -50, 60))


ANY_SCAN = [row for row in FORMATS if row.name not in ("dicom-seg", "rtstruct")]
"""Those are written of a DICOM scan alone."""


@pytest.mark.parametrize("row", ANY_SCAN, ids=lambda row: row.name)
@pytest.mark.parametrize("status", ["known", "unknown"])
@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e3])
def test_a_mask_tells_what_its_scan_told(tmp_path: Path, row: Any, status: Any, scale: float) -> None:
    mask = RNG.integers(0, 4, (5, 4, 3)).astype(np.uint8)
    if not row.codec.holds(mask[None]):
        mask = mask[..., 0]
    edges = (0.7, 0.9, 3.1)[: mask.ndim] if status == "known" else (1, 1, 1)[: mask.ndim]
    affine = np.diag([*np.multiply(edges, scale if status == "known" else 1), *[1.0] * (4 - mask.ndim)])
    scan = Volume(mask[None], affine, spacing_status=status)
    first = read_label(write_mask(tmp_path / f"a{row.endings[0]}", mask, scan))
    expected = "unknown" if row.name in ("png", "jpeg") else status
    assert first.spacing_status == expected
    for choice in (*(choice for other in ANY_SCAN for choice in other.choices), "same"):
        again = read_label(write_mask(tmp_path / "b", mask, first, choice))
        assert again.spacing_status == expected, choice
        if expected == "known":
            np.testing.assert_allclose(again.spacing_mm, scan.spacing_mm, rtol=1e-6)
            assert grid_difference(again, first) is None


def test_a_ratio_is_kept_where_the_format_can(tmp_path: Path) -> None:
    scan = Volume(STACK.T[None], np.diag([1.0, 1, 2, 1]), spacing_status="nominal")
    for ending in (".tif", ".nrrd", ".mha"):
        assert told(write_volume(tmp_path / f"a{ending}", scan.array, scan)) == ("nominal", (1, 1, 2))
    assert told(write_volume(tmp_path / "a.nii.gz", scan.array, scan)) == ("unknown", (1, 1, 1))


def test_grids_are_compared_as_far_as_they_are_told() -> None:
    array = np.zeros((1, 4, 5, 6), np.uint8)
    half, one = np.diag([0.5, 0.5, 0.5, 1]), np.eye(4)
    assert grid_difference(Volume(array, half), Volume(array, one)) is not None
    assert grid_difference(Volume(array, half), Volume(array, one, spacing_status="unknown")) is None
    both = Volume(array, half, spacing_status="unknown"), Volume(array, one, spacing_status="unknown")
    assert grid_difference(*both) is None
    ratios = Volume(array, half, spacing_status="nominal"), Volume(array, one, spacing_status="nominal")
    assert grid_difference(*ratios) is not None
    other = Volume(array[:, 1:], one, spacing_status="unknown")
    assert "shape" in str(grid_difference(Volume(array, half), other))


@settings(max_examples=40, deadline=None)
@given(st.booleans(), st.lists(st.sampled_from(["known", "nominal", "unknown"]), min_size=1))
def test_a_cohort_knows_what_its_least_telling_scan_tells(believed: bool, statuses: list[Any]) -> None:
    found = cohort_spacing(believed, statuses)
    assert (found == "known") == (believed and set(statuses) == {"known"})
    assert (found == "unknown") == ("unknown" in statuses)


@pytest.mark.parametrize(
    ("unit", "mm"),
    [
        ("mm", 1), ("Millimeters", 1), ("um", 1e-3), ("µm", 1e-3), ("\u03bcm", 1e-3), ("\\u00B5m", 1e-3),
        ("microns", 1e-3), ("nm", 1e-6), ("cm", 10), ("m", 1e3), ("inch", 25.4), ("", None), ("pixel", None),
        ("pixels", None), ("s", None), ("unknown", None),
    ],
)  # fmt: skip
def test_units(unit: str, mm: float | None) -> None:
    assert mm_per_unit(unit) == mm


@pytest.mark.parametrize("edge", [1e-6, 2e-4, 1.0, 1e4])
def test_an_axis_is_found_whatever_the_size_of_a_voxel(edge: float) -> None:
    affine = np.diag([edge, -edge, 2 * edge, 1])
    assert orientation_of(affine, 3, (0, 1, 2)).flips == (False, True, False)


def test_some_scans_without_spacing_are_a_warning(tmp_path: Path) -> None:
    for sub in ("images", "labels"):
        (tmp_path / sub).mkdir()
    for index in range(3):
        resolution = {} if index == 1 else {"resolution": (20, 20), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(tmp_path / f"images/c{index}.tif", PICTURE, **resolution)
        tifffile.imwrite(tmp_path / f"labels/c{index}.tif", (PICTURE > 50).astype(np.uint8))
    report = check_cohort(tmp_path)
    assert [(f.severity, f.found) for f in report.findings] == [("warning", "c1")]
    assert "do not tell their spacing" in report.findings[0].fault
    assert report.spacing == "unknown"
    assert report.to_json()["summary"]["spacings_mm"] is None  # type: ignore[index]
