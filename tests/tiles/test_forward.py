"""Tiles against the whole volume, against MONAI's sliding window, and their partition of unity."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from semivox.networks.contract import Output
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.tiles import axis_tiles, predict_probabilities, predict_views, tile_shape


class Local(nn.Module):
    """Receptive field 5; refuses sizes that are no multiple of 4, and any mode but running."""

    def __init__(self, dims: int, channels: int = 1, classes: int = 3, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        self.layers = nn.Sequential(
            conv(channels, 4, 3, padding=1), nn.Tanh(), conv(4, classes, 3, padding=1)
        )
        self.sizes: list[tuple[int, ...]] = []  # of each tile
        self.batches: list[int] = []

    def forward(self, x: Tensor, drop: object = None, norm: str = "update") -> Output:
        assert drop is None
        assert norm == "running"
        assert all(n % 4 == 0 for n in x.shape[2:])
        assert torch.is_inference_mode_enabled()
        self.sizes += [tuple(x.shape[2:])] * len(x)
        self.batches.append(len(x))
        return Output(3 * self.layers(x))


class Constant(nn.Module):
    def forward(self, x: Tensor, drop: object = None, norm: str = "update") -> Output:
        logits = torch.tensor([0.3, -1.0, 2.0]).view(1, 3, *[1] * (x.ndim - 2))
        return Output(logits.expand(len(x), 3, *x.shape[2:]))


def image(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 16, 20, 12), (1, 15, 21, 9), (1, 3, 2, 1), (1, 16, 24), (1, 9, 3)])
def test_whole_volume_equals_softmax_of_the_padded_forward(shape: tuple[int, ...]) -> None:
    net = Local(len(shape) - 1)
    x = image(*shape)
    probs = predict_probabilities([net], x, multiple=(4,) * (len(shape) - 1), memory_bytes=10**9)
    assert len(net.sizes) == 1
    assert probs.shape == (3, *shape[1:])
    assert probs.dtype == torch.float32
    before = [(math.ceil(n / 4) * 4 - n) // 2 for n in shape[1:]]
    padded = torch.zeros(1, *[math.ceil(n / 4) * 4 for n in shape[1:]])
    where = tuple(slice(b, b + n) for b, n in zip(before, shape[1:], strict=True))
    padded[(slice(None), *where)] = x
    with torch.no_grad():
        expected = (3 * net.layers(padded[None]))[0].softmax(0)[(slice(None), *where)]
    torch.testing.assert_close(probs, expected)


def test_tiles_equal_the_whole_volume_where_only_tile_centres_count() -> None:
    """Along an axis of two tiles, the voxels no other tile covers are the whole volume's, exactly."""
    net, x = Local(3), image(1, 24, 8, 8)
    whole = predict_probabilities([net], x, multiple=(4, 4, 4), memory_bytes=10**9)
    net.sizes.clear()
    tiled = predict_probabilities([net], x, multiple=(4, 4, 4), tile=(16, 8, 8))
    assert net.sizes == [(16, 8, 8), (16, 8, 8)]
    torch.testing.assert_close(tiled[:, :8], whole[:, :8], atol=1e-6, rtol=0)
    torch.testing.assert_close(tiled[:, 16:], whole[:, 16:], atol=1e-6, rtol=0)
    # where both see, their mean: the error of a cut receptive field is halved, not gone
    alone = [predict_probabilities([net], x[:, i : i + 16], multiple=(4, 4, 4)) for i in (0, 8)]
    torch.testing.assert_close(tiled[:, 8:16], (alone[0][:, 8:] + alone[1][:, :8]) / 2, atol=1e-6, rtol=0)
    assert float((tiled - whole).abs().max()) > 0


