"""Classes on the scan's own grid, block by block: those of the whole, without the memory of the whole."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from semivox.cohort import Orientation
from semivox.inference import native_grid
from semivox.inference.native_grid import native_classes, on_native_grid
from semivox.prepare import Grid


def grid_of(native: tuple[int, ...], working: tuple[int, ...]) -> Grid:
    """``native`` in working axis order; the file's last axis comes first there, reversed."""
    dims = len(native)
    turned = Orientation((dims - 1, *range(dims - 1)), (True, *[False] * (dims - 1)))
    return Grid(turned, native, (1.0,) * dims, working)


def organs(classes: int, shape: tuple[int, ...], sure: float) -> np.ndarray:
    """Probabilities of smooth regions: mostly sure, with soft borders where several meet."""
    noise = np.random.default_rng(classes).normal(size=(classes, *shape))
    smooth = ndimage.gaussian_filter(noise, (0, *(2.0,) * len(shape)))
    raised = np.exp(sure * smooth / smooth.std())
    return (raised / raised.sum(0)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 3, 9, 300])
@pytest.mark.parametrize("sure", [0.5, 12.0])
@pytest.mark.parametrize("native", [(23, 30, 17), (8, 40, 9), (31, 44)])
def test_blocks_are_the_argmax_of_the_whole(
    classes: int, sure: float, native: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_grid, "BLOCK", 8)
    grid, probs = (
        grid_of(native, (11, 30, 9)[: len(native)]),
        organs(classes, (11, 30, 9)[: len(native)], sure),
    )
    whole = grid.to_native(probs)
    expected = whole.argmax(0) if classes > 2 else whole[1] > 0.5
    np.testing.assert_array_equal(native_classes(grid, [probs], 2), expected)
    assert len(np.unique(expected)) > 1


@pytest.mark.parametrize("classes", [2, 3, 9])
def test_blocks_of_several_parts_are_the_argmax_of_their_sum(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs on unlike grids, sure of unlike things."""
    monkeypatch.setattr(native_grid, "BLOCK", 8)
    native, working = (23, 30, 17), [(11, 30, 9), (23, 15, 9), (5, 7, 30)]
    grid = grid_of(native, working[0])
    parts = [organs(classes, shape, sure) / 3 for shape, sure in zip(working, (12.0, 8.0, 2.0), strict=True)]
    whole = np.sum([grid.to_native(part) for part in parts], 0)
    np.testing.assert_allclose(on_native_grid(grid, parts), whole, atol=1e-6)
    expected = whole.argmax(0) if classes > 2 else whole[1] > 0.5
    np.testing.assert_array_equal(native_classes(grid, parts, 2), expected)
    assert not np.array_equal(native_classes(grid, parts[:1], 2), expected)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_tie_goes_to_the_lower_index(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_grid, "BLOCK", 4)
    probs = np.zeros((classes, 6, 6, 6), np.float32)
    probs[-2:] = 0.5
    assert (native_classes(grid_of((12, 9, 6), (6, 6, 6)), [probs]) == classes - 2).all()


def test_no_map_of_the_native_grid_is_held() -> None:
    native, probs = (160, 150, 140), organs(5, (40, 40, 40), 3.0)
    voxels = int(np.prod(native))
    tracemalloc.start()
    native_classes(grid_of(native, (40, 40, 40)), [probs], 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * voxels  # a float32 map; indices and their copy in the file's order take half of it
