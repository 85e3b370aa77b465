"""Which mirror images a run learns from: none that would exchange left and right classes."""

from __future__ import annotations

from dataclasses import replace

from semivox.errors import SettingsError
from semivox.prepare import Plan, Store
from semivox.prepare.sides import exchanged
from semivox.training.config import Config
from semivox.training.display import Display

SCANS = 20
"""At most so many labelled scans are asked."""


def without_exchanges(config: Config, store: Store, plan: Plan, display: Display) -> Config:
    """``config`` without the flips that would make a labelled class another one, told in one line.

    As it is where the flips were chosen (``augmentation.flip_axes``), or none of them exchanges anything.
    Raises SettingsError for flips along an axis that the scans do not have.
    """
    augmentation = config.augmentation
    if max(augmentation.flip_axes or (0,)) >= plan.dims:
        raise SettingsError(
            "augmentation.flip_axes names an axis that these scans do not have",
            found=list(augmentation.flip_axes or ()),
            expected=f"working axes below {plan.dims}",
        )
    if augmentation.flip_axes is not None or not augmentation.enabled:
        return config
    cases = [store.case(index) for index in store.labeled[:SCANS]]
    sideways = plan.axes.index(0)  # of files that do not tell, and pictures, the axis that is drawn so
    names = [c.name for c in plan.classes]
    found = exchanged(cases, names, augmentation.mirror_axes, sideways)
    if not found:
        return config
    kept = tuple(axis for axis in augmentation.mirror_axes if axis not in found)
    for axis, which in found.items():
        display.say(
            f"augmentation: no flips along working axis {axis}, which would exchange {which} "
            f"(override: --set augmentation.flip_axes={list(augmentation.mirror_axes)})"
        )
    return replace(config, augmentation=replace(augmentation, flip_axes=kept))
