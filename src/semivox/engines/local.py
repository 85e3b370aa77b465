"""This machine: some processes side by side, each with its share of the cores."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from semivox.engines.engine import TRIES
from semivox.engines.task import Outcome, Task, Tell, from_plain
from semivox.errors import PartialFailure
from semivox.failure import Failure, failure_of
from semivox.machine import CPUS, cpus

COMMAND = (sys.executable, "-m", "semivox.engines.worker")
PATIENCE = 60.0
"""Seconds in which a worker that is asked to stop has saved what it does."""


class Local:
    """``places`` processes that are started when they are first wanted and kept: what they have loaded stays
    loaded. A thread here talks to each."""

    def __init__(self, places: int, tell: Tell) -> None:
        self.places, self._tell = places, tell
        self.bundle = 1
        self._threads = max(1, cpus() // places)
        self._pool = ThreadPoolExecutor(places, "worker")
        self._ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._own = threading.local()
        self._workers: list[_Worker] = []
        self._closed = False

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def put(self, task: Task) -> None:
        self._pool.submit(self._do, task)

    def take(self) -> Outcome:
        while True:  # in pieces: a wait without end is deaf to signals on some systems
            with contextlib.suppress(queue.Empty):
                return self._ended.get(timeout=0.5)

    def close(self) -> None:
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.wait()
        self._pool.shutdown(wait=True)

    def _do(self, task: Task) -> None:
        """In a thread of the pool, with the process that belongs to it."""
        try:
            for _ in range(TRIES):
                worker = self._worker()
                outcome = worker.do(task, self._tell)
                if outcome is not None or self._closed:
                    break
                self._own.worker = None
            if outcome is None:
                outcome = Outcome(task.number, failure=_died(task, worker.wait()))
        except Exception as error:  # of our own: nobody would hear of it
            outcome = Outcome(task.number, failure=failure_of(error))
        self._ended.put(outcome)

    def _worker(self) -> _Worker:
        """The process of this thread."""
        found: _Worker | None = getattr(self._own, "worker", None)
        if found is None:
            found = self._own.worker = _Worker(self._threads)
            self._workers.append(found)
        return found


class _Worker:
    """A process of :mod:`semivox.engines.worker`."""

    def __init__(self, threads: int) -> None:
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(threads),
            text=True,
            encoding="utf-8",
        )

    def do(self, task: Task, tell: Tell) -> Outcome | None:
        """None if it died of it."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(vars(task)) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                told: Mapping[str, Any] = json.loads(line)
                if "outcome" in told:
                    return from_plain(told["outcome"])
                tell(str(told["said"]))
        except OSError:
            pass
        return None

    def stop(self) -> None:
        """It gets no more tasks, and leaves the one it has."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def wait(self) -> int:
        """Its exit code; it is killed where it does not end."""
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return code


def environment(threads: int) -> dict[str, str]:
    """That of a worker which may use so many cores, and finds what this process finds."""
    return {
        **os.environ,
        CPUS: str(threads),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def _died(task: Task, code: int) -> Failure:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return failure_of(
        PartialFailure(
            "the processes that did it died",
            found=f"{how}, {TRIES} times ({task.name or task.kind})",
            remedy="see what the system says of them (no memory, most often), and ask for fewer workers",
        )
    )
