"""Trust in pseudo-labels: floors of confidence against sorted voxels, weights of scans, refused rounds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from semivox.batches import PseudoLabel
from semivox.prepare import Store
from semivox.training.label_quality import (
    BINS,
    HIGHEST,
    LOWEST,
    confidence_floors,
    confidences,
    labeled_volumes,
    refusal,
    scan_weight,
)

NAMES = ["a", "b"]
LABELED = [[(100.0, 100.0), (140.0, 140.0)], [(0.0, 0.0), (8.0, 8.0), (12.0, 12.0)]]


def random_label(seed: int, shape: tuple[int, ...] = (9, 8, 7)) -> PseudoLabel:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, shape)
    target = np.stack([(classes == k).astype(np.uint8) * 255 for k in (1, 2)])
    low = np.array([200, 120, 140])[classes]
    confidence = (low + rng.integers(0, 55, shape)).astype(np.uint8)[None]
    return PseudoLabel(target, confidence, {})


def test_floors_are_the_first_quartile_of_each_class_over_all_scans() -> None:
    labels = [random_label(seed) for seed in range(4)]
    floors = confidence_floors([confidences(label) for label in labels])
    for k, floor in enumerate(floors):
        sure = []
        for label in labels:
            inside = label.target[k - 1] > 0 if k else label.target.sum(0) == 0
            sure += (label.confidence[0][inside] / 255).tolist()
        expected = min(HIGHEST, max(LOWEST, sorted(sure)[len(sure) // 4]))
        assert floor == pytest.approx(expected, abs=1.5 / BINS)
    assert floors[1] < floors[2] < floors[0]


def test_classes_that_no_scan_has_and_no_scans_at_all_have_floors_that_change_nothing() -> None:
    empty = PseudoLabel(np.zeros((1, 4, 4), np.uint8), np.full((1, 4, 4), 250, np.uint8), {})
    assert confidence_floors([confidences(empty)])[1] == LOWEST
    assert confidence_floors([]) == []


def test_voxels_weigh_what_their_confidence_exceeds_their_class_s_floor_by() -> None:
    label = PseudoLabel(np.zeros(0), np.zeros(0), {}, floors=(0.9, 0.5), weight=0.5)
    target = torch.tensor([[[0.0, 0.0, 255.0, 255.0, 127.5]]])
    confidence = torch.tensor([[[255.0, 0.9 * 255, 0.4 * 255, 0.75 * 255, 0.85 * 255]]])
    found = label.weights(confidence, target)
    # the last voxel is half of each class: its floor is 0.7
    assert found.flatten().tolist() == pytest.approx([0.5, 0.0, 0.0, 0.25, 0.25], abs=1e-6)
    plain = PseudoLabel(np.zeros(0), np.zeros(0), {})
    assert plain.weights(confidence, target).flatten().tolist() == pytest.approx(
        (confidence / 255).flatten().tolist()
    )


def test_scans_weigh_by_the_agreement_of_their_views() -> None:
    assert [scan_weight(d) for d in (0.0, 0.6, 0.75, 0.9, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])


def rows(volumes: list[list[float]], agreement: float = 1.0) -> list[dict[str, Any]]:
    return [{"volumes": v, "agreement": agreement} for v in volumes]


GOOD = [[120.0, 9.0]] * 8 + [[130.0, 0.0]] * 2


@pytest.mark.parametrize(
    ("volumes", "agreement", "said"),
    [
        ([[0.0, 9.0]] * 3 + [[120.0, 9.0]] * 7, 1.0, "a is missing from 30% of the scans"),
        ([[120.0, 0.0]] * 6 + [[120.0, 9.0]] * 4, 1.0, "b is missing from 60% of the scans"),
        ([[49.0, 9.0]] * 10, 1.0, "a fills 49 voxels"),
        ([[281.0, 9.0]] * 10, 1.0, "a fills 281 voxels"),
        ([[120.0, 25.0]] * 10, 1.0, "b fills 25 voxels"),
        (GOOD, 0.64, "agree with a Dice of 0.64"),
    ],
)
def test_a_round_that_cannot_be_right_is_refused(
    volumes: list[list[float]], agreement: float, said: str
) -> None:
    why = refusal(rows(volumes, agreement), LABELED, NAMES)
    assert why is not None
    assert said in why


def test_a_round_that_may_be_right_is_taken() -> None:
    assert refusal(rows(GOOD, 0.7), LABELED, NAMES) is None
    # a class that no labelled case has been annotated for says nothing
    assert refusal(rows([[120.0, 0.0]] * 10), [LABELED[0], []], NAMES) is None
    # a third of the labelled cases lack b: so may a third of the scans, and a fifth more
    assert refusal(rows([[120.0, 9.0]] * 5 + [[120.0, 0.0]] * 5), LABELED, NAMES) is None
    assert refusal([], LABELED, NAMES) is None


def test_what_a_label_leaves_open_is_not_counted_as_background() -> None:
    """Of voxels marked ignore nobody knows: scribbles are not the size of the organ."""
    scribbles = [[(20.0, 900.0), (30.0, 800.0)], [(0.0, 900.0), (9.0, 800.0)]]
    assert refusal(rows(GOOD), scribbles, NAMES) is None
    assert "a is missing" in str(refusal(rows([[0.0, 9.0]] * 10), scribbles, NAMES))
    assert "a fills 9 voxels" in str(refusal(rows([[9.0, 9.0]] * 10), scribbles, NAMES))
    assert "a fills 1900 voxels" in str(refusal(rows([[1900.0, 9.0]] * 10), scribbles, NAMES))
    # one label shows b, the other may: it is expected in all scans
    assert "b is missing from 50%" in str(refusal(rows([[120.0, 9.0], [120.0, 0.0]]), scribbles, NAMES))
    # no label shows whether b is there
    unknown = [scribbles[0], [(0.0, 900.0)]]
    assert refusal(rows([[120.0, 0.0]] * 10), unknown, NAMES) is None


def test_volumes_of_labels_are_between_what_is_shown_and_what_may_hide() -> None:
    target = np.zeros((2, 4, 5), np.uint8)
    target[0, 0] = 255
    valid = np.full((1, 4, 5), 255, np.uint8)
    valid[0, 2:] = 0
    drawn = np.argwhere(valid[0])
    cases = [
        SimpleNamespace(target=target, annotated=np.array([1.0, 1.0]), valid=None, known=None),
        SimpleNamespace(target=target, annotated=np.array([1.0, 0.0]), valid=valid, known=None),
        # of slices that were not drawn the target has the nearest that was
        SimpleNamespace(target=target, annotated=np.array([1.0, 1.0]), valid=valid, known=drawn),
    ]
    store = cast(Store, SimpleNamespace(labeled=(0, 1, 2), case=cases.__getitem__))
    assert labeled_volumes(store, 2) == [[(5, 5), (5, 15), (5, 5)], [(0, 0), (0, 0)]]
