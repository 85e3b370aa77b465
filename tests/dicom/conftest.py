"""A run whose network is untrained: what it predicts is of no use, but it is a mask."""

from __future__ import annotations

from pathlib import Path

import pytest

from semivox.cohort import Cohort
from semivox.inference import export_model
from semivox.networks import build_network
from semivox.prepare.plan import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one channel and two classes, 1 with a code and 3 without, on planes like those of made series."""
    run = tmp_path_factory.mktemp("run")
    network = NetworkPlan("unet", (4, 4), ((3,) * 3,) * 2, ((2,) * 3,))
    spacing = (0.7, 0.8, 2.5)
    plan = Plan(
        3, (0, 1, 2), spacing, spacing, True, 1.0, (8,) * 3, (8,) * 3, (2, 2), network,
        (ChannelPlan("CT", "zscore"),), (ClassPlan(1, "liver", 9, 1.0), ClassPlan(3, "lesion", 9, 1.0)),
        None, 1.0, None, (),
    )  # fmt: skip
    cohort = Cohort(
        run,
        (),
        ("CT",),
        {1: "liver", 3: "lesion"},
        codes={"liver": "10200004"},
        colours={"lesion": "#ff0033"},
    )
    net = build_network(network, 1, 3, Key(1))
    export_model(run, {"teacher": net}, ["teacher"], plan, cohort, method="ua_mt", steps=1, seed=0)
    return run
