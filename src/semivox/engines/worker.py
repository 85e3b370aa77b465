"""A process that does tasks: each is a line of JSON on its standard input, and so is what comes of it. Or one
task alone, which is a file: ``python -m semivox.engines.worker TASK.json``."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from semivox.engines.task import Outcome, Task, do, to_plain
from semivox.errors import Stopped
from semivox.failure import failure_of
from semivox.files import read_text, write_json


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


def do_file(path: Path) -> int:
    """Do the task of a file; what comes of it stands beside it. Exit code 4 where a signal stopped it."""
    task = Task(**json.loads(read_text(path)))
    try:
        outcome = do(task, lambda text: print(text, flush=True))
    except KeyboardInterrupt as error:
        outcome = Outcome(task.number, failure=failure_of(Stopped("was stopped", found=str(error))))
    write_json(outcome_of(path), to_plain(outcome))
    return 4 if outcome.failure is not None and outcome.failure.kind == Stopped.__name__ else 0


def outcome_of(path: Path) -> Path:
    """Where that of a task's file stands."""
    return path.with_suffix(".outcome.json")


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
            if len(sys.argv) > 1:
                return do_file(Path(sys.argv[1]))
            serve()
        except (KeyboardInterrupt, BrokenPipeError):
            return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