def test_one_voxel_receptive_field_is_tiled_without_a_trace() -> None:
    net = Local(3)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                centre = parameter[..., 1, 1, 1].clone()
                parameter.zero_()[..., 1, 1, 1] = centre
    x = image(1, 30, 22, 17)
    whole = predict_probabilities([net], x, multiple=(4, 4, 4), memory_bytes=10**9)
    tiled = predict_probabilities([net], x, multiple=(4, 4, 4), memory_bytes=12**3 * 512)
    assert max(math.prod(size) for size in net.sizes[1:]) <= 12**3
    assert len(net.sizes) > 10
    torch.testing.assert_close(tiled, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
def test_a_constant_network_gives_a_constant(overlap: float) -> None:
    x = image(1, 33, 18)
    tiled = predict_probabilities([Constant()], x, multiple=(4, 4), tile=(8, 8), overlap=overlap)
    expected = torch.tensor([0.3, -1.0, 2.0]).softmax(0).view(3, 1, 1).expand(3, 33, 18)
    torch.testing.assert_close(tiled, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dims", [2, 3])
def test_equals_monais_sliding_window(dims: int) -> None:
    inferers = pytest.importorskip("monai.inferers")
    net, x = Local(dims, channels=2), image(2, *(24, 32, 16)[:dims])
    tiled = predict_probabilities([net], x, multiple=(4,) * dims, tile=(16,) * dims)

    def softmax(t: Tensor) -> Tensor:
        return net(t, norm="running").logits.softmax(1)

    with torch.inference_mode():
        expected = inferers.sliding_window_inference(x[None], (16,) * dims, 1, softmax, overlap=0.5)[0]
    torch.testing.assert_close(tiled, expected, atol=1e-5, rtol=0)


def test_a_tile_that_memory_does_not_hold_is_made_smaller() -> None:
    net = Local(2)
    predict_probabilities([net], image(1, 32, 32), multiple=(4, 4), tile=(16, 16), memory_bytes=12 * 12 * 512)
    assert set(net.sizes) == {(12, 12)}


def test_no_tile_is_spent_on_padding() -> None:
    """17 voxels and tiles of 12, half overlapping: two reach; padded to 20 first, it would be three."""
    net = Local(2)
    predict_probabilities([net], image(1, 17, 12), multiple=(4, 4), tile=(12, 12))
    assert net.sizes == [(12, 12)] * 2


@pytest.mark.parametrize(
    ("tiles", "room", "batches"), [(3, 9, [3]), (5, 9, [2, 3]), (5, 2, [1, 2, 2]), (3, 1, [1] * 3)]
)
def test_tiles_share_a_forward_where_memory_allows(tiles: int, room: int, batches: list[int]) -> None:
    """The same probabilities however many go at once; ``room`` and AT_ONCE are the most."""
    net, x = Local(2), image(1, 4 + 4 * tiles, 8)
    options = {"multiple": (4, 4), "tile": (8, 8)}
    probs = predict_probabilities([net], x, **options, memory_bytes=room * 8 * 8 * 512)
    assert (sorted(net.batches), len(net.sizes)) == (batches, tiles)
    alone = predict_probabilities([net], x, **options, memory_bytes=8 * 8 * 512)
    torch.testing.assert_close(probs, alone, atol=1e-6, rtol=0)


def test_several_networks_are_averaged_as_probabilities() -> None:
    a, b, x = Local(2, seed=0), Local(2, seed=5), image(1, 8, 8)
    options = {"multiple": (4, 4), "memory_bytes": 10**9}
    mean = predict_probabilities([a, b], x, **options)
    one, two = predict_probabilities([a], x, **options), predict_probabilities([b], x, **options)
    torch.testing.assert_close(mean, (one + two) / 2)
    assert float((one - two).abs().max()) > 0.01


def test_out_of_memory_falls_back_to_smaller_tiles() -> None:
    class Small(Local):
        def forward(self, x: Tensor, drop: object = None, norm: str = "update") -> Output:
            if len(x) * math.prod(x.shape[2:]) > 200:
                raise torch.OutOfMemoryError("too large")
            return super().forward(x, drop, norm)

    net = Small(2)
    probs = predict_probabilities([net], image(1, 40, 40), multiple=(4, 4), memory_bytes=10**9)
    assert probs.shape == (3, 40, 40)
    torch.testing.assert_close(probs.sum(0), torch.ones(40, 40))
    net.sizes.clear()  # tiles that fit one by one are not cut
    predict_probabilities([net], image(1, 40, 40), multiple=(4, 4), tile=(12, 12))
    assert set(net.sizes) == {(12, 12)}


def test_numpy_images_are_taken_and_left_alone() -> None:
    x = image(1, 5, 6).numpy()
    before = x.copy()
    predict_probabilities([Local(2)], x, multiple=(4, 4))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("shape", [(1, 9, 4), (9, 1, 4), (9, 4, 1), (1, 1, 1), (1, 9), (9, 1), (1, 1)])
def test_mirror_images_of_axes_of_one_voxel(shape: tuple[int, ...]) -> None:
    dims, axes = len(shape), tuple(range(len(shape)))
    ones = (1.0,) * dims
    plan = Plan(
        dims=dims, axes=axes, native_spacing=ones, spacing=ones, spacing_known=True, rung=1.0, shape=shape,
        patch=(4,) * dims, batch=(1, 1), channels=(ChannelPlan("x", "zscore"),),
        network=NetworkPlan("unet", (4, 8, 8), ((3,) * dims,) * 3, ((2,) * dims,) * 2),
        classes=(ClassPlan(1, "a", 1.0, 1.0), ClassPlan(2, "b", 1.0, 1.0)),
        budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
    )  # fmt: skip
    x = image(1, *shape).numpy()
    _, *others = predict_views([Local(dims)], x, plan, axes)
    assert len(others) == dims
    for axis, other in zip(axes, others, strict=True):
        assert other.shape == (3, *shape)
        (turned,) = predict_views([Local(dims)], np.flip(x, 1 + axis).copy(), plan)
        torch.testing.assert_close(other, turned.flip(1 + axis))


@pytest.mark.parametrize(
    ("length", "tile", "overlap"), [(8, 8, 0.5), (9, 8, 0.5), (64, 16, 0.5), (50, 12, 0.7)]
)
def test_windows_cover_the_axis_and_sum_to_one(length: int, tile: int, overlap: float) -> None:
    total = np.zeros(length)
    starts = []
    for start, weights in axis_tiles(length, tile, overlap):
        total[start : start + tile] += weights
        starts.append(start)
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert starts[0] == 0
    assert starts[-1] == length - tile
    assert max(np.diff(starts), default=0) <= tile * (1 - overlap)


def test_a_tile_fits_its_memory_and_stays_a_multiple() -> None:
    assert tile_shape((64, 64, 64), (16, 16, 16), 40**3) == (32, 32, 48)
    assert tile_shape((64, 256, 8), (16, 16, 8), 64 * 64 * 8) == (64, 64, 8)
    assert tile_shape((32, 32), (16, 16), 1) == (16, 16)
