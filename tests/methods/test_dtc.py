"""DTC: two answers of one network."""

from __future__ import annotations

import pytest
import torch

from semivox.methods.dtc import DTC
from semivox.testing.synthetic import random_batch, tiny, tiny_at


def test_dtc_asks_for_the_literatures_distances() -> None:
    method, facts = tiny(DTC)
    assert method.stages(facts)[0].streams["labeled"].sdm == "crop_minmax"


def test_dtc_compares_its_two_answers() -> None:
    method, facts = tiny(DTC, dropout=0.0, steepness=3.0)
    data = random_batch(method, facts)
    found = method.step(data, tiny_at(method, facts))["consistency"].value.item()
    x = torch.cat([data["labeled"].views["weak"], data["unlabeled"].views["weak"]])
    output = method.student(x, norm="batch")
    gap = 1 / (1 + torch.exp(3.0 * output.sdm)) - output.logits.softmax(1)[:, 1:]
    assert found == pytest.approx(gap.square().mean().item(), rel=1e-5)
