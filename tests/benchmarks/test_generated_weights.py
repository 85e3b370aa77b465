"""Weights for the package: a run's, as they are or apart, in 16 bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from generated_weights import pack
from semivox.inference.weights import load_networks, read_card
from semivox.pretrained.generated import FOLDER


@pytest.mark.parametrize("only", [None, "encoder", "statistics"])
def test_they_are_those_of_the_run_or_a_part_of_them(only: str | None, tmp_path: Path) -> None:
    card = pack(FOLDER / "unet3d", tmp_path / "out", only)
    assert read_card(tmp_path / "out")["model_id"] == card["model_id"]
    (before,), (after,) = load_networks(FOLDER / "unet3d").values(), load_networks(tmp_path / "out").values()
    given, found = before.state_dict(), after.state_dict()
    same = {name for name in given if torch.equal(given[name], found[name])}
    encoder = {name for name in given if name.startswith("trunk.encoders.")}
    if only is None:
        assert same == set(given)
    elif only == "encoder":
        others = {name for name in set(given) - encoder if ".norm." not in name}
        assert encoder <= same
        assert not others & same
    else:
        assert not {name for name in same if given[name].dim() > 1}
        for name, weight in given.items():
            torch.testing.assert_close(weight.flatten().sort().values, found[name].flatten().sort().values)
