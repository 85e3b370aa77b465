"""Scans as points: what the encoder gives, tiles and all; what does not change them; standardising."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from semivox.cohort import Volume
from semivox.ranking.features import FeatureMean, distances, standardised
from semivox.ranking.measure import measure
from semivox.tiles import predict_planned, predict_probabilities


@pytest.mark.parametrize("dims", [2, 3])
def test_features_are_the_mean_of_the_encoders(dims, make_model) -> None:
    net = make_model(dims=dims).networks[0]
    x = torch.randn(1, 1, *(12,) * dims, generator=torch.Generator().manual_seed(0))
    tapped = FeatureMean(net)
    output = tapped(x)
    expected = net.encode(x, norm="running")["bottleneck"][0].flatten(1).double().mean(1)
    np.testing.assert_allclose(tapped.mean, expected.numpy(), rtol=1e-9)
    assert torch.equal(output.logits, net(x, norm="running").logits)


def test_tiles_count_by_their_voxels(make_model) -> None:
    net = make_model().networks[0]
    x = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    tapped = FeatureMean(net)
    predict_probabilities([tapped], x, multiple=net.multiple, tile=(8, 8, 8), overlap=0.5)
    means = [
        net.encode(x[None, :, start : start + 8], norm="running")["bottleneck"].double().mean((0, 2, 3, 4))
        for start in (0, 4, 8)
    ]
    np.testing.assert_allclose(tapped.mean, torch.stack(means).mean(0).numpy(), rtol=1e-9)


def test_the_prediction_and_the_network_stay_as_they_are(make_model, scan) -> None:
    model = make_model()
    net = model.networks[0]
    net.keep_features = False
    image = scan().array
    seen = predict_planned([FeatureMean(net)], image, model.plan)
    assert torch.equal(seen, predict_planned([net], image, model.plan))
    assert net.keep_features is False


def test_a_turned_file_is_the_same_point(make_model, scan) -> None:
    """How a file stores its axes, and on which scale its intensities, says nothing about the patient."""
    model, volume = make_model(), scan()
    flipped = np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = volume.shape[0] - 1
    turned = Volume(np.ascontiguousarray(volume.array[:, ::-1]), flipped)
    swapped = Volume(np.ascontiguousarray(volume.array.transpose(0, 2, 1, 3)), np.eye(4)[[1, 0, 2, 3]])
    scaled = Volume(volume.array * 8 - 512, volume.affine)
    here = measure(model, volume)[0].features
    assert np.array_equal(measure(model, turned)[0].features, here)
    assert np.array_equal(measure(model, swapped)[0].features, here)
    np.testing.assert_allclose(measure(model, scaled)[0].features, here, rtol=1e-4, atol=1e-5)
    other = measure(model, scan(seed=2))[0].features
    assert np.abs(other - here).max() > 1e-2


def test_distances_are_root_mean_squares_of_standardised_features() -> None:
    rng = np.random.default_rng(0)
    table = {f"s{i}": rng.normal(size=5) * [1, 10, 0.1, 1, 1] for i in range(7)}
    for row in table.values():
        row[3] = 2.5  # the same in all: it must not divide by 0, nor count
    points = standardised(table)
    raw = np.stack([table[name] for name in points])[:, [0, 1, 2, 4]]
    z = (raw - raw.mean(0)) / raw.std(0)
    for i, name in enumerate(points):
        expected = np.sqrt(((z - z[i]) ** 2).mean(1))
        np.testing.assert_allclose(distances(np.stack(list(points.values())), points[name]), expected)
    assert distances(points["s0"][None], points["s0"])[0] == 0


def test_the_order_of_the_scans_changes_no_bit() -> None:
    rng = np.random.default_rng(0)
    table = {f"s{i}": rng.normal(size=20) for i in range(9)}
    backwards = dict(reversed(table.items()))
    here, there = standardised(table), standardised(backwards)
    assert all(np.array_equal(here[name], there[name]) for name in table)


def test_one_scan_alone_is_a_point_without_extent() -> None:
    assert standardised({"a": np.arange(3.0)})["a"].shape == (0,)
    assert standardised({}) == {}
