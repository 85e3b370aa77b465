"""URPC: every scale learns."""

from __future__ import annotations

from semivox.methods.urpc import URPC
from semivox.testing.synthetic import random_batch, tiny, tiny_at


def test_urpcs_scales_are_all_trained_on_labels() -> None:
    method, facts = tiny(URPC)
    loss = method.step(random_batch(method, facts), tiny_at(method, facts))["segmentation"].value
    loss.backward()
    heads = [p for n, p in method.student.named_parameters() if "scale_heads" in n]
    assert heads
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in heads)
