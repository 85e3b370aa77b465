"""Weights of a finished run as the beginning of a new one (``train --init``)."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from semivox.errors import DataError
from semivox.inference.weights import load_networks, read_card
from semivox.networks import describe

OWN = {"sdm", "dropout", "scales"}
"""What the networks may differ in: parts that one of them lacks keep the weights they have."""

HEADS = ("head.", "sdm_head.", "scale_heads.")
"""Beginnings of the names of what turns features into classes."""


def load_network(run: Path, network: nn.Module, fresh_heads: bool = False) -> None:
    """Give ``network`` the weights that the run's predictor has (of several, the first).

    Parts that the run's network lacks (a distance head) keep their own, and with ``fresh_heads`` all heads
    do, whatever the classes. Raises DataError where the architectures differ.
    """
    card = read_card(run)
    (trained,) = load_networks(run, card["predictor"][:1], card=card).values()
    own, other = describe(network), describe(trained)
    free = OWN | {"classes"} if fresh_heads else OWN
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
    kept = network.state_dict()
    taken = {k: v for k, v in trained.state_dict().items() if k in kept}
    if fresh_heads:
        taken = {k: v for k, v in taken.items() if not k.startswith(HEADS)}
    network.load_state_dict({**kept, **taken})
