"""Metrics against MedPy, MONAI and the formulas."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from medpy.metric import binary as medpy
from scipy.ndimage import gaussian_filter

from semivox.errors import DataError, SettingsError
from semivox.evaluation import METRICS, case_metrics, class_metrics
from semivox.evaluation.surface import surface, surface_distances


def blobs(seed: int, shape: tuple[int, ...], sigma: float = 2.0, share: float = 0.3) -> np.ndarray:
    """Random smooth blobs that fill ``share`` of the image and run out of it."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return noise > np.quantile(noise, 1 - share)


def pair(seed: int, shape: tuple[int, ...], agreement: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    a = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    b = agreement * a + gaussian_filter(np.random.default_rng(seed + 1000).normal(size=shape), 2)
    return b > np.quantile(b, 0.7), a > np.quantile(a, 0.75)


def one_voxel(shape: tuple[int, ...], *at: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[at] = True
    return mask


CORNER = np.zeros((12, 10, 8), bool)
CORNER[:3, :2, 6:] = True
PAIRS = [
    pytest.param(*pair(1, (30, 26, 22)), (1.0, 1.0, 1.0), id="3d-isotropic"),
    pytest.param(*pair(2, (30, 26, 14)), (0.7, 0.9, 3.1), id="3d-anisotropic"),
    pytest.param(*pair(3, (40, 20, 12), 0.0), (1.5, 1.5, 10.0), id="3d-thick-unrelated"),
    pytest.param(*pair(4, (61, 48)), (0.5, 0.5), id="2d"),
    pytest.param(*pair(5, (33, 70)), (2.0, 0.3), id="2d-anisotropic"),
    pytest.param(one_voxel((9, 9, 9), 0, 0, 0), one_voxel((9, 9, 9), 8, 8, 8), (1.0, 2.0, 3.0), id="corners"),
    pytest.param(CORNER, CORNER[::-1], (1.0, 1.0, 2.5), id="edge-touching"),
    pytest.param(np.ones((7, 6, 5), bool), CORNER[:7, :6, 3:], (1.0, 1.0, 1.0), id="whole-image"),
    pytest.param(blobs(7, (5, 30, 30), share=0.02), blobs(8, (5, 30, 30), share=0.02), (5, 1, 1), id="small"),
]


@pytest.mark.parametrize(("prediction", "reference", "spacing"), PAIRS)
def test_equals_medpy(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> None:
    scores = case_metrics(prediction.astype(np.uint8), reference.astype(np.uint8), [1], spacing)[1]
    expected = {
        "dice": medpy.dc(prediction, reference),
        "jaccard": medpy.jc(prediction, reference),
        "hd95_mm": medpy.hd95(prediction, reference, spacing),
        "asd_mm": medpy.asd(prediction, reference, spacing),
        "assd_mm": medpy.assd(prediction, reference, spacing),
        "hd95_vox": medpy.hd95(prediction, reference),
        "asd_vox": medpy.asd(prediction, reference),
    }
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-6, rel=0)


@pytest.mark.parametrize(("prediction", "reference", "spacing"), PAIRS)
@pytest.mark.parametrize("tolerance", [1.0, 2.0])
def test_equals_monai(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], tolerance: float
) -> None:
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.metrics")
    p, r = (torch.from_numpy(np.array(m[None, None], np.uint8)) for m in (prediction, reference))
    scores = class_metrics(prediction, reference, spacing, tolerance_mm=tolerance)
    whole = {"include_background": True}
    expected = {
        "dice": monai.compute_dice(p, r, **whole),
        "assd_mm": monai.compute_average_surface_distance(p, r, symmetric=True, spacing=spacing, **whole),
        "nsd": monai.compute_surface_dice(p, r, [tolerance], spacing=spacing, **whole),
    }
    # MONAI answers in float32.
    assert {name: scores[name] for name in expected} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, abs=1e-6, rel=2e-7
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), dims=st.sampled_from([2, 3]), share=st.floats(0.02, 0.6))
def test_surface_and_distances_equal_brute_force(seed: int, dims: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    shape, spacing = tuple(rng.integers(1, 8, dims)), rng.uniform(0.3, 4, dims)
    p, r = rng.random(shape) < share, rng.random(shape) < share
    p.flat[rng.integers(p.size)] = r.flat[rng.integers(p.size)] = True

    def points(mask: np.ndarray) -> np.ndarray:
        found = []
        for voxel in np.argwhere(mask):
            neighbours = [voxel + sign * np.eye(dims, dtype=int)[a] for a in range(dims) for sign in (1, -1)]
            if any((n < 0).any() or (n >= shape).any() or not mask[tuple(n)] for n in neighbours):
                found.append(voxel)
        return np.array(found)

    assert np.array_equal(np.argwhere(surface(p)), points(p))
    for distances, s in zip(surface_distances(p, r, np.ones(dims), spacing), (1.0, spacing), strict=True):
        apart = np.linalg.norm((points(p)[:, None] - points(r)[None]) * s, axis=2)
        np.testing.assert_allclose(distances.to_reference, apart.min(1), atol=1e-12)
        np.testing.assert_allclose(distances.to_prediction, apart.min(0), atol=1e-12)


def test_memory_order_and_cropping_change_nothing() -> None:
    p, r = (m.astype(np.uint8) for m in pair(11, (20, 24, 16)))
    spacing = (0.6, 0.8, 2.0)
    expected = case_metrics(p, r, [1], spacing)[1]
    fortran = case_metrics(np.asfortranarray(p), np.asfortranarray(r), [1], spacing)[1]
    assert fortran == pytest.approx(expected, rel=1e-12)
    assert case_metrics(np.asfortranarray(p), r, [1], spacing)[1] == pytest.approx(expected, rel=1e-12)
    padded = case_metrics(np.pad(p, 3)[:, :, :-3], np.pad(r, 3)[:, :, :-3], [1], spacing)[1]
    assert padded == pytest.approx(expected, rel=1e-12)


def test_unit_conversion_of_isotropic_distances() -> None:
    p, r = pair(12, (18, 18, 18))
    scores = class_metrics(p, r, (0.625, 0.625, 0.625))
    assert scores["hd95_mm"] == pytest.approx(0.625 * scores["hd95_vox"])
    assert scores["asd_mm"] == pytest.approx(0.625 * scores["asd_vox"])


def test_asd_runs_from_prediction_to_reference() -> None:
    reference = np.zeros((1, 20), bool)
    reference[0, 2:4] = True
    prediction = reference.copy()
    prediction[0, 10] = True  # a far false positive: asd sees it, the other direction does not
    assert class_metrics(prediction, reference, (1.0, 1.0))["asd_mm"] == pytest.approx(7 / 3)
    assert class_metrics(reference, prediction, (1.0, 1.0))["asd_mm"] == 0


def test_volume_errors_are_prediction_minus_reference() -> None:
    p, r = np.zeros((2, 10, 10, 10), bool)
    p[:5, :5, :5], r[:5, :5, :4] = True, True
    scores = class_metrics(p, r, (2.0, 2.0, 5.0))
    assert scores["volume_error_ml"] == pytest.approx(25 * 20 / 1000)
    assert scores["volume_error_rel"] == pytest.approx(0.25)
    assert class_metrics(r, p, (2.0, 2.0, 5.0))["volume_error_ml"] == pytest.approx(-0.5)
    assert class_metrics(p[0], r[0], (1.0, 1.0))["volume_error_ml"] is None  # an area is no volume


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.75, 3.0)])
def test_empty_masks(spacing: tuple[float, ...]) -> None:
    shape = (4, 6, 8)
    none, some = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    some[1:3, 2:4, 5] = 1
    agree = case_metrics(none, none, [1], spacing)[1]
    perfect = {"dice": 1, "jaccard": 1, "nsd": 1, "hd95_mm": 0, "asd_mm": 0, "assd_mm": 0, "hd95_vox": 0}
    assert {name: agree[name] for name in perfect} == perfect
    assert agree["volume_error_rel"] is None
    assert agree["volume_error_ml"] == 0
    diagonal = math.dist((0, 0, 0), [n * s for n, s in zip(shape, spacing, strict=True)])
    in_voxels = math.sqrt(sum(n * n for n in shape))
    for p, r in ((none, some), (some, none)):
        scores = case_metrics(p, r, [1], spacing)[1]
        assert scores["dice"] == scores["jaccard"] == scores["nsd"] == 0
        for name in ("hd95_mm", "asd_mm", "assd_mm"):
            assert scores[name] == pytest.approx(diagonal)
        assert scores["hd95_vox"] == scores["asd_vox"] == pytest.approx(in_voxels)
        papers = case_metrics(p, r, [1], spacing, policy="literature")[1]
        assert papers["dice"] == papers["jaccard"] == papers["nsd"] == 0
        assert [papers[n] for n in ("hd95_mm", "asd_mm", "assd_mm", "hd95_vox", "asd_vox")] == [0] * 5
    assert case_metrics(none, some, [1], spacing)[1]["volume_error_rel"] == -1


