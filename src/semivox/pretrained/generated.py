"""Which of the package's weights fit a network."""

from __future__ import annotations

from pathlib import Path

from semivox.prepare import NetworkPlan

FOLDER = Path(__file__).parent


def generated_weights(network: NetworkPlan) -> Path | None:
    """The folder (``model.json``, ``model.safetensors``) of the weights that such a network can begin with,
    as its :func:`semivox.inference.load_network` takes them with fresh heads; None where there are none.

    They are of U-Nets that normalise each sample.
    """
    folder = FOLDER / f"unet{len(network.kernels[0])}d"
    fits = (network.kind, network.norm) == ("unet", "instance") and folder.is_dir()
    return folder if fits else None
