"""Weights of a finished run as the beginning of a new one (``train --init``)."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from semivox.errors import DataError
from semivox.inference.weights import load_networks, read_card
from semivox.networks import describe, fitting_weights

OWN = {"sdm", "dropout", "scales"}
"""What the networks may differ in: parts that one of them lacks keep the weights they have."""
FITTED = {"classes", "channels", "kernels", "strides"}
"""What they may also differ in where the heads begin anew: weights are fitted to it."""


def load_network(run: Path, network: nn.Module, fresh_heads: bool = False) -> None:
    """Give ``network`` the weights that the run's predictor has (of several, the first).

    Parts that the run's network lacks (a distance head) keep their own, and with ``fresh_heads`` all heads
    do, whatever the classes; then channels, kernels, strides and depth may differ, too
    (:func:`semivox.networks.fitting_weights`). Raises DataError where the architectures differ otherwise.
    """
    card = read_card(run)
    (trained,) = load_networks(run, card["predictor"][:1], card=card).values()
    own, other = describe(network), describe(trained)
    if fresh_heads:  # the levels that both have
        levels = min(len(own["features"]), len(other["features"]))
        own["features"], other["features"] = own["features"][:levels], other["features"][:levels]
    free = OWN | FITTED if fresh_heads else OWN
    differing = {k: (other.get(k), own[k]) for k in own if k not in free and other.get(k) != own[k]}
    if differing:
        found, expected = ({k: v[i] for k, v in differing.items()} for i in (0, 1))
        raise DataError(
            "the run to start from has another network",
            path=run,
            found=found,
            expected=expected,
            remedy=f"train with its plan: --plan {run / 'plan.json'}",
        )
    kept, given = network.state_dict(), trained.state_dict()
    taken = fitting_weights(given, network) if fresh_heads else {k: v for k, v in given.items() if k in kept}
    network.load_state_dict({**kept, **taken})
