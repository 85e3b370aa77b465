"""Numbered tries in a child process that may die or hang over any of them: a new one goes on after it."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any


def outcomes(
    command: Callable[[int], Sequence[str]], first: int, last: int, patience_s: float
) -> Iterator[dict[str, Any]]:
    """What children tell of the tries ``first`` to ``last``, in order.

    ``command(n)`` starts a child that begins with try n. It writes a line of JSON before each try, with its
    number "n", and one after it, with "outcome". The outcome of a try over which it ends is "death", of one
    over which it says nothing for ``patience_s`` "hang". The last child is ended when nobody asks for more.

    Raises RuntimeError where a child ends between two tries.
    """
    while first < last:
        process = subprocess.Popen(
            command(first), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        now: dict[str, Any] | None = None
        hung, code = False, None
        try:
            for line in _lines(process, patience_s):
                told = json.loads(line)
                if now is None:
                    now = told
                    continue
                yield {**now, **told}
                first, now = now["n"] + 1, None
            code = process.wait(patience_s)
        except (TimeoutError, subprocess.TimeoutExpired):
            hung = True
        finally:
            process.kill()
            process.wait()
        if now is not None:
            said = f"nothing for {patience_s:g} s" if hung else f"exit {code}"
            yield {**now, "outcome": "hang" if hung else "death", "said": said}
            first = now["n"] + 1
        elif first < last:
            raise RuntimeError(f"the child could not work: {'it hangs' if hung else f'exit {code}'}")


def _lines(process: subprocess.Popen[bytes], patience_s: float) -> Iterator[bytes]:
    """Whole lines of a process; TimeoutError when none comes for long."""
    assert process.stdout is not None
    rest = b""
    while True:
        if not select.select([process.stdout], [], [], patience_s)[0]:
            raise TimeoutError
        piece = os.read(process.stdout.fileno(), 1 << 16)
        if not piece:
            return
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
