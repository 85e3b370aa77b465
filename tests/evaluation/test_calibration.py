"""Reliability against a slow count of voxels, and against what it must be for probabilities that are true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

from semivox.evaluation.calibration import (
    BINS,
    Reliability,
    rank_correlation,
    reliability,
    uncertainty_and_error,
)


def probabilities(seed: int, classes: int, shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(classes, *shape))
    logits = 3 * ndimage.gaussian_filter(noise, (0, *(1,) * len(shape))) / 0.2
    logits[0] += 2
    raised = np.exp(logits - logits.max(0))
    return (raised / raised.sum(0)).astype(np.float32)


@pytest.mark.parametrize(("classes", "shape"), [(2, (9, 8, 7)), (4, (9, 8, 7)), (3, (20, 15))])
@pytest.mark.parametrize("ignore", [None, 9])
def test_reliability_is_a_slow_count_of_the_voxels_near_the_prediction(
    classes: int, shape: tuple[int, ...], ignore: int | None
) -> None:
    values = [2, 3, 7][: classes - 1]
    probs = probabilities(classes, classes, shape)
    rng = np.random.default_rng(1)
    reference = rng.choice([0, *values, 9, 5], size=shape)  # 5 is no class: background
    found = reliability(probs, reference, values, ignore)

    predicted = probs.argmax(0)
    near = np.zeros(shape, bool)
    for place in np.argwhere(predicted > 0):
        for other in np.ndindex(*shape):
            near[other] |= sum(abs(np.array(other) - place)) <= 2
    count, confidence, correct = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    for place in np.ndindex(*shape):
        if not near[place] or reference[place] == ignore:
            continue
        p = float(probs[(predicted[place], *place)])
        b = min(int(p * BINS), BINS - 1)
        true = reference[place] if reference[place] in values else 0
        count[b] += 1
        confidence[b] += p
        correct[b] += [0, *values][predicted[place]] == true
    assert found.count.tolist() == count.tolist()
    assert found.correct.tolist() == correct.tolist()
    assert found.confidence == pytest.approx(confidence)
    assert 0 < found.voxels < reference.size
    total = count.sum()
    slow = sum(abs(confidence[b] - correct[b]) / count[b] * count[b] / total for b in range(BINS) if count[b])
    assert found.expected_calibration_error == pytest.approx(slow)
    assert found.overconfidence == pytest.approx((confidence.sum() - correct.sum()) / total)


def test_true_probabilities_are_calibrated_and_sharpened_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 1, (60, 60, 30))
    probs = np.stack([1 - p, p]).astype(np.float32)
    reference = (rng.uniform(size=p.shape) < p).astype(int)
    found = reliability(probs, reference, [1])
    assert found.expected_calibration_error is not None
    assert found.expected_calibration_error < 0.01
    assert np.nanmax(np.abs(found.accuracy - found.mean_confidence)) < 0.02
    sharp = probs**4 / (probs**4).sum(0)
    worse = reliability(sharp, reference, [1])
    assert worse.expected_calibration_error > 0.1
    assert worse.overconfidence == pytest.approx(worse.expected_calibration_error, abs=0.01)


def test_cases_add_up_and_come_back_from_json() -> None:
    one, two = (reliability(probabilities(s, 3, (8, 8, 8)), np.ones((8, 8, 8), int), [1, 2]) for s in (0, 1))
    both = sum([one, two], Reliability.empty())
    assert both.voxels == one.voxels + two.voxels
    again = Reliability.from_json(both.to_json())
    assert again.count.tolist() == both.count.tolist()
    assert again.expected_calibration_error == pytest.approx(both.expected_calibration_error, abs=1e-4)


def test_without_predicted_foreground_nothing_is_counted() -> None:
    probs = np.stack([np.full((5, 5, 5), 0.9), np.full((5, 5, 5), 0.1)])
    found = reliability(probs, np.ones((5, 5, 5), int), [1])
    assert found.voxels == 0
    assert found.expected_calibration_error is None
    assert found.overconfidence is None
    with pytest.raises(ValueError, match="2 probabilities"):
        reliability(probs, np.ones((5, 5, 5), int), [1, 2])


def test_uncertainty_and_error_are_of_the_same_cases() -> None:
    row = {"1": {"dice": 0.8}, "2": {"dice": 0.6}}
    evaluation = {"cases": {"a": row, "b": {"1": {"dice": None}}, "c": {"1": {"dice": 0.5}}, "d": row}}
    names, uncertain, wrong = uncertainty_and_error(evaluation, {"a": 0.2, "b": 0.1, "c": None, "d": 0.4})
    assert names == ["a", "d"]
    assert uncertain.tolist() == [0.2, 0.4]
    assert wrong == pytest.approx([0.3, 0.3])
    assert uncertainty_and_error({"cases": {}}, {})[0] == []


def test_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 30).astype(float), rng.normal(size=30)
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert rank_correlation(a[:2], b[:2]) is None
    assert rank_correlation(np.ones(5), b[:5]) is None
