"""Which of the package's weights fit a network."""

from __future__ import annotations

from pathlib import Path

from semivox.prepare import NetworkPlan

FOLDER = Path(__file__).parent
FEATURES = {"unet3d": (16, 32, 64, 128)}
"""Folder -> features of its network, which normalises each sample, from full resolution down."""


def generated_weights(network: NetworkPlan) -> Path | None:
    """The folder (``model.json``, ``model.safetensors``) of the weights that such a network can begin with,
    as its :func:`semivox.inference.load_network` takes them with fresh heads; None where there are none.
    """
    name = f"{network.kind}{len(network.kernels[0])}d"
    features = FEATURES.get(name, ())
    shared = min(len(features), len(network.features))
    fits = shared > 0 and network.norm == "instance" and network.features[:shared] == features[:shared]
    return FOLDER / name if fits else None
