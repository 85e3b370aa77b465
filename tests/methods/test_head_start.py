"""New heads learn before they count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from semivox.methods.catalog import load_method
from semivox.testing.synthetic import random_batch, tiny, tiny_at
from semivox.training.gradient_shares import gradient_shares

HEADS: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "self_ensembling": (
        "projection",
        ("contrast", "contrast_region"),
        {"threshold": 0.0, "sampling": "both"},
    ),
    "cvrl": ("heads", ("volume", "voxel_high"), {}),
    "pseudo_contrast": ("projection", ("contrast",), {}),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_network_feels_a_new_head_after_a_tenth_of_the_stage(name: str) -> None:
    head, terms, settings = HEADS[name]
    method, facts = tiny(load_method(name), **settings)
    stages = method.stages(facts)
    index = next(i for i, s in enumerate(stages) if head in s.players[0].modules)
    at = tiny_at(method, facts, index)

    def felt(by: str, stage_progress: float) -> list[bool]:
        found = method.step(random_batch(method, facts, index), replace(at, stage_progress=stage_progress))
        moved = [p for p in getattr(method, by).parameters() if p.requires_grad]
        only = {n: t for n, t in found.items() if n in terms}
        assert set(only) == set(terms)
        return [gradient_shares({n: t}, {"segmenter": moved})[n] > 0 for n, t in only.items()]

    assert not any(felt("student", 0.05))
    assert all(felt(head, 0.05))
    assert all(felt("student", 0.15))
