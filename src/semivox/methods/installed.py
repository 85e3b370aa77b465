"""Methods that other installed packages bring, by entry points of the group ``semivox.methods``::

    [project.entry-points."semivox.methods"]
    mcnet = "mcnet_semivox:MCNet"

Only the packages' records are read; their code is imported when the method is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from semivox.errors import SettingsError
from semivox.methods.loading import load_class

if TYPE_CHECKING:
    from semivox.methods.declare import Method

GROUP = "semivox.methods"


@dataclass(frozen=True, order=True)
class Installed:
    """``name`` stands for the class at ``where``, module:Class, of the distribution ``package``."""

    name: str
    where: str
    package: str


def installed() -> tuple[Installed, ...]:
    """All of them, by name. Two packages may bring one name."""
    from importlib.metadata import entry_points

    found = {
        # what stands in brackets after the class are extras, which say nothing about the class
        (point.name, point.value.partition("[")[0].replace(" ", "")): point.dist.name if point.dist else "?"
        for point in entry_points(group=GROUP)
    }
    return tuple(sorted(Installed(name, where, package) for (name, where), package in found.items()))


def is_preset(name: str, preset: str) -> bool:
    """Whether NAME:PRESET can be a preset of an installed method: it brings NAME, and NAME:PRESET is not its
    module:Class."""
    places = [found.where for found in installed() if found.name == name] if name else []
    return bool(places) and f"{name}:{preset}" not in places


def package_of(name: str) -> str | None:
    """The distribution that brings the method called ``name`` (or module:Class); None where none does."""
    return next((found.package for found in installed() if name in (found.name, found.where)), None)


def load_installed(name: str) -> type[Method] | None:
    """The class that an installed package calls ``name``; None where no package does.

    Raises SettingsError, which names the package, where several do or the class cannot be used.
    """
    offers = [found for found in installed() if found.name == name]
    if not offers:
        return None
    if len(offers) > 1:
        raise SettingsError(
            f"several installed packages bring a method {name!r}",
            found=", ".join(sorted(found.package for found in offers)),
            remedy=f"write {' or '.join(found.where for found in offers)}",
        )
    try:
        return load_class(offers[0].where)
    except SettingsError as error:
        raise SettingsError(
            f"the method {name!r} of the installed package {offers[0].package!r} cannot be used",
            found=str(error).partition(". Remedy:")[0],
            remedy="update or remove the package",
        ) from error
