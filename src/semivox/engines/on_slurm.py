"""A Slurm cluster: tasks are jobs of arrays. Each is a file in a folder that all machines see, and so is what
comes of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from semivox.engines.engine import TRIES
from semivox.engines.local import COMMAND, environment
from semivox.engines.slurm import Jobs, Place, Refused, State
from semivox.engines.task import Needs, Outcome, Task, Tell, from_plain
from semivox.errors import PartialFailure, SettingsError, Stopped
from semivox.failure import Failure, failure_of
from semivox.files import (
    load_json,
    make_folder,
    read_bytes,
    real_path,
    remove_file,
    remove_folder,
    remove_if_empty,
    write_json,
)

PLACES = 250
"""Twice as many tasks are handed in before the first has ended."""
STOPS = 100
"""How often a task may be stopped, by its time limit or for others' jobs, and go on."""
LOOK_SECONDS, ASK_SECONDS = 1.0, 10.0
"""Between two looks for outcomes, and between two questions to Slurm."""
SAVE_SECONDS = 120
"""A task is told so long before its time is over."""
PATIENCE = 60.0
"""Seconds in which a job that is asked to end has saved what it does."""
SAID = 500
"""Letters of what a job printed last that are told where it died."""
USUAL = ("None", "Resources", "Priority", "BeginTime", "JobArrayTaskLimit")
"""Reasons for which jobs wait that need not be told: with others they may wait forever."""

ARRAYS, LOCK = "arrays", ".lock"


@dataclass
class _Out:
    """A task that is handed in. ``missed``: questions since which Slurm does not know of it, or says that it
    has ended; its outcome may still be on the way over a shared disk."""

    task: Task
    log: Path
    missed: int = 0


