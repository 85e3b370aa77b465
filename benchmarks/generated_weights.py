"""From a run on generated scans to the folder of weights that the package has.

    OMP_NUM_THREADS=1 python benchmarks/generated_scans.py scans --scans 3000 --shape 72 72 10 \\
        --spacing 3 3 6.6667 --seed 1
    semivox train scans --out run --method supervised --steps 9000 --threads 1 --set plan.rung=1 \\
        --set "plan.patch=[56,56,8]"
    python benchmarks/generated_weights.py run src/semivox/pretrained/unet3d

OUT gets the predictor's first network, its weights in 16 bits, and its card: what ``--init`` needs of a run
and no more. src/semivox/pretrained/CARD.md has the commands of each folder.

``--only encoder``: all else is random, as a network begins. ``--only statistics``: the numbers of each weight
in a random order. With ``--init OUT --set run.fresh_heads=true`` they tell what the weights are worth apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from semivox.cohort import sha256_file
from semivox.files import write_json
from semivox.inference.export import CARD, WEIGHTS
from semivox.inference.weights import load_networks, read_card
from semivox.networks import build_from_description, describe
from semivox.networks.layers import initialise
from semivox.randomness import Key

LEFT_OUT = {"training", "parent"}
"""What the card says of the scans of one folder, which no other has."""


def pack(run: Path, out: Path, only: str | None = None) -> dict[str, Any]:
    """Write the two files into ``out``, a new folder; returns the card."""
    card = read_card(run)
    role = card["predictor"][0]
    network = load_networks(run, [role], card=card)[role]
    if only is not None:
        network.load_state_dict(apart(network, only))
    network = network.half()
    out.mkdir()
    tensors = {f"{role}.{name}": weight.contiguous() for name, weight in network.state_dict().items()}
    save_file(tensors, out / WEIGHTS, metadata={"format": "pt"})
    (out / WEIGHTS).chmod(0o644)
    card = {name: value for name, value in card.items() if name not in LEFT_OUT}
    card |= {"networks": {role: card["networks"][role]}, "predictor": [role]}
    card["model_id"] = sha256_file(out / WEIGHTS)
    write_json(out / CARD, card)
    return card


def apart(network: nn.Module, only: str) -> dict[str, Tensor]:
    """Its weights, of which only the encoder's, or only the numbers in them, are what they were."""
    given, draw = network.state_dict(), torch.Generator().manual_seed(0)
    if only == "statistics":
        return {
            n: w.flatten()[torch.randperm(w.numel(), generator=draw)].view(w.shape) for n, w in given.items()
        }
    other = build_from_description(describe(network))
    initialise(other, Key(0))
    return {n: given[n] if n.startswith("trunk.encoders.") else w for n, w in other.state_dict().items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=("encoder", "statistics"))
    asked = parser.parse_args()
    pack(asked.run, asked.out, asked.only)
    print(f"{(asked.out / WEIGHTS).stat().st_size / 2**20:.1f} MiB in {asked.out}")


if __name__ == "__main__":
    main()
