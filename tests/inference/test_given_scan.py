"""What is no scan is refused by name, whatever Python object it is; what is one is taken."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semivox.cohort import Source, Volume
from semivox.cohort.formats import read_volume
from semivox.errors import DataError
from semivox.inference import load_model
from semivox.inference.model import Model

RNG = np.random.default_rng(3)
ARRAY = RNG.normal(size=(1, 9, 8, 7)).astype(np.float32)


@pytest.fixture
def model(make_run: Callable[..., Path]) -> Model:
    return load_model(make_run(), device="cpu", precision="fp32")


@pytest.mark.parametrize(
    ("scan", "found"),
    [
        (ARRAY, r"an array of shape \(1, 9, 8, 7\) and float32"), ([], "no path"), ((), "no path"),
        ([ARRAY], "a list of ndarray"), (["a.nii.gz", 3], "a list of str, int"),
        (3, "int"), (None, "NoneType"), ({"a.nii.gz": 1}, "dict"), (b"a.nii.gz", "bytes"),
        ([Volume(ARRAY, np.eye(4))], "a list of Volume"),
    ],
)  # fmt: skip
def test_what_is_no_scan(scan: Any, found: str, model: Model) -> None:
    with pytest.raises(DataError, match=f"this is no scan; found {found}.*; expected .*path"):
        model.predict(scan)


@pytest.mark.parametrize(
    ("affine", "found"),
    [
        (np.zeros((4, 4)), "last row of 0 0 0 0"), (np.diag([0.0, 0, 0, 1]), "voxels of 0 x 0 x 0 mm"),
        (np.diag([1.0, 0, 1, 1]), "voxels of 1 x 0 x 1 mm"), (np.eye(3), r"an array of shape \(3, 3\)"),
        (np.eye(4).tolist(), "a list of list"), (None, "NoneType"),
        (np.diag([1, np.nan, 1, 1]), "not finite"), (np.diag([1, np.inf, 1, 1]), "not finite"),
        (np.eye(4) * 1j, "complex128"), (np.eye(4)[:, [0, 0, 2, 3]], "one direction"),
        (np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [9, 8, 7, 1]]), "last row of 9 8 7 1"),
        (np.diag([1e-200, 1, 1, 1]), "voxels of 0 x 1 x 1 mm"),
    ],
)  # fmt: skip
def test_an_affine_that_tells_no_place(affine: Any, found: str, model: Model) -> None:
    volume = Volume(ARRAY, affine, source=Source(path=Path("somewhere.nii.gz")))
    with pytest.raises(DataError, match=rf"somewhere\.nii\.gz: the affine.*found .*({found}).*Remedy"):
        model.predict(volume)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (ARRAY.astype(complex), "no real numbers; found an array of complex128"),
        (ARRAY.astype(object), "no real numbers; found an array of object"),
        (ARRAY.astype("S4"), r"no real numbers; found an array of \|S4"),
        (ARRAY.tolist(), "no real numbers; found a list"), (ARRAY[:, :, :0], "no voxels; found shape"),
        (ARRAY[:, :0], "no voxels; found shape"), (ARRAY[:0], "no voxels; found shape"),
        (np.float32(3), "no real numbers"), (np.array(3.0), "other dimensions"),
        (ARRAY[0], "other dimensions"), (ARRAY[0, 0, 0], "other dimensions"),
        (ARRAY[None], "other dimensions"),
    ],
)  # fmt: skip
def test_an_array_that_is_no_scan(array: Any, found: str, model: Model) -> None:
    with pytest.raises(DataError, match=f"{found}.*expected"):
        model.predict(Volume(array, np.eye(4)))


@pytest.mark.parametrize("dtype", ["u1", ">i2", "i8", "f2", "<f4", "f8", "?", "g"])
def test_any_real_numbers_are_a_scan(dtype: str, model: Model) -> None:
    array = (ARRAY * 40 + 100).clip(0, 200).astype(dtype) if dtype != "?" else ARRAY > 0
    mask = model.predict(Volume(array, np.eye(4))).mask
    again = model.predict(Volume(array.astype(np.float64), np.eye(4))).mask
    assert mask.shape == array.shape[1:]
    assert (mask == again).mean() > 0.99


def test_a_volume_that_was_read_is_one(
    model: Model, make_run: Callable[..., Path], save_scan: Callable[..., Path]
) -> None:
    turned = np.array([[0, 1.1, 0.2, 5], [-1, 0, 0, 3], [0, -0.1, 2.5, 1], [0, 0, 0, 1.0]])
    path = save_scan("scan.nii.gz", affine=turned)
    assert np.array_equal(model.predict(read_volume(path)).mask, model.predict([str(path)]).mask)
    flat = load_model(make_run(dims=2, name="flat"), device="cpu")
    for third in (np.eye(4), np.diag([1.0, 1, 0, 1])):  # its third column is nobody's
        assert flat.predict(Volume(ARRAY[..., 0], third)).mask.shape == ARRAY.shape[1:3]


@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
def test_intensities_whose_deviation_is_not_finite(dtype: Any, model: Model) -> None:
    path = Path("somewhere.nii.gz")
    for huge in (1e300, 1.7e308, -1e200):
        array = ARRAY.astype(dtype) / dtype(10) * dtype(huge)
        with pytest.raises(DataError, match=r"somewhere.*too large; found numbers from -.*e\+.*expected"):
            model.predict(Volume(array, np.eye(4), source=Source(path=path)))
    plain = Volume(ARRAY.astype(np.float64), np.eye(4))
    scaled = replace(plain, array=plain.array * 2.0**400)
    assert np.array_equal(model.predict(scaled).mask, model.predict(plain).mask)


@pytest.mark.parametrize(
    ("dims", "channels", "files", "from_file", "given", "remedy"),
    [
        (2, 3, 1, True, 1, "save it as a picture of red, green and blue"),
        (2, 1, 1, True, 3, "save it as a picture of grey"),
        (3, 2, 1, True, 1, "give one file with 2 channels"),
        (3, 1, 1, True, 2, "give one file with 1 channel,"),
        (3, 2, 2, True, 1, "name channel files CASE_0000, CASE_0001"),
        (2, 3, 0, True, 1, "name channel files CASE_0000, CASE_0001"),
        (2, 3, 1, False, 56, r"give an array of \(3, X, Y\)"),
        (3, 1, 0, False, 2, r"give an array of \(1, X, Y, Z\)"),
    ],
)  # fmt: skip
def test_the_remedy_for_other_channels_can_be_followed(
    dims: int,
    channels: int,
    files: int,
    from_file: bool,
    given: int,
    remedy: str,
    make_run: Callable[..., Path],
) -> None:
    """It names files that this model would read as one scan; a model of one file a scan joins none."""
    model = load_model(make_run(dims=dims, channels=channels), device="cpu", precision="fp32")
    model = replace(model, card={**model.card, "naming": {"numbered": True, "files_per_case": files}})
    source = Source(path=Path("scan.png")) if from_file else Source()
    volume = Volume(np.zeros((given, 16, 16, 16)[: dims + 1], np.float32), np.eye(4), source=source)
    with pytest.raises(DataError, match=f"other channels than the model.*Remedy: {remedy}"):
        model.predict(volume)


@pytest.mark.parametrize(
    ("dims", "channels", "given", "from_file", "told"),
    [
        (3, 1, (9, 8, 7), False, "found an array of shape (9, 8, 7); expected (1, X, Y, Z) of a 3D scan. "
         "Remedy: of an array (X, Y, Z) give array[None]: (1, X, Y, Z); else give 3D scans"),
        (2, 1, (9, 8), False, "found an array of shape (9, 8); expected (1, X, Y) of a 2D scan. "
         "Remedy: of an array (X, Y) give array[None]: (1, X, Y); else give 2D scans"),
        (3, 2, (9, 8, 7), False, "expected (2, X, Y, Z) of a 3D scan. Remedy: give an array of (2, X, Y, Z)"),
        (2, 3, (9, 8), False, "expected (3, X, Y) of a 2D scan. Remedy: give an array of (3, X, Y)"),
        (3, 1, (9,), False, "expected (1, X, Y, Z) of a 3D scan. Remedy: give 3D scans"),
        (2, 1, (1, 9, 8, 7), False, "found an array of shape (1, 9, 8, 7); expected (1, X, Y) of a 2D scan. "
         "Remedy: give 2D scans"),
        (3, 1, (1, 9, 8), True, "found 2D, shape (9, 8); expected 3D. Remedy: give 3D scans"),
    ],
)  # fmt: skip
def test_the_remedy_for_other_dimensions_can_be_followed(
    dims: int,
    channels: int,
    given: tuple[int, ...],
    from_file: bool,
    told: str,
    make_run: Callable[..., Path],
) -> None:
    """An array that lacks the axis of channels is told so, and shown as it was given."""
    model = load_model(make_run(dims=dims, channels=channels), device="cpu", precision="fp32")
    source = Source(path=Path("scan.png")) if from_file else Source()
    array = RNG.normal(size=given).astype(np.float32)
    with pytest.raises(DataError, match=f"other dimensions than the model; .*{re.escape(told)}"):
        model.predict(Volume(array, np.eye(4), source=source))
    if "array[None]" in told:
        assert model.predict(Volume(array[None], np.eye(4))).mask.shape == given
