"""What the networks of a run begin with, by what ``--init`` says: a run, the package's weights, or none."""

from __future__ import annotations

from pathlib import Path

from semivox.errors import SettingsError
from semivox.prepare import NetworkPlan
from semivox.pretrained.generated import generated_weights

GENERATED, SCRATCH, WHERE_THERE_ARE = "generated", "scratch", "auto"
"""Values of ``--init`` that are no run: the package's weights, random ones, and the former where the package
has some for the network."""


def is_run(init: str | None) -> bool:
    """Whether ``init`` is the path of a run."""
    return init is not None and init not in (GENERATED, SCRATCH, WHERE_THERE_ARE)


def beginning(init: str | None, network: NetworkPlan) -> Path | None:
    """The folder whose model such a network begins with; None: random weights.

    Raises SettingsError where the package's weights are asked for and it has none for this network.
    """
    if init is None or init == SCRATCH:
        return None
    if is_run(init):
        return Path(init)
    folder = generated_weights(network)
    if folder is None and init == GENERATED:
        raise SettingsError(
            "there are no generated weights for this network",
            found=f"{len(network.kernels[0])}D, {network.kind}, {network.norm} normalisation",
            expected="a 3D U-Net of the planner's features that normalises each sample",
            remedy="of 3D scans --set plan.network.kind=unet makes it one; else leave out --init",
        )
    return folder
