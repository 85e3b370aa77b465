"""The package's weights: which network takes which, that they are whole, and how much room they need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from semivox.errors import SettingsError
from semivox.inference import load_network
from semivox.inference.weights import load_networks, read_card
from semivox.networks import build_network, fitting_weights
from semivox.prepare import NetworkPlan
from semivox.prepare.architecture import choose_network
from semivox.pretrained import GENERATED, SCRATCH, WHERE_THERE_ARE, beginning, generated_weights, is_run
from semivox.pretrained.generated import FEATURES, FOLDER
from semivox.randomness import Key

FOLDERS = sorted(path for path in FOLDER.iterdir() if (path / "model.json").is_file())
CUBES = choose_network((32, 32, 32), (1.0, 1.0, 1.0), "unet")
THICK = choose_network((64, 64, 10), (1.5, 1.5, 8.0))
BIG = choose_network((96, 96, 64), (1.0, 1.0, 1.0), "unet")
PLANE = choose_network((96, 96), (1.0, 1.0))
VNET = choose_network((64, 64, 48), (1.0, 1.0, 1.0))
NARROW = replace(CUBES, features=(8, *CUBES.features[1:]))
BATCH = replace(CUBES, norm="batch")


def test_they_need_less_than_twelve_megabytes() -> None:
    assert FOLDERS
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 12e6


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_is_whole_and_told_in_the_card(folder: Path) -> None:
    card = read_card(folder)
    (network,) = load_networks(folder, card=card).values()
    assert all(weight.isfinite().all() for weight in network.state_dict().values())
    assert {path.name for path in folder.iterdir()} == {"model.json", "model.safetensors"}
    assert card["steps"] > 1000
    assert tuple(card["plan"]["network"]["features"]) == FEATURES[folder.name]
    assert card.get("training") is None
    told = (FOLDER / "CARD.md").read_text(encoding="utf-8")
    assert f"`{folder.name}`" in told
    assert card["model_id"] in told


@pytest.mark.parametrize("network", [CUBES, THICK, BIG])
def test_a_network_takes_all_but_its_heads_and_what_lies_deeper(network: NetworkPlan) -> None:
    folder = generated_weights(network)
    assert folder == FOLDER / "unet3d"
    (given,) = load_networks(folder).values()
    for channels in (1, 3):
        own = build_network(network, channels, 4, Key(0))
        before = own.state_dict()
        fitted = fitting_weights(given.state_dict(), own)
        levels = len(read_card(folder)["plan"]["network"]["features"])
        left = [name.split(".") for name in before if name not in fitted and not name.startswith("head.")]
        assert all(part in ("encoders", "ups", "decoders") for _, part, *_ in left)
        assert all(int(level) >= levels - (part != "encoders") for _, part, level, *_ in left)
        load_network(folder, own, fresh_heads=True)
        assert all(torch.equal(own.state_dict()[name], weight) for name, weight in fitted.items())


@pytest.mark.parametrize("network", [VNET, BATCH, PLANE, NARROW])
def test_networks_without_weights_are_told(network: NetworkPlan) -> None:
    assert generated_weights(network) is None
    assert beginning(WHERE_THERE_ARE, network) is None
    with pytest.raises(SettingsError, match=r"no generated weights.*found.*plan.network.kind=unet"):
        beginning(GENERATED, network)


def test_what_a_run_begins_with() -> None:
    assert beginning(None, CUBES) is beginning(SCRATCH, CUBES) is None
    assert beginning(GENERATED, CUBES) == beginning(WHERE_THERE_ARE, CUBES) == FOLDER / "unet3d"
    assert beginning("runs/first", CUBES) == Path("runs/first")
    assert beginning("./generated", CUBES) == Path("generated")
    assert not any(map(is_run, (None, GENERATED, SCRATCH, WHERE_THERE_ARE)))
    assert is_run("./generated")
