"""What the command line shows and hears: tables, bars, and signals that ask it to stop."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from semivox.errors import Stopped


def show(content: Any) -> None:
    """Print a dict as JSON, anything else as rich does."""
    if isinstance(content, dict):
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    if not console.is_terminal:  # a pipe has no width: do not break tables at 80 columns
        console = Console(width=160)
    console.print(content)


def case_line(done: int, total: int, row: Any) -> None:
    """One predicted case, told on stderr."""
    note = "" if row.flag == "ok" else f"  {row.flag}: {row.reason}"
    print(f"{done}/{total} {row.case} {row.seconds or 0:.1f} s{note}", file=sys.stderr, flush=True)


class ProgressBar:
    """``with ProgressBar("check") as bar``: call ``bar(done, total)``. A bar on a terminal, else nothing."""

    def __init__(self, what: str, quiet: bool = False) -> None:
        self.what, self.quiet = what, quiet

    def __enter__(self) -> Callable[[int, int], None]:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self.progress = Progress(
            console=console, transient=True, disable=self.quiet or not console.is_terminal
        )
        self.progress.start()
        task = self.progress.add_task(self.what)
        return lambda done, total: self.progress.update(task, completed=done, total=total)

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()


@contextlib.contextmanager
def stoppable(go_on: str) -> Iterator[None]:
    """A signal ends in Stopped, with ``go_on`` as its remedy; while a run takes steps its loop listens."""

    def stop(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt(signal.Signals(number).name)

    names = [name for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(f"stopped by {error}", remedy=go_on) from None
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
