"""Whose gradient moves a player: the share that each term of the loss has in it.

A term whose gradient is a thousandth of the task's does nothing, whatever its value; one that is as large as
the task's and says nothing about it does harm. Neither shows in a loss curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from semivox.methods import Term


def gradient_shares(
    terms: Mapping[str, Term], players: Mapping[str, Sequence[nn.Parameter]]
) -> dict[str, float]:
    """Of each term the norm of its weighted gradient in its player's parameters, over the sum of these norms.

    0 for a term that is dropped or reaches nothing. The graph is kept, no gradient is stored.
    """
    norms = {name: _norm(term, players.get(term.player, ())) for name, term in terms.items()}
    total = {
        player: sum(norms[n] for n, term in terms.items() if term.player == player) for player in players
    }
    return {name: norm / (total.get(terms[name].player) or 1.0) for name, norm in norms.items()}


def _norm(term: Term, parameters: Sequence[nn.Parameter]) -> float:
    if not parameters or term.weight == 0 or not term.value.requires_grad:
        return 0.0
    found = torch.autograd.grad(
        term.weight * term.value, list(parameters), retain_graph=True, allow_unused=True
    )
    squares: list[Tensor] = [gradient.float().square().sum() for gradient in found if gradient is not None]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0
