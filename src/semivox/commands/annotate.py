"""``semivox annotate``: a page to look at masks, correct them, and train again."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from semivox.duration import parse_duration
from semivox.options import Command, Flag, Positional, from_options

PORT = 8765
TOKEN = "SEMIVOX_TOKEN"
BUDGET = "20m"


@dataclass(frozen=True)
class AnnotateOptions:
    """What is looked at, and where the page is."""

    run: Annotated[str | Path, Positional("RUN")]
    """Folder that ``train`` wrote: its masks are what is corrected."""
    data: Annotated[str | Path, Positional("DATA", data=True)]
    """A data folder. Labels are written into it; what they replace is kept in ``DATA/annotations``, with a
    book of every edit."""
    port: Annotated[int, Flag("N", default=f"{PORT}")] = PORT
    """Where the page is; 0: any port that is free."""
    host: Annotated[str | None, Flag("ADDRESS", default="this computer alone")] = None
    """Another address to listen at. The page then asks for a token, which stands in the address that is
    shown, or is the environment's ``SEMIVOX_TOKEN``. Nothing is encrypted: use it in a closed network, or
    through ``ssh -L``."""
    reader: Annotated[str | None, Flag("NAME", default="your name on this computer")] = None
    """Whose edits they are, until the page is told another name."""
    budget: Annotated[
        str | float | None, Flag("T", default=BUDGET, parse=parse_duration, one_of="steps or budget")
    ] = None
    """How long ``Train again`` trains, such as 30m."""
    steps: Annotated[int | None, Flag("N", one_of="steps or budget")] = None
    """The same in steps."""
    device: Annotated[str, Flag("D")] = "auto"
    """cpu, cuda, or auto: cuda where there is one."""
    threads: Annotated[int | None, Flag("N", default="all")] = None
    """CPU threads."""
    ready: Callable[[str, str], None] | None = None
    """Called as soon as the page is there, with its address and with the one for 3D Slicer."""
    until: Callable[[], bool] | None = None
    """Asked now and then whether to end; without it a signal ends the server."""


@from_options(AnnotateOptions)
def annotate(options: AnnotateOptions) -> None:
    """Serve a page on which the masks of a run are looked at and corrected, and wait.

    Raises
    ------
    DataError
        No model in ``run``, ``data`` is of another task, or labels cannot be written there.
    SettingsError
        The extra ``semivox[annotate]`` is not installed, or the address is taken.
    """
    from semivox.annotating import Desk, Length, listening, serve, server_packages

    server_packages()
    listens, address = listening(options.host or "127.0.0.1", options.port, os.environ.get(TOKEN))
    try:
        desk = Desk(Path(options.run), Path(options.data), options.device, options.threads)
    except BaseException:
        listens.close()
        raise
    budget = None if options.steps is not None else str(BUDGET if options.budget is None else options.budget)
    length = Length(budget, options.steps, options.device, options.threads)
    with serve(desk, listens, address, length, options.reader or _user()):
        if options.ready is not None:
            options.ready(address.url, address.program_url)
        while options.until is None or not options.until():
            time.sleep(0.2)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without names
        return "reader"


def main(given: AnnotateOptions) -> int:
    """Serve, and tell where; Ctrl-C ends it."""

    def tell(url: str, program: str) -> None:
        slicer = "" if program in url else f"3D Slicer's server: {program}\n"
        print(f"open {url}\n{slicer}Ctrl-C ends it; every saved label stays", flush=True)

    annotate.of(replace(given, ready=tell))
    return 0


COMMAND = Command(
    AnnotateOptions, main, ("semivox annotate run my_scans", "semivox annotate run my_scans --port 0")
)
