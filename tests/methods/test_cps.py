"""CPS: two networks teach each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from semivox.batches import boxes
from semivox.methods.cps import CPS
from semivox.testing.synthetic import random_batch, tiny, tiny_at

BENCHMARK: dict[str, Any] = dict(CPS.presets["ssl4mis"])


def test_cps_networks_differ_and_learn_from_each_other() -> None:
    method, facts = tiny(CPS, dropout=0.0, **BENCHMARK)
    pairs = zip(method.student.parameters(), method.second.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
    data = random_batch(method, facts)
    terms = method.step(data, tiny_at(method, facts))
    x = torch.cat([data["labeled"].views["weak"], data["unlabeled"].views["weak"]])
    one, two = (net(x, norm="batch").logits[2:].detach() for net in (method.student, method.second))
    expected = torch.nn.functional.cross_entropy(one, two.argmax(1))
    assert terms["cross"].value.item() == pytest.approx(expected.item(), rel=1e-5)
    weights = [method.step(data, tiny_at(method, facts, progress=p))["cross"].weight for p in (0.0, 0.5, 1.0)]
    assert weights[0] < weights[1] < weights[2] == 0.1


def test_a_box_of_the_other_crop_moves_with_its_teachers_label() -> None:
    """The student's image of crop 0 is crop 0 but for a box of crop 1; so is what it is told to say."""
    method, facts = tiny(CPS, dropout=0.0)
    data, at = random_batch(method, facts), tiny_at(method, facts)
    x = data["unlabeled"].views["weak"]
    seen: list[torch.Tensor] = []
    method.student.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    terms = method.step(data, at)
    whole, mixed = seen[0], seen[1][2:]
    assert torch.equal(whole, x)
    inside = boxes(x, at.rng("box"), 0.5)
    for own, other in ((0, 1), (1, 0)):
        assert torch.equal(mixed[own], torch.where(inside[own] > 0, x[other], x[own]))
    with torch.no_grad():
        told = method.second(x, norm="batch").logits.argmax(1, keepdim=True)
        told = torch.where(inside > 0, told.flip(0), told)[:, 0]
        said = method.student(torch.cat([data["labeled"].views["weak"], mixed]), norm="batch").logits[2:]
    expected = torch.nn.functional.cross_entropy(said, told)
    assert terms["cross"].value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert terms["cross"].weight == 1.5