class OnSlurm:
    """The jobs of a folder belong to who holds its lock: what an earlier command left is taken back first."""

    def __init__(self, partition: str | None, needs: Needs, tell: Tell, folder: Path) -> None:
        """Raises SettingsError where there is no Slurm, or another command is at work in ``folder``."""
        self._folder, self._needs, self._tell = folder, needs, tell
        digest = hashlib.sha256(os.fsencode(real_path(folder))).hexdigest()[:16]
        self._jobs = Jobs(f"semivox-{digest}", partition)
        self.places = max(1, min(PLACES, self._jobs.largest_array // 2))
        make_folder(folder)
        self._lock = FileLock(str(folder / LOCK))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SettingsError("another process has given this work to Slurm", path=folder) from None
        self._waiting: deque[Task] = deque()
        self.bundle = 16
        self._out: dict[Place, _Out] = {}
        self._ended: deque[Outcome] = deque()
        self._deaths, self._stops = Counter[int](), Counter[int]()
        self._arrays, self._asked, self._told = 0, 0.0, set[str]()
        self._take_back()

    def __enter__(self) -> OnSlurm:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def put(self, task: Task) -> None:
        self._waiting.append(task)

    def take(self) -> Outcome:
        while not self._ended:
            self._hand_in()
            time.sleep(LOOK_SECONDS)
            self._look()
        return self._ended.popleft()

    def close(self) -> None:
        if not self._lock.is_locked:
            return
        if self._out:
            self._take_back()
        elif not self._deaths:
            remove_folder(self._folder, ARRAYS)
        remove_file(self._folder, LOCK)  # while it is held: who waits for it makes a new one
        self._lock.release()
        remove_if_empty([self._folder])

    def _take_back(self) -> None:
        """End what is at work, which saves what it has; forget what is there."""
        self._jobs.cancel()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            states = self._jobs.states()
            if states is None or all(state.ended for state in states.values()):
                break
            time.sleep(LOOK_SECONDS)
        self._out.clear()
        remove_folder(self._folder, ARRAYS)

    def _hand_in(self) -> None:
        """All that wait, in arrays as large as Slurm takes; what it does not take now waits for those that
        are out."""
        largest = self._jobs.largest_array
        while self._waiting:
            tasks = [self._waiting[i] for i in range(min(largest, len(self._waiting)))]
            folder = self._folder / ARRAYS / f"{self._arrays:05}"
            for index, task in enumerate(tasks):
                write_json(folder / f"{index}.json", vars(task))
            try:
                number = self._jobs.submit(folder, self._script(), len(tasks))
            except Refused as error:
                if len(tasks) > 1:
                    largest = len(tasks) // 2
                    continue
                if not self._out:
                    raise SettingsError(
                        "Slurm takes no such job",
                        found=str(error),
                        remedy="what it lacks can be given as SBATCH_ACCOUNT, SBATCH_QOS, ... (man sbatch)",
                    ) from None
                self._say(f"Slurm takes no more jobs now: {error}")
                return
            self._arrays += 1
            for index, task in enumerate(tasks):
                self._waiting.popleft()
                self._out[number, index] = _Out(task, folder / f"{index}.log")

    def _script(self) -> list[str]:
        """What is asked stands in the script, where SBATCH_TIMELIMIT and its like have the last word."""
        needs, threads = self._needs, max(1, self._needs.cpus)
        words = ["--requeue", "--open-mode=append", "--ntasks=1", f"--cpus-per-task={threads}"]
        words += [f"--signal=B:USR1@{SAVE_SECONDS}"]
        words += [f"--gres=gpu:{needs.gpus}"] if needs.gpus else []
        words += [f"--time={needs.minutes}"] if needs.minutes else []
        own = environment(threads)
        given = {name: own[name] for name in own if os.environ.get(name) != own[name]}
        return [
            *(f"#SBATCH {word}" for word in words),
            *(f"export {name}={shlex.quote(value)}" for name, value in given.items()),
            'here="$PWD"',
            f"cd -- {shlex.quote(os.getcwd())} || exit 1",
            f'exec {shlex.join(COMMAND)} "$here/$SLURM_ARRAY_TASK_ID.json"',
        ]

    def _look(self) -> None:
        for place, out in list(self._out.items()):
            outcome = _outcome(out)
            if outcome is not None and not _stopped(outcome):  # of a stopped one Slurm may do it again
                del self._out[place]
                self._ended.append(outcome)
        if time.monotonic() - self._asked >= ASK_SECONDS:
            self._asked = time.monotonic()
            states = self._jobs.states()
            if states is None:
                self._say("Slurm does not answer; waiting for it")
            else:
                for place, out in list(self._out.items()):
                    self._compare(place, out, states.get(place))

    def _compare(self, place: Place, out: _Out, state: State | None) -> None:
        """One that is out with what Slurm says of it."""
        if state is not None and not state.ended:
            out.missed = 0
            if state.state == "PENDING" and state.reason not in USUAL:
                self._say(f"jobs wait in Slurm: {state.reason}")
            return
        outcome = _outcome(out)
        out.missed += 1
        if outcome is None and out.missed < 2:
            return
        del self._out[place]
        number, why = out.task.number, "it is gone" if state is None else state.state
        if outcome is not None and not _stopped(outcome):
            self._ended.append(outcome)
        elif why == "CANCELLED":
            self._fail(out, "it was cancelled", why, "give the same command again")
        elif outcome is not None or why == "PREEMPTED":
            self._stops[number] += 1
            if self._stops[number] < STOPS:
                self._waiting.append(out.task)
            else:
                self._fail(out, f"it was stopped {STOPS} times", why, "allow it more time")
        else:
            self._deaths[number] += 1
            if self._deaths[number] < TRIES:
                self._waiting.append(out.task)
            else:
                remedy = "see the end of its log (no memory, most often), and give the same command again"
                self._fail(out, "the jobs that did it died", f"{why}, {TRIES} times", remedy)

    def _fail(self, out: _Out, fault: str, why: str, remedy: str) -> None:
        said = f"; it said last: {last}" if (last := _last_words(out.log)) else ""
        name = out.task.name or out.task.kind
        failure: Failure = failure_of(PartialFailure(fault, found=f"{why} ({name}){said}", remedy=remedy))
        self._ended.append(Outcome(out.task.number, failure=failure))

    def _say(self, text: str) -> None:
        """Once."""
        if text not in self._told:
            self._told.add(text)
            self._tell(text)


def _outcome(out: _Out) -> Outcome | None:
    from semivox.engines.worker import outcome_of

    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return from_plain(load_json(outcome_of(out.log.with_suffix(".json"))))
    return None


def _stopped(outcome: Outcome) -> bool:
    return outcome.failure is not None and isinstance(outcome.failure.error, Stopped)


def _last_words(log: Path) -> str:
    with contextlib.suppress(OSError):
        return read_bytes(log).decode("utf-8", "replace").strip()[-SAID:]
    return ""
