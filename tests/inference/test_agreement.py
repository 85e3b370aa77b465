"""Agreement against loops over voxels, and what a model finds of a scan against its parts."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from semivox.cohort import Case, read_case
from semivox.cohort.regions import Region, Regions
from semivox.inference import load_ensemble, load_model
from semivox.inference.agreement import OVERALL, between, with_probabilities
from semivox.inference.native_grid import present

RNG = np.random.default_rng(1)
FP32: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
REGIONS = Regions((Region("whole", (1, 2), 1), Region("core", (2,), 2)))


def probabilities(classes: int, shape: tuple[int, ...] = (5, 4, 3)) -> np.ndarray:
    logits = RNG.normal(size=(classes, *shape)) * 2
    return (np.exp(logits) / np.exp(logits).sum(0)).astype(np.float32)


@pytest.mark.parametrize("regions", [Regions(()), REGIONS])
def test_the_mask_against_its_probabilities_is_the_soft_dice_of_the_formula(regions: Regions) -> None:
    probs = probabilities(3)
    found = with_probabilities(probs, regions, [1, 2])
    parts = [(1, 2), (2,)] if regions else [(1,), (2,)]
    expected = []
    for values in parts:
        both = share = size = 0.0
        for voxel in np.ndindex(probs.shape[1:]):
            p = float(sum(probs[(k, *voxel)] for k in values))
            inside = p > 0.5 if regions else int(probs[(slice(None), *voxel)].argmax()) in values
            both, share, size = both + p * inside, share + p, size + inside
        expected.append((2 * both + 1) / (share + size + 1))
    assert [found["1"], found["2"]] == pytest.approx(expected, abs=1e-5)
    assert found[OVERALL] == pytest.approx(np.mean(expected), abs=1e-5)


def test_masks_agree_by_the_mean_dice_of_their_pairs() -> None:
    masks = [RNG.random((2, 6, 5)) > 0.5 for _ in range(3)]
    found = between(masks, [1, 4])
    for s, name in enumerate(("1", "4")):
        sets = [set(zip(*np.nonzero(m[s]), strict=True)) for m in masks]
        pairs = [(2 * len(a & b) + 1) / (len(a) + len(b) + 1) for a, b in itertools.combinations(sets, 2)]
        assert found[name] == pytest.approx(np.mean(pairs), abs=1e-5)
    same = between([masks[0], masks[0]], [1, 4])
    assert set(same.values()) == {1.0}


def test_nothing_that_all_agree_is_absent_counts_as_agreement() -> None:
    nothing = np.zeros((1, 4, 4), bool)
    assert between([nothing, nothing], [1])["1"] == 1
    sure = np.stack([np.full((9, 9), 0.9999), np.full((9, 9), 0.0001)]).astype(np.float32)
    assert with_probabilities(sure, Regions(()), [1])["1"] > 0.99


def test_a_model_tells_how_far_its_mirror_images_and_its_runs_agree(make_run, save_scan) -> None:
    scan = save_scan("scan.nii.gz", (15, 14, 12))
    runs = [make_run(name="a", values=(1, 2)), make_run(name="b", values=(1, 2), seed=8, spacing=(1.2,) * 3)]
    one = load_model(runs[0], **FP32)
    plain = one.predict(scan)
    assert {*plain.agreements} == {one.model_id}
    assert {*plain.agreements[one.model_id]} == {"probability"}
    looked = replace(one, compare_axes=(0, 1))
    beside = looked.predict(scan)
    np.testing.assert_array_equal(beside.mask, plain.mask)  # looked at, not averaged
    assert {*beside.agreements[one.model_id]} == {"probability", "views"}
    assert beside.agreements[one.model_id]["views"]["1"] < 1

    both = load_ensemble(runs, **FP32)
    together = both.predict(scan)
    assert together.agreements[one.model_id]["probability"] == plain.agreements[one.model_id]["probability"]
    assert together.agreements[both.model_id]["runs"]["1"] < 1  # of unlike grids
    alike = load_ensemble([runs[0], make_run(name="c", values=(1, 2), seed=9)], **FP32)
    agreed = alike.predict(scan).agreements[alike.model_id]
    masks = [
        present(each.probabilities, alike.plan.scheme)
        for each in alike.find(read_case(Case("scan", (scan,))))
    ]
    assert agreed["runs"] == between(masks, [1, 2])
    assert {*agreed} == {"runs", "probability"}