def test_unknown_spacing_leaves_no_number_in_mm_or_ml() -> None:
    known = case_metrics(*(m.astype(np.uint8) for m in pair(13, (16, 16, 16))), [1], (1.0, 1.0, 1.0))[1]
    for prediction in (pair(13, (16, 16, 16))[0], np.zeros((16, 16, 16), bool)):
        scores = class_metrics(prediction, pair(13, (16, 16, 16))[1], None)
        unknown = {"hd95_mm", "assd_mm", "asd_mm", "nsd", "volume_error_ml"}
        assert {name for name in METRICS if scores[name] is None} == unknown
    full = class_metrics(*pair(13, (16, 16, 16)), None)
    for name in ("dice", "jaccard", "hd95_vox", "asd_vox", "volume_error_rel"):
        assert full[name] == known[name]


def test_ignored_voxels_count_nowhere() -> None:
    p, r = (m.astype(np.uint8) for m in pair(14, (16, 18, 14)))
    ignored = blobs(15, p.shape, share=0.2)
    r_marked = np.where(ignored, 9, r)
    blank_p, blank_r = np.where(ignored, 0, p), np.where(ignored, 0, r)
    expected = case_metrics(blank_p, blank_r, [1], (1.0, 1.0, 2.0))
    assert case_metrics(p, r_marked, [1], (1.0, 1.0, 2.0), ignore=9) == expected
    strange = np.where(ignored, 200, p)  # whatever stands there
    assert case_metrics(strange, r_marked, [1], (1.0, 1.0, 2.0), ignore=9) == expected
    with pytest.raises(DataError, match="no class"):
        case_metrics(p, r_marked, [1], (1.0, 1.0, 2.0))


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64])
def test_time_does_not_grow_with_a_label_value(dtype: type) -> None:
    labels = np.zeros((6, 5, 4), dtype)
    labels[1:3, 1:4, 1:3] = 2
    stray = labels.copy()
    stray[0, 0, 0] = 300_000_000
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="300000000"):
            case_metrics(stray, labels, [2], (1.0, 1.0, 2.0))
        named = case_metrics(stray, stray, [2, 300_000_000], (1.0, 1.0, 2.0))  # declared as a class
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    known = case_metrics(
        np.where(stray > 2, 3, stray), np.where(stray > 2, 3, stray), [2, 3], (1.0, 1.0, 2.0)
    )
    assert list(named.values()) == list(known.values())


