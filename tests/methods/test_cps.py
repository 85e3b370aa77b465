"""CPS: two networks teach each other."""

from __future__ import annotations

import pytest
import torch

from semivox.methods.cps import CPS
from semivox.testing.synthetic import random_batch, tiny, tiny_at


def test_cps_networks_differ_and_learn_from_each_other() -> None:
    method, facts = tiny(CPS, dropout=0.0)
    pairs = zip(method.student.parameters(), method.second.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
    data = random_batch(method, facts)
    terms = method.step(data, tiny_at(method, facts))
    x = torch.cat([data["labeled"].views["weak"], data["unlabeled"].views["weak"]])
    one, two = (net(x, norm="batch").logits[2:].detach() for net in (method.student, method.second))
    expected = torch.nn.functional.cross_entropy(one, two.argmax(1))
    assert terms["cross"].value.item() == pytest.approx(expected.item(), rel=1e-5)
