"""The worked example of the docs: one encoder, two ways up, sharpened answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from semivox.methods.catalog import load_method
from semivox.testing.steps import check_switches, reached
from semivox.testing.synthetic import random_batch, tiny, tiny_at

MCNET = load_method(f"{Path(__file__).resolve().parents[2] / 'docs' / 'examples' / 'mcnet.py'}:MCNet")


@pytest.mark.parametrize("dims", [2, 3])
def test_two_decoders_share_an_encoder_and_differ_on_the_way_up(dims: int) -> None:
    method, facts = tiny(MCNET, dims)
    one, two = method.student.trunk, method.second.trunk
    assert one.encoders is two.encoders
    transposed = (torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)
    assert [sum(isinstance(m, transposed) for m in trunk.modules()) for trunk in (one, two)] == [2, 0]
    data, at = random_batch(method, facts), tiny_at(method, facts)
    x = data["unlabeled"].views["weak"]
    first, second = (net(x, drop=at.rng("dropout"), norm="batch") for net in (method.student, method.second))
    dropped = "bottleneck_dropped"
    assert torch.equal(first.features[dropped], second.features[dropped])
    assert not torch.equal(first.logits, second.logits)
    terms = method.step(data, at)
    assert "student" in reached(method, terms["segmentation_second"].value)  # the encoder


def test_sharpening_is_its_formula() -> None:
    method, facts = tiny(MCNET, classes=2, dropout=0.0, temperature=0.5)
    data = random_batch(method, facts)
    found = method.step(data, tiny_at(method, facts))["consistency"].value.item()
    x = torch.cat([data["labeled"].views["weak"], data["unlabeled"].views["weak"]])
    p, q = (net(x, norm="batch").logits.softmax(1)[:, 1] for net in (method.student, method.second))
    sharp = q**2 / (q**2 + (1 - q) ** 2)
    assert found == pytest.approx(functional.mse_loss(p, sharp).item(), rel=1e-4)


def test_weights_drop_their_terms() -> None:
    dropped = {name: terms for name, terms in check_switches(MCNET).items() if terms}
    assert dropped == {
        "segmentation": {"segmentation", "segmentation_second"},
        "consistency": {"consistency", "consistency_second"},
    }
