"""Whose gradient moves a player."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from semivox.methods import Term
from semivox.methods.catalog import load_method
from semivox.testing.synthetic import random_batch, tiny, tiny_at
from semivox.training.gradient_shares import gradient_shares
from semivox.training.optimizers import parameters_of


def test_shares_are_those_of_gradients_worked_out_by_hand() -> None:
    a, b = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor(3.0))
    terms = {
        "task": Term((a * torch.tensor([3.0, 4.0])).sum()),  # gradient (3, 4): norm 5
        "both": Term(a[0] * b, 2.0),  # in a: 2 x (3, 0): norm 6
        "off": Term((a * 1000).sum(), 0.0),
        "fixed": Term(torch.tensor(7.0)),
        "judge": Term(b.square(), 1.0, "critic"),
    }
    found = gradient_shares(terms, {"segmenter": [a], "critic": [b]})
    assert found == pytest.approx({"task": 5 / 11, "both": 6 / 11, "off": 0, "fixed": 0, "judge": 1})
    assert a.grad is None
    assert b.grad is None


@pytest.mark.parametrize("name", ["simcvd", "cvrl", "duo_segnet", "urpc"])
def test_shares_equal_a_backward_of_each_term_and_change_no_gradient(name: str) -> None:
    def step() -> tuple[dict[str, Term], dict[str, list[nn.Parameter]]]:
        method, facts = tiny(load_method(name))  # anew: a queue remembers
        terms = method.step(random_batch(method, facts), tiny_at(method, facts))
        return terms, {p.name: parameters_of(method, p) for p in method.stages(facts)[0].players}

    norms: dict[str, float] = {}
    for term_name in step()[0]:
        terms, players = step()
        term, moved = terms[term_name], players[terms[term_name].player]
        (term.weight * term.value).backward(inputs=moved)
        norms[term_name] = math.sqrt(sum(float(p.grad.square().sum()) for p in moved if p.grad is not None))
    terms, players = step()
    found = gradient_shares(terms, players)
    for term_name, term in terms.items():
        of_player = sum(norms[n] for n, t in terms.items() if t.player == term.player)
        assert found[term_name] == pytest.approx(norms[term_name] / of_player, rel=1e-3, abs=1e-6)
    assert all(p.grad is None for moved in players.values() for p in moved)
