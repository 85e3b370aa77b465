"""A process that does tasks: each is a line of JSON on its standard input, and so is what comes of it."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from typing import Any, TextIO

from semivox.engines.task import Task, do, to_plain


def serve() -> None:
    """Do the tasks that are told, one after the other, until nobody tells any more. If that is while one is
    done, who told it is gone: it is asked to stop, and saves itself."""
    answers = _answers()
    lock, tasks, at_work = threading.Lock(), queue.SimpleQueue[str | None](), threading.Event()

    def say(what: dict[str, Any]) -> None:
        with lock:  # a task's threads may tell something too
            answers.write(json.dumps(what) + "\n")
            answers.flush()

    def listen() -> None:
        for line in sys.stdin:
            tasks.put(line)
        tasks.put(None)
        if at_work.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=listen, daemon=True).start()
    while (line := tasks.get()) is not None:
        at_work.set()
        outcome = do(Task(**json.loads(line)), lambda text: say({"said": text}))
        say({"outcome": to_plain(outcome)})
        at_work.clear()


def _answers() -> TextIO:
    """The way back. What anybody else prints goes to standard error: it is no answer."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def main() -> int:
    """Exit code 4 where a signal came: what was at work has saved itself."""
    from semivox.stopping import StopSignals

    with StopSignals(at_once=True):
        try:
            serve()
        except (KeyboardInterrupt, BrokenPipeError):
            return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
