"""Weights of a finished run as the beginning of a new one (``train --init``)."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from semivox.errors import DataError
from semivox.inference.weights import load_networks, read_card
from semivox.networks import describe


def load_network(run: Path, network: nn.Module) -> None:
    """Give ``network`` the weights that the run's predictor has (of several, the first).

    Parts that the run's network lacks (a distance head) keep their own. Raises DataError where the
    architectures differ.
    """
    card = read_card(run)
    (trained,) = load_networks(run, card["predictor"][:1], card=card).values()
    own, other = describe(network), describe(trained)
    differing = {
        k: (other.get(k), own[k])
        for k in own
        if k not in ("sdm", "dropout", "scales") and other.get(k) != own[k]
    }
    if differing:
        found, expected = ({k: v[i] for k, v in differing.items()} for i in (0, 1))
        raise DataError(
            "the run to start from has another network",
            path=run,
            found=found,
            expected=expected,
            remedy=f"train with its plan: --plan {run / 'plan.json'}",
        )
    network.load_state_dict(
        {
            **network.state_dict(),
            **{k: v for k, v in trained.state_dict().items() if k in network.state_dict()},
        }
    )
