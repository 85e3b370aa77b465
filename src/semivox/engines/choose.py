"""``--on ENGINE``: from a word to an engine."""

from __future__ import annotations

import re
from pathlib import Path

from semivox.engines.engine import Engine
from semivox.engines.task import Needs, Tell
from semivox.errors import SettingsError
from semivox.machine import cpus

ENGINES = ("local[:WORKERS]", "ray[:ADDRESS]", "slurm[:PARTITION]")
MOST_WORKERS = 256


def is_here(on: str | None) -> bool:
    """Whether this process itself does everything."""
    return on is None or on == "local"


def known_engine(on: str | None) -> tuple[str, str]:
    """Name and place of ``--on``. Raises SettingsError for a word that is no engine."""
    name, _, place = (on or "local").partition(":")
    if name == "local":
        if is_here(on) or (place.isascii() and place.isdigit() and 1 <= int(place[:9]) <= MOST_WORKERS):
            return name, place
        raise SettingsError(
            "no such number of workers",
            found=f"--on {on}",
            expected=f"1 to {MOST_WORKERS}",
            remedy=f"--on local:{cpus()}",
        )
    if name == "ray" or on == "slurm" or (name == "slurm" and re.fullmatch(r"[\w.][\w.,-]*", place)):
        return name, place
    raise SettingsError("no such engine", found=f"--on {on}", expected=" or ".join(ENGINES))


def engine_on(on: str, needs: Needs, tell: Tell, folder: Path) -> Engine:
    """The engine of ``--on``: ``local:WORKERS`` processes here, ``ray`` with the address of a running
    cluster, or ``slurm`` with a partition. ``tell`` hears what tasks say, where the engine carries it;
    ``folder``, which all machines see, is for what an engine writes down.

    Raises SettingsError for another word, or where the engine's package lacks or nobody answers.
    """
    name, place = known_engine(on)
    if name == "ray":
        from semivox.engines.on_ray import OnRay

        return OnRay(place or None, needs, tell)
    if name == "slurm":
        from semivox.engines.on_slurm import OnSlurm

        return OnSlurm(place or None, needs, tell, folder)
    from semivox.engines.local import Local

    return Local(int(place or 1), tell)