def test_classes_are_apart_and_unannotated_ones_have_no_row() -> None:
    rng = np.random.default_rng(0)
    p, r = rng.integers(0, 4, (2, 8, 9, 7)).astype(np.int16)
    rows = case_metrics(p, r, [1, 2, 3], (1.0, 1.0, 1.0))
    assert list(rows) == [1, 2, 3]
    for value in rows:
        assert rows[value] == class_metrics(p == value, r == value, (1.0, 1.0, 1.0))
    assert case_metrics(p, r, [1, 2, 3], (1.0, 1.0, 1.0), annotated=[2]) == {2: rows[2]}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_every_integer_type(dtype: type) -> None:
    p, r = pair(16, (10, 12, 9))
    assert case_metrics(p.astype(dtype), r.astype(dtype), [1], (1.0,) * 3) == case_metrics(
        p, r, [1], (1.0,) * 3
    )


@pytest.mark.parametrize("value", [3, -1, 255])
def test_values_that_are_no_class_are_refused(value: int) -> None:
    good = np.zeros((4, 4, 4), np.int16)
    bad = good.copy()
    bad[0, 0, 0] = value
    with pytest.raises(DataError, match=rf"prediction holds.*found {value};"):
        case_metrics(bad, good, [1, 2], (1.0, 1.0, 1.0))
    with pytest.raises(DataError, match="reference holds"):
        case_metrics(good, bad, [1, 2], (1.0, 1.0, 1.0))


def test_a_distance_of_exactly_the_tolerance_is_within_it() -> None:
    spacing = float(np.float32(0.1))  # as a header stores it: 20 steps are 2.0000000298
    p, r = np.zeros((2, 40, 3), bool)
    p[5, 1], r[25, 1] = True, True
    assert class_metrics(p, r, (spacing, spacing), tolerance_mm=2.0)["nsd"] == 1
    assert class_metrics(p, r, (spacing, spacing), tolerance_mm=1.999)["nsd"] == 0


def test_settings_are_checked() -> None:
    mask = np.zeros((3, 3), np.uint8)
    with pytest.raises(SettingsError, match="policy"):
        case_metrics(mask, mask, [1], (1.0, 1.0), policy="papers")  # type: ignore[arg-type]
    for tolerance in (-1.0, float("nan"), float("inf")):
        with pytest.raises(SettingsError, match="tolerance"):
            case_metrics(mask, mask, [1], (1.0, 1.0), tolerance_mm=tolerance)
    with pytest.raises(DataError, match="shape"):
        case_metrics(mask, mask[:2], [1], (1.0, 1.0))


def test_real_label_against_a_shifted_copy(shared_data) -> None:
    from semivox.cohort.formats import read_label

    path = sorted((shared_data / "la" / "dev" / "labelsTr").iterdir())[0]
    label = read_label(path)
    reference = (label.array[0] > 0).astype(np.uint8)
    prediction = np.roll(reference, (2, -1), (0, 1))
    scores = case_metrics(prediction, reference, [1], label.spacing_mm)[1]
    assert scores["dice"] == pytest.approx(medpy.dc(prediction, reference), abs=1e-6)
    box = tuple(slice(s.min(), s.max() + 1) for s in np.nonzero(prediction | reference))
    cropped = prediction[box], reference[box]
    assert scores["hd95_mm"] == pytest.approx(medpy.hd95(*cropped, label.spacing_mm), abs=1e-6)
    assert scores["asd_vox"] == pytest.approx(medpy.asd(*cropped), abs=1e-6)
    assert 0 < scores["hd95_mm"] <= 0.625 * math.sqrt(5) + 1e-6  # no voxel moved further than that
    assert scores["volume_error_ml"] == 0
