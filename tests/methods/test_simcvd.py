"""SimCVD: its ablations and its two views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from semivox.methods.simcvd import SimCVD
from semivox.testing.synthetic import random_batch, tiny, tiny_at


@pytest.mark.parametrize(
    "settings",
    [
        {"view": "inpaint"}, {"view": "local_shuffle"}, {"view": "none"}, {"projection": False},
        {"use_sdm_in_contrast": False}, {"exclude_window": 2}, {"dropout": 0.1}, {"temperature": 0.1},
    ],
)  # fmt: skip
def test_every_ablation_of_simcvd_runs_and_changes_its_terms(settings: Mapping[str, Any]) -> None:
    method, facts = tiny(SimCVD)
    other, _ = tiny(SimCVD, **settings)
    data = random_batch(method, facts)
    before, after = method.step(data, tiny_at(method, facts)), other.step(data, tiny_at(other, facts))
    assert all(bool(torch.isfinite(term.value)) for term in after.values())
    assert any(not torch.equal(before[t].value, after[t].value) for t in before)


def test_dropout_makes_simcvds_views_differ() -> None:
    """Equal weights and inputs: without dropout the two views are one, with it they are not."""
    for view, same in (("none", True), ("dropout", False)):
        method, facts = tiny(SimCVD, view=view)
        data = random_batch(method, facts)
        x = data["unlabeled"].views["weak"]
        one = method.student(x, drop=method._dropout(tiny_at(method, facts), "student"), norm="batch")
        two = method.teacher(x, drop=method._dropout(tiny_at(method, facts), "teacher"), norm="batch")
        assert torch.equal(one.logits, two.logits) is same
