"""Colours of masks and references are told apart by everybody: distances in OKLab (Ottosson 2020), as seen
with normal sight and with each colour blindness (Machado, Oliveira and Fernandes 2009, severity 1)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from semivox.report.palette import COLOURS, REFERENCES

SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]
    ),
}
LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
LAB = np.array(
    [
        [0.2104542553, 0.793617785, -0.0040720468],
        [1.9779984951, -2.428592205, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.808675766],
    ]
)


def seen(colour: str, sight: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return LAB @ np.cbrt(LMS @ np.clip(SIGHTS[sight] @ linear, 0, 1))


@pytest.mark.parametrize("sight", SIGHTS)
def test_no_two_lines_look_alike(sight: str) -> None:
    for one, two in combinations([*COLOURS, *REFERENCES], 2):
        assert np.linalg.norm(seen(one, sight) - seen(two, sight)) > 0.06, (one, two)


@pytest.mark.parametrize("sight", SIGHTS)
def test_references_are_bright_enough_for_a_black_ground(sight: str) -> None:
    assert min(seen(colour, sight)[0] for colour in REFERENCES) > 0.45
