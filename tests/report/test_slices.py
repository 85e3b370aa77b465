"""Cases in slices: outlines give the masks back, pictures are upright, budgets are kept."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from PIL import Image
from scipy import ndimage

from semivox.cohort import Volume, load_cohort, read_case, read_label
from semivox.report.outlines import UNITS, outlines, simplified
from semivox.report.patient_planes import PLANES, taken_in, to_ras
from semivox.report.slices import LEAST_LONGEST, LEAST_MOST, slice_record


def inside(rings: list[list[int]], shape: tuple[int, int], pixel: float) -> np.ndarray:
    """Where the middles of pixels lie within the rings, by the even-odd rule."""
    middles = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij"), -1).reshape(-1, 2)
    found = np.zeros(len(middles), bool)
    for ring in rings:
        points = np.cumsum(np.array(ring).reshape(-1, 2), 0) / UNITS / pixel
        found ^= Outline(np.vstack([points, points[:1]]), closed=True).contains_points(middles)
    return found.reshape(shape)


def blobs(seed: int, shape: tuple[int, ...], smooth: float = 1.5) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), smooth)
    return np.asarray(noise > np.quantile(noise, 0.6))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.6, 2.0]))
def test_outlines_filled_by_even_odd_are_the_mask(seed: int, smooth: float) -> None:
    stack = blobs(seed, (19, 13, 3), smooth)
    stack[..., 1] = False
    shape, fine = (19, 13), 6  # on a fine picture the tolerance is a small part of a voxel
    found = outlines(stack, (19 * fine, 13 * fine))
    assert found[1] == []
    for i in (0, 2):
        assert np.array_equal(inside(found[i], shape, fine), stack[..., i])


def test_on_a_coarse_picture_outlines_stay_near_the_mask_and_nothing_vanishes() -> None:
    stack = blobs(3, (120, 90, 1), 4)
    found = inside(outlines(stack, (60, 45))[0], (120, 90), 0.5)
    assert (found != stack[..., 0]).mean() < 0.01
    lone = np.zeros((400, 300, 1), bool)
    lone[200, 100] = True
    (ring,) = outlines(lone, (100, 75))[0]
    x, y = np.cumsum(np.array(ring).reshape(-1, 2), 0).mean(0) / UNITS
    assert (x, y) == pytest.approx((50.1, 25.1), abs=0.3)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.05, 2))
def test_simplified_rings_keep_corners_and_stray_no_further_than_told(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 80)[:-1]
    radius = 10 + np.cumsum(rng.normal(size=79)) * 0.3
    ring = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    ring = np.vstack([ring, ring[:1]])
    square = np.array([(0, 0), (0, 5), (0, 9), (4, 9), (9, 9), (9, 0), (0, 0)], float)
    found, corners = simplified([ring, square], tolerance)
    assert corners.tolist() == [[0, 0], [0, 9], [9, 9], [9, 0], [0, 0]]
    assert len(found) <= len(ring)
    for point in ring:  # the slow way: the nearest of all segments
        a, b = found[:-1], found[1:]
        along = np.clip(((point - a) * (b - a)).sum(1) / ((b - a) ** 2).sum(1), 0, 1)
        assert np.hypot(*(a + along[:, None] * (b - a) - point).T).min() <= tolerance + 1e-9


AFFINES = [
    np.diag([1.0, 1, 1, 1]),
    np.diag([-2.0, 1, 3, 1]),
    np.array([[0, 0, 1.5, 0], [1, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1.0]]),
]


@pytest.mark.parametrize("affine", AFFINES)
def test_slices_show_the_patient_upright_whatever_the_files_axes(affine: np.ndarray) -> None:
    index = np.stack(np.meshgrid(*(np.arange(n) for n in (5, 6, 7)), indexing="ij"), 0).astype(float)
    right, front, up = np.tensordot(affine[:3, :3], index, 1)
    image = Volume(np.zeros((1, 5, 6, 7)), affine)
    arrays, spacing = to_ras(image, [np.stack([right, front, up])])
    side = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    for plane in PLANES:
        slices = plane.slices(arrays[0])
        left, right_, top, bottom = plane.edges
        for axis, (first, last) in ((1, (left, right_)), (2, (top, bottom))):
            for edge, end in ((first, 0), (last, -1)):
                coordinate, sign = side[edge]
                other = slices[coordinate].take(-1 - end if end else -1, axis - 1).mean()
                assert sign * (slices[coordinate].take(end, axis - 1).mean() - other) > 0
        assert np.ptp(slices[plane.axis, 0, 0]) > 0
        assert (np.diff(slices[plane.axis, 0, 0]) > 0).all()  # numbered from left, back and feet
    assert spacing == pytest.approx(np.abs(affine[:3, :3]).sum(1))


def test_the_first_plane_is_the_one_that_a_scan_was_taken_in() -> None:
    """That across the widest spacing, or of the only slice: seen from the side one slice is a line."""
    many = (30, 20, 12)
    assert taken_in(many, (1, 1, 1)).name == "axial"
    assert taken_in(many, (1, 5, 1)).name == "coronal"
    assert taken_in((1, 20, 12), (1, 5, 1)).name == "sagittal"
    assert taken_in((30, 1, 12), (1, 1, 1)).name == "coronal"
    assert taken_in((30, 20, 1), (5, 1, 1)).name == "axial"


def picture(record: dict, plane: int) -> np.ndarray:
    data = record["planes"][plane]["image"].removeprefix("data:image/jpeg;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def tiles(record: dict, plane: int) -> list[np.ndarray]:
    facts, sheet = record["planes"][plane], picture(record, plane)
    (w, h), across = facts["tile"], facts["across"]
    return [
        sheet[h * (i // across) : h * (i // across + 1), w * (i % across) : w * (i % across + 1)]
        for i in range(len(facts["numbers"]))
    ]


def scan(shape: tuple[int, ...] = (40, 30, 20)) -> tuple[Volume, np.ndarray]:
    mask = np.zeros(shape, np.uint8)
    mask[10:20, 8:16, 6:12] = 2
    mask[12:15, 10:13, 8:10] = 5
    image = 100.0 * ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), 1) + 200 * (mask > 0)
    return Volume(image[None], np.diag([-1.0, -1, 2, 1])), mask


def test_a_record_is_json_and_every_slice_holds_the_scan_and_its_masks() -> None:
    image, mask = scan()
    record = slice_record("c", image, {"m": mask}, np.roll(mask, 2, 0), {2: "two", 5: "five"})
    assert json.loads(json.dumps(record)) == record
    assert [c["value"] for c in record["classes"]] == [2, 5]
    assert [(m["name"], m["reference"]) for m in record["masks"]] == [("m", False), ("reference", True)]
    assert [p["name"] for p in record["planes"]] == ["axial", "coronal", "sagittal"]
    axial = record["planes"][0]
    # cropped: 10 x 8 x 6 voxels, 12 with the reference, and 35 % around them
    assert axial["tile"] == [12 + 2 * 6, 8 + 2 * 4]
    assert axial["numbers"] == list(range(3, 17))
    assert axial["of"] == 20
    assert axial["numbers"][axial["start"]] - 1 in range(6, 12)
    assert axial["size"] == [24.0, 16.0]
    assert record["planes"][1]["size"] == [24.0, 28.0]
    low, high = record["intensity"]
    for i, (number, tile) in enumerate(zip(axial["numbers"], tiles(record, 0), strict=True)):
        z = number - 1
        # a scan stored left and back is shown with its own first column and row at the upper left
        cut = (slice(4, 28), slice(4, 20), z)
        shown = low + tile.T.astype(float) / 255 * (high - low)
        assert np.abs(shown - np.clip(image.array[0][cut], low, high)).mean() < 0.03 * (high - low)
        for m, array in enumerate((mask, np.roll(mask, 2, 0))):
            rings = axial["outlines"][m][i]
            assert bool(rings) == bool(array[..., z].any())
            for k, value in enumerate((2, 5)):
                if rings:
                    assert np.array_equal(inside(rings[k], (24, 16), 1), array[cut] == value)


def test_a_case_without_reference_and_one_without_any_foreground() -> None:
    image, mask = scan()
    record = slice_record("c", image, {"m": mask}, None, {2: "two"})
    assert [m["name"] for m in record["masks"]] == ["m"]
    assert record["masks"][0]["colour"] is not None  # of one class, colours tell masks apart
    empty = slice_record("c", image, {"m": np.zeros_like(mask)}, None, {2: "two"})
    assert empty["planes"][0]["tile"] == [40, 30]
    assert not any(any(slices) for plane in empty["planes"] for slices in plane["outlines"])
    assert slice_record("c", image, {}, None, {2: "two"})["masks"] == []


def test_methods_differ_by_colour_or_where_colours_mean_classes_by_dashes() -> None:
    image, mask = scan()
    one = slice_record("c", image, {"a": mask, "b": mask}, mask, {2: "two"})["masks"]
    assert len({m["colour"] for m in one}) == 3
    two = slice_record("c", image, {"a": mask, "b": mask}, mask, {2: "two", 5: "five"})["masks"]
    assert [m["colour"] for m in two] == [None, None, None]  # the reference, too, has its classes' colours
    assert len({tuple(m["dash"]) for m in two}) == 3


def test_a_colour_image_is_shown_in_its_colours_on_one_plane() -> None:
    array = np.zeros((3, 30, 20), np.uint8)
    array[0, :15], array[1, :, :10], array[2, 15:, 10:] = 250, 200, 150
    mask = np.zeros((30, 20), np.uint8)
    mask[3:9, 2:6] = 1
    record = slice_record("c", Volume(array, np.eye(4)), {"m": mask}, None, {1: "one"})
    assert record["intensity"] is None
    assert [p["name"] for p in record["planes"]] == ["image"]
    (tile,) = tiles(record, 0)
    assert tile.shape == (20, 30, 3)
    assert np.abs(tile.transpose(2, 1, 0).astype(int) - array).mean() < 12
    assert np.array_equal(inside(record["planes"][0]["outlines"][0][0][0], (30, 20), 1), mask == 1)


@pytest.mark.parametrize("budget", [400_000, 150_000, 80_000])
def test_a_budget_is_kept_with_fewer_slices_of_fewer_pixels(budget: int) -> None:
    rng = np.random.default_rng(0)
    image = Volume(rng.integers(0, 255, (1, 150, 140, 90)).astype(np.uint8), np.diag([0.6, 0.6, 1, 1]))
    mask = blobs(1, (150, 140, 90), 12).astype(np.uint8)
    record = slice_record("c", image, {"m": mask}, mask, {1: "one"}, budget=budget)
    size = len(json.dumps(record, separators=(",", ":")))
    assert 0.5 * budget < size <= budget
    for plane in record["planes"]:
        assert max(plane["tile"]) >= min(LEAST_LONGEST, 90)
        assert len(plane["numbers"]) >= LEAST_MOST


def test_a_budget_beyond_reach_gives_the_smallest_record() -> None:
    image, mask = scan((200, 180, 150))
    record = slice_record(
        "c", image, {"m": mask + blobs(1, mask.shape, 9)}, None, {1: "a", 2: "b"}, budget=10
    )
    assert all(max(p["tile"]) <= LEAST_LONGEST and len(p["numbers"]) <= LEAST_MOST for p in record["planes"])


def test_nominal_geometry_gives_no_sides_and_no_slivers() -> None:
    image = Volume(np.random.default_rng(0).normal(size=(1, 96, 80, 6)), np.eye(4))
    mask = np.ones((96, 80, 6), np.uint8)
    record = slice_record("c", image, {"m": mask}, None, {1: "one"}, spacing_known=False)
    assert [p["name"] for p in record["planes"]] == ["along z", "along y", "along x"]
    assert all(p["edges"] == ["", "", "", ""] for p in record["planes"])
    assert record["planes"][1]["size"] == [96.0, 24.0]
    known = slice_record("c", image, {"m": mask}, None, {1: "one"})
    assert known["planes"][1]["size"] == [96.0, 6.0]


@pytest.mark.parametrize(("name", "planes"), [("la", 3), ("acdc", 3), ("nuclei", 1)])
def test_real_cases_fit_their_budget_with_every_labelled_slice_outlined(
    name: str, planes: int, shared_data: Path
) -> None:
    cohort = load_cohort(shared_data / name / "dev")
    case = cohort.cases[0]
    assert case.label is not None
    label = read_label(case.label).array[0]
    record = slice_record(
        case.name, read_case(case), {"m": label}, label, cohort.classes,
        budget=600_000, spacing_known=cohort.spacing_known,
    )  # fmt: skip
    assert len(json.dumps(record, separators=(",", ":"))) <= 600_000
    assert len(record["planes"]) == planes
    first = record["planes"][0]
    assert first["outlines"][0] == first["outlines"][1]
    held = [bool((label[..., n - 1] if planes == 3 else label).any()) for n in first["numbers"]]
    assert [bool(rings) for rings in first["outlines"][0]] == held  # files are stored in RAS
    assert any(held)
