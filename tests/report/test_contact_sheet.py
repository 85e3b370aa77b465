"""Snapshots show the right slice the right way round; the sheet holds a card for each scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semivox.cohort import Volume
from semivox.prepare.grid import Grid
from semivox.report.contact_sheet import Card, Snapshot, bar_length, contact_sheet, take_snapshot


def snapshot_of(
    volume: Volume, spacing: tuple[float, ...], where: tuple[float, ...]
) -> tuple[Snapshot, Grid]:
    """A made-up prediction: a ball around ``where`` (shares of the working axes), unsure at its rim."""
    grid = Grid.lay(volume, tuple(range(volume.dims)), spacing)
    axes = np.meshgrid(*((np.arange(n) + 0.5) / n for n in grid.working_shape), indexing="ij")
    radius = np.sqrt(sum((axis - w) ** 2 for axis, w in zip(axes, where, strict=True)))
    p = 1 / (1 + np.exp((radius - 0.2) * 30))
    probs = np.stack([1 - p, p]).astype(np.float32)
    entropies = -(probs * np.log(np.maximum(probs, 1e-30))).sum(0).astype(np.float32)
    return take_snapshot(volume, grid, probs, entropies), grid


def centre(map_: np.ndarray) -> tuple[float, float]:
    """Where the mass of a map (rows, columns) lies, as a share of its height and width."""
    rows, columns = map_.shape
    total = map_.sum()
    return (
        float((map_.sum(1) * (np.arange(rows) + 0.5)).sum() / total / rows),
        float((map_.sum(0) * (np.arange(columns) + 0.5)).sum() / total / columns),
    )


AFFINES = [
    np.diag([1.0, 1.0, 3.0, 1.0]),
    np.array([[-1.0, 0, 0, 9], [0, -1, 0, 5], [0, 0, 3, 0], [0, 0, 0, 1]]),
    np.array([[0, 0, 3.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
]


@pytest.mark.parametrize("affine", AFFINES)
def test_image_and_maps_are_turned_alike(affine: np.ndarray) -> None:
    """The image is bright where the prediction is; both must lie at the same place of the upright slice."""
    volume = Volume(np.zeros((1, 24, 20, 8), np.float32), affine)
    grid = Grid.lay(volume, (0, 1, 2), (2.0, 2.0, 3.0))
    axes = np.meshgrid(*((np.arange(n) + 0.5) / n for n in grid.native_shape), indexing="ij")
    blob = np.exp(-40 * sum((a - w) ** 2 for a, w in zip(axes, (0.3, 0.7, 0.4), strict=True)))
    image = np.ascontiguousarray(grid.orientation.invert(blob[None])).astype(np.float32)
    shot, _ = snapshot_of(Volume(image, affine), (2.0, 2.0, 3.0), (0.3, 0.7, 0.4))
    assert shot.picture.max() == 255, "the slice goes through the blob"
    seen, predicted = centre((shot.picture > 128).astype(float)), centre(shot.probabilities[1].astype(float))
    assert seen == pytest.approx(predicted, abs=0.06)
    height, width = shot.size
    assert height / width == pytest.approx(shot.picture.shape[0] / shot.picture.shape[1]), "in-plane 1 mm"


def test_the_slice_is_where_the_entropy_is() -> None:
    volume = Volume(np.broadcast_to(np.arange(10.0), (1, 12, 12, 10)).copy(), np.diag([1.0, 1, 2, 1]))
    volume.array[:, 0, 0] = [-5.0] * 9 + [20.0]
    shot, grid = snapshot_of(volume, (1.0, 1.0, 4.0), (0.5, 0.5, 0.7))
    assert grid.working_shape == (12, 12, 5)
    index = 7  # working slice 3 of 5, its middle is native slice 7
    assert (shot.where, shot.unit) == ("axial, slice 8 of 10", "mm")
    assert shot.edges == ("R", "L", "A", "P")
    shown = volume.array[0, ..., index]
    low, high = np.percentile(shown, [1, 99])
    assert shot.picture.shape == (12, 12)
    assert high == low == index  # but for one corner the slice is flat: 0, and the corner 0 too
    assert shot.picture[6, 6] == 0


def test_a_colour_picture_stays_as_it_lies() -> None:
    pixels = np.zeros((3, 20, 10), np.uint8)  # (C, X, Y)
    pixels[0, :5] = 255  # red at the left
    pixels[2, :, 7:] = 255  # blue below
    shot, _ = snapshot_of(Volume(pixels, np.eye(4)), (2.0, 2.0), (0.2, 0.5))
    assert shot.picture.shape == (10, 20, 3)
    assert shot.picture[0, 0].tolist() == [255, 0, 0]
    assert shot.picture[9, 19].tolist() == [0, 0, 255]
    assert centre(shot.probabilities[1].astype(float)) == pytest.approx((0.5, 0.2), abs=0.08)
    assert shot.size.tolist() == [10, 20]


def test_three_channels_of_a_scan_in_3d_are_no_colours() -> None:
    """They are three scans of one place; the first is shown, as on the other pages."""
    array = np.random.default_rng(0).random((3, 12, 10, 8)).astype(np.float32)
    shot, _ = snapshot_of(Volume(array, np.eye(4)), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5))
    alone, _ = snapshot_of(Volume(array[:1], np.eye(4)), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5))
    np.testing.assert_array_equal(shot.picture, alone.picture)


def test_a_large_picture_is_thinned() -> None:
    shot, _ = snapshot_of(Volume(np.zeros((1, 1400, 700)), np.eye(4)), (1.0, 1.0), (0.5, 0.2))
    assert max(shot.picture.shape) == max(shot.entropies.shape) == 467
    assert shot.size.tolist() == [700, 1400]
    assert centre(shot.probabilities[1].astype(float)) == pytest.approx((0.2, 0.5), abs=0.08)


def test_a_snapshot_survives_the_disk(tmp_path: Path) -> None:
    shot, _ = snapshot_of(
        Volume(np.random.default_rng(0).normal(size=(1, 8, 9)), np.eye(4)), (1.0, 1.0), (0.5, 0.5)
    )
    shot.save(tmp_path / "shot.npz")
    again = Snapshot.load(tmp_path / "shot.npz")
    for name in ("picture", "probabilities", "entropies", "size"):
        assert np.array_equal(getattr(again, name), getattr(shot, name))
    assert (again.unit, again.where, again.edges) == (shot.unit, shot.where, shot.edges)


@pytest.mark.parametrize("width", [0.7, 1, 9, 30, 64, 149.9, 150, 512, 4000])
def test_the_bar_is_a_round_length_that_fits(width: float) -> None:
    length = bar_length(width)
    assert width / 7.6 < length <= width / 3
    assert f"{length:.0e}"[0] in "125"


def test_an_unknown_spacing_has_no_sides_and_no_bar() -> None:
    volume = Volume(np.zeros((1, 12, 12, 10)), np.diag([1.0, 1, 2, 1]), spacing_status="unknown")
    shot, _ = snapshot_of(volume, (1.0, 1.0, 4.0), (0.5, 0.5, 0.7))
    assert (shot.where, shot.unit, shot.edges) == ("along z, slice 8 of 10", "", ("", "", "", ""))


@pytest.mark.parametrize(("scans", "rows"), [(1, 1), (3, 1), (4, 2)])
def test_the_sheet_grows_by_rows(tmp_path: Path, scans: int, rows: int) -> None:
    rng = np.random.default_rng(0)
    shots = [
        snapshot_of(Volume(rng.normal(size=(1, 20, 20, 6)), np.eye(4)), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5))[0]
        for _ in range(scans)
    ]
    cards = [
        Card(shot, f"{i + 1}  case_$x$_{i}", "uncertain (entropy in the top 5 %)")
        for i, shot in enumerate(shots)
    ]
    out = contact_sheet(cards, tmp_path / "sheet.png", title="To annotate", classes={1: "liver"})
    picture = np.asarray(Image.open(out).convert("RGB")).astype(int)
    height, width = picture.shape[:2]
    one = contact_sheet(cards[:1], tmp_path / "one.png", title="To annotate", classes={1: "liver"})
    head_and_row, head = Image.open(one).height, int(4 * 0.15 * 130)
    assert rows == 1 + round((height - head_and_row) / (head_and_row - head))
    orange = (abs(picture - np.array([0xE6, 0x9F, 0x00])) < 50).all(-1)
    halves = [orange[:, int(left * width / 6) : int((left + 1) * width / 6)] for left in range(6)]
    drawn = [half[head:].sum() > 60 for half in halves[::2]]
    assert drawn == [i < scans for i in range(3)], "an outline in the left picture of each card"


def test_a_scan_without_a_prediction_has_a_picture_without_an_outline(tmp_path: Path) -> None:
    empty = Snapshot(
        np.zeros((6, 5), np.uint8),
        np.stack([np.ones((3, 3)), np.zeros((3, 3))]),
        np.zeros((3, 3)),
        np.array([6, 5]),
    )
    out = contact_sheet(
        [Card(empty, "1  a", "nothing found")], tmp_path / "s.png", title="t", classes={1: "x"}
    )
    assert Image.open(out).width > 500
