"""What all scans of a folder have in common: as a caller gives it, and checked, in plain numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from semivox.errors import SettingsError
from semivox.machine import case_bytes
from semivox.pretraining.anatomy import Grid

LEAST_SIDE = 4
EDGES = (1e-6, 1e6)
"""Shortest and longest edge of a voxel, in mm."""
VOXEL_BYTES, CHANNEL_BYTES = 120, 10
"""Memory at most of a rendered voxel, and of each channel of a voxel beside it, while a scan is made."""


@dataclass(frozen=True)
class Recipe:
    """What all scans of a folder have in common."""

    seed: int
    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None = None
    channels: int = 1

    @property
    def ending(self) -> str:
        return ".png" if len(self.shape) == 2 and self.spacing is None else ".nii.gz"

    def checked(self) -> Recipe:
        """The same in Python's own numbers, whatever gave them; SettingsError for what cannot be made."""
        shape = self.shape_given()
        spacing = None if self.spacing is None else spacing_of(self.spacing, len(shape))
        channels = whole("number of channels", self.channels, 1)
        made = replace(self, seed=whole("seed", self.seed), shape=shape, spacing=spacing, channels=channels)
        made.check_memory()
        return made

    def shape_given(self) -> tuple[int, ...]:
        expected = f"2 or 3 whole numbers, each {LEAST_SIDE} or more"
        given = listed(self.shape)
        if given is None or len(given) not in (2, 3):
            raise SettingsError("no such shape", found=repr(self.shape), expected=expected)
        try:
            sides = tuple(map(index, given))
        except TypeError:
            raise SettingsError("no such shape", found=repr(self.shape), expected=expected) from None
        if min(sides) < LEAST_SIDE:
            raise SettingsError("no such shape", found=" ".join(map(str, sides)), expected=expected)
        return sides

    def check_memory(self) -> None:
        """Raise SettingsError where making one scan takes more than a scan may take."""
        rendered = math.prod(Grid.of(self.shape, self.spacing).rendered)
        needed = VOXEL_BYTES * rendered + CHANNEL_BYTES * self.channels * math.prod(self.shape)
        if needed > (limit := case_bytes()):
            raise SettingsError(
                "the scans are larger than the memory that is free for one",
                found=f"{' x '.join(map(str, self.shape))} voxels, {self.channels} channel(s): about "
                f"{needed / 2**30:.3g} GiB while one is made",
                expected=f"at most {limit / 2**30:.3g} GiB",
                remedy="make smaller ones, free memory, or allow more with SEMIVOX_CASE_MEMORY=24GiB",
            )


def spacing_of(given: Any, dims: int) -> tuple[float, ...]:
    least, most = EDGES
    edges = listed(given)
    if (
        edges is None
        or len(edges) != dims
        or not all(
            isinstance(e, Real) and not isinstance(e, bool) and least <= float(e) <= most for e in edges
        )
    ):
        raise SettingsError(
            "the spacing does not fit the shape",
            found=repr(given),
            expected=f"{dims} numbers of {least:g} to {most:g} mm, one along each axis",
            remedy="where lengths are not known, leave it out",
        )
    return tuple(map(float, edges))


def whole(name: str, given: Any, least: int | None = None, most: int | None = None) -> int:
    """``given`` in Python's own kind. Raises SettingsError for what is no whole number from ``least`` to
    ``most``."""
    lower, upper = -math.inf if least is None else least, math.inf if most is None else most
    try:
        number = index(given)
    except TypeError:
        number = None
    if number is None or not lower <= number <= upper:
        bounds = "" if least is None else f", {least} or more" if most is None else f" from {least} to {most}"
        raise SettingsError(f"no such {name}", found=repr(given), expected=f"a whole number{bounds}")
    return number


def index(given: Any) -> int:
    """A whole number of any library in Python's own kind; TypeError for all else, True and False too."""
    if isinstance(given, bool):
        raise TypeError("no number")
    return operator.index(given)


def listed(given: Any) -> Sequence[Any] | None:
    """What is given in an order, such as a tuple or an array; None for anything else."""
    if isinstance(given, str | bytes | Mapping | Set) or not isinstance(given, Iterable):
        return None
    try:
        return tuple(given)
    except TypeError:  # an array of no axis
        return None
