"""Weights of a finished run as the beginning of a new one (``train --init``)."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from semivox.errors import DataError
from semivox.inference.model import load_model
from semivox.networks import describe


def load_network(run: Path, network: nn.Module) -> None:
    """Give ``network`` the weights that the run's predictor has (of several, the first).

    Parts that the run's network lacks (a distance head) keep their own. Raises DataError where the
    architectures differ.
    """
    trained = load_model(run, device="cpu", precision="fp32").networks[0]
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
