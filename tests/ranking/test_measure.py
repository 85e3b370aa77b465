"""One scan in numbers: entropy as ``predict`` has it, disagreement by its formula, missing classes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from semivox.cohort import Volume
from semivox.errors import DataError
from semivox.ranking.measure import Disagreement, Measured, measure, uncertainty


def soft_dice_distance(maps: list[np.ndarray]) -> float:
    """1 - soft Dice over all pairs of maps (K, ...), one voxel of agreement added to each pair and class."""
    dices = []
    for k in range(1, len(maps[0])):
        above = below = 0.0
        for p, q in itertools.combinations(maps, 2):
            above += 2 * float((p[k].astype(float) * q[k]).sum()) + 2
            below += float((p[k].astype(float) ** 2).sum() + (q[k].astype(float) ** 2).sum()) + 2
        dices.append(above / below)
    return 1 - sum(dices) / len(dices)


@pytest.mark.parametrize("networks", [2, 3, 4])
def test_disagreement_is_the_formula(networks: int) -> None:
    rng = np.random.default_rng(networks)
    maps = [
        rng.dirichlet((0.3, 0.3, 0.3), size=(5, 4)).transpose(2, 0, 1).astype(np.float32)
        for _ in range(networks)
    ]
    apart = Disagreement()
    for p in maps:
        apart.add(p)
    assert apart.value == pytest.approx(soft_dice_distance(maps), abs=1e-6)
    assert 0.05 < apart.value < 1


def test_disagreement_of_one_of_equals_and_of_opposites() -> None:
    p = np.zeros((2, 400), np.float32)
    p[0, :200] = p[1, 200:] = 1
    apart = Disagreement()
    assert apart.value is None
    apart.add(p)
    assert apart.value is None
    apart.add(p)
    assert apart.value == 0
    opposite = Disagreement()
    opposite.add(p)
    opposite.add(p[::-1].copy())
    assert opposite.value == pytest.approx(1, abs=0.01)


def test_easy_background_and_faint_noise_do_not_count() -> None:
    small = np.full((2, 50), 0.5, np.float32)
    large = np.concatenate([small, np.stack([np.ones(5000), np.zeros(5000)])], 1).astype(np.float32)
    other = large.copy()
    other[:, :50] = [[0.2], [0.8]]
    values = []
    for a, b in ((small, other[:, :50]), (large, other)):
        apart = Disagreement()
        apart.add(a)
        apart.add(b)
        values.append(apart.value)
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    faint = Disagreement()
    for seed in (0, 1):
        p = np.random.default_rng(seed).uniform(0, 0.004, 1000).astype(np.float32)
        faint.add(np.stack([1 - p, p]))
    assert faint.value < 0.01


def test_entropy_is_that_of_predict(make_model, scan) -> None:
    model, volume = make_model(), scan()
    alone = replace(model, networks=model.networks[1:])  # the teacher predicts
    measured, maps = measure(model, volume)
    segmentation = alone.predict(volume)
    assert measured.entropy == segmentation.mean_entropy > 0.01
    assert maps.probabilities.shape == (2, *maps.grid.working_shape)


def test_the_predictors_mean_and_its_first_networks_features(make_model, scan) -> None:
    roles = ("student", "second", "teacher", "second_teacher")
    model = make_model(roles, ("teacher", "second_teacher"))
    measured, maps = measure(model, scan())
    both = [measure(make_model((role,), (role,)), scan()) for role in ("teacher", "second_teacher")]
    mean = (both[0][1].probabilities + both[1][1].probabilities) / 2
    np.testing.assert_allclose(maps.probabilities, mean, atol=1e-6)
    assert np.array_equal(measured.features, both[0][0].features)
    all_four = [measure(make_model((role,), (role,)), scan())[1].probabilities for role in roles]
    assert measured.disagreement == pytest.approx(soft_dice_distance(all_four), abs=1e-5)


def test_each_network_passes_once(make_model, scan) -> None:
    model = make_model()
    calls = []
    for role, net in zip(model.card["networks"], model.networks, strict=True):
        net.register_forward_hook(lambda *_, role=role: calls.append(role))
    measure(model, scan())
    assert calls == ["student", "teacher"]


def test_one_network_has_nobody_to_disagree_with(make_model, scan) -> None:
    assert measure(make_model(("teacher",)), scan())[0].disagreement is None


def test_a_missing_class_is_named_if_every_training_scan_has_it(make_model, scan) -> None:
    model = make_model(classes=2, present={1: 1.0, 2: 1.0})
    for net in model.networks:
        with torch.no_grad():
            net.head.bias[2] = -1e4
    assert measure(model, scan())[0].missing == (2,)
    seldom = replace(model, card={**model.card, "training": {"classes": {"2": {"present": 0.9}}}})
    assert measure(seldom, scan())[0].missing == ()
    allowed = replace(model, card={**model.card, "may_be_empty": [2]})
    assert measure(allowed, scan())[0].missing == ()
    unknown = replace(model, card={**model.card, "training": None})
    assert measure(unknown, scan())[0].missing == ()


def test_a_network_that_overlooks_a_structure_counts_as_uncertain() -> None:
    def of(entropy: float, *missing: int) -> Measured:
        return Measured(entropy, None, missing, np.zeros(1))

    rising = [of(0.1), of(0.69), of(0.01, 1), of(0.5, 2), of(0.0, 1, 2)]
    values = [uncertainty(m, 2) for m in rising]
    assert values == sorted(values)
    assert values[1] == pytest.approx(0.69 / math.log(2))


def test_a_scan_that_does_not_fit_is_refused(make_model, scan) -> None:
    model = make_model()
    with pytest.raises(DataError, match="other dimensions"):
        measure(model, scan((9, 9)))
    broken = scan()
    broken.array[0, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        measure(model, broken)
    with pytest.raises(DataError, match="other channels"):
        measure(model, Volume(np.zeros((2, 8, 8, 8), np.float32), np.eye(4)))
