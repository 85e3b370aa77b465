"""Every operation on the disk fails once: in one small run of each command, each in turn, in each way.

    python benchmarks/kill_points.py [COMMAND ...] [--minutes M] [--out FILE]

A run is made undisturbed and its operations (:mod:`semivox.disk`) are counted. Then it is made again for each
operation and each way to fail. What was there before must still be there and whole, the message must name
file and remedy, and the same command, given again, must leave what the undisturbed run left. The process does
not end: a "killed" one is an exception that nothing may catch, after which no operation has an effect.

tests/test_kill_points.py takes a few of these points.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import math
import os
import random
import signal
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kill_scenes import SCENES, Scene, template
from semivox import disk, leftovers
from semivox.cohort import read_volume
from semivox.files import read_json

FAULTS = ("full", "failing", "killed", "torn", "signal")
"""No room, from this operation on. An I/O error, this once. Killed before it. Killed in it: of what is not
surely on the disk, half is there. Asked to stop, by SIGTERM, SIGINT or SIGUSR1."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
NEED_ROOM = ("make_folder", "new_file", "new_folder", "try_file", "sync_file", "append")
CLOCKS = ("seconds", "elapsed", "heartbeat", "pid", "time", "data_seconds", "peak_memory_gib", "memory_gib")
"""What differs from run to run, by name."""


class Killed(BaseException):
    """The process is gone."""


READS = ("read_file", "_open_at_once")
"""Functions of the door that change nothing: what cannot be read is a fault of the file that is named."""


class FailingDisk:
    """``with FailingDisk(at, fault) as disk``: operation number ``at`` of :mod:`semivox.disk` fails."""

    def __init__(self, at: int | None = None, fault: str = "killed") -> None:
        self.at, self.fault, self.operations = at, fault, list[tuple[str, Path]]()
        self.dead = self.failed = False
        self._lock, self._before = threading.RLock(), dict[str, Callable[..., Any]]()
        self._unsure: dict[Path, int] = {}  # bytes of a file that are surely on the disk
        self._sure: set[Path] = set()
        self.unsynced: list[Path] = []  # renamed without its bytes
        self.past: list[str] = []  # changed on the disk in other ways
        self._inside = threading.local()

    def __enter__(self) -> FailingDisk:
        _watch_this_process()
        _watching.append(self)
        for name, function in vars(disk).items():
            if name not in READS and callable(function) and function.__module__ == disk.__name__:
                self._before[name] = function
        for name, function in self._before.items():
            setattr(disk, name, self._wrapped(name, function))
        return self

    def __exit__(self, *exception: object) -> None:
        _watching.remove(self)
        for name, function in self._before.items():
            setattr(disk, name, function)

    def saw(self, what: str, name: str) -> None:
        """A file was opened for writing, renamed or the like. A temporary's content is its library's own."""
        innocent = name.startswith(("/dev/", "/proc/")) or name.endswith("lock") or ".writing-" in name
        if not innocent and not getattr(self._inside, "now", False):
            self.past.append(f"{what} {name}")

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Path, *rest: Any) -> Any:
            with self._lock:
                if self.dead:
                    raise Killed
                number = len(self.operations)
                self.operations.append((name, path))
                if self.at is not None:
                    self._fail(number, name, function, path, *rest)
                if name == "append":
                    self._unsure.setdefault(path, path.stat().st_size if path.exists() else 0)
                elif name == "sync_file":
                    self._unsure.pop(path, None)
                    self._sure.add(path)
                elif name == "rename" and path.is_file() and not path.name.endswith(".ckpt"):
                    self.unsynced += [] if path in self._sure else [path]
                self._inside.now = True
                try:
                    return function(path, *rest)
                finally:
                    self._inside.now = False

        return call

    def _fail(self, number: int, name: str, function: Callable[..., Any], path: Path, *rest: Any) -> None:
        needs_room = name in NEED_ROOM and not (name == "make_folder" and path.is_dir())
        if self.fault == "full" and number >= self.at and needs_room:
            self.failed = True
            if name == "sync_file":
                _halve(path, self._unsure.get(path, 0))
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        if number != self.at:
            return
        if self.fault == "failing":
            self.failed = True
            raise OSError(errno.EIO, "Input/output error", str(path))
        if self.fault == "signal":
            self.failed = True
            signal.raise_signal(SIGNALS[number % len(SIGNALS)])
        if self.fault == "killed":
            self.dead = self.failed = True
            raise Killed
        if self.fault == "torn":
            self.dead = self.failed = True
            if name in ("append", "overwrite"):
                function(path, rest[0][: len(rest[0]) // 2])
            elif name == "sync_file":
                self._unsure.setdefault(path, 0)
            else:
                function(path, *rest)
            for file, sure in self._unsure.items():
                if file.exists():
                    _halve(file, sure)
            raise Killed


_watching: list[FailingDisk] = []
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@cache
def _watch_this_process() -> None:
    """Python tells of each file that is opened or changed, whichever module does it."""

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if not _watching or event not in (*CHANGES, "open"):
            return
        path, flags = arguments[0], arguments[-1]
        if not isinstance(path, str | bytes | os.PathLike) or (event == "open" and not flags & WRITING):
            return
        if event != "os.mkdir" or not os.path.exists(path):
            _watching[-1].saw(event, os.path.abspath(os.fsdecode(path)))

    sys.addaudithook(look)


def _halve(path: Path, sure: int = 0) -> None:
    """Half of what is beyond ``sure`` bytes is gone."""
    size = path.stat().st_size
    with path.open("rb+") as file:
        file.truncate(sure + (size - sure) // 2)


@dataclass(frozen=True)
class Result:
    code: int | None  # None: killed
    said: str


@contextlib.contextmanager
def new_process() -> Iterator[None]:
    """What a process remembers of the disk is forgotten."""
    before, leftovers._swept = leftovers._swept, set()
    try:
        yield
    finally:
        leftovers._swept = before


def carried_out(act: Callable[[], int]) -> Result:
    said = io.StringIO()
    code = None
    with (
        new_process(),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.suppress(Killed),
    ):
        code = act()
    return Result(code, said.getvalue())


class Stage:
    """A scene in its folder, which is brought back before each try."""

    def __init__(self, scene: Scene, root: Path) -> None:
        self.scene, self.root, self.out = scene, root, scene.set_up(root)
        self.broken = broken_files(self.out)  # as the scene wants it
        with FailingDisk() as counted:
            result = carried_out(lambda: scene.act(root, False))
        assert result.code == 0, result.said
        self.operations, self.unsynced = counted.operations, counted.unsynced
        self.past = [line for line in counted.past if f" {self.out}" in line]
        self.expected = contents(self.out)

    def points(self) -> list[tuple[int, str]]:
        """(operation, way to fail); ways that would be the same as another one are left out."""
        return [
            (number, fault)
            for number, (name, _) in enumerate(self.operations)
            for fault in FAULTS
            if not (fault == "full" and name not in NEED_ROOM)
            if not (fault == "torn" and name not in ("append", "overwrite", "sync_file"))
        ]

    def faults_at(self, number: int, fault: str) -> list[str]:
        """What is wrong after operation ``number`` has failed, and after the command was given again."""
        self.scene.bring_back(self.root)
        with FailingDisk(number, fault) as failing:
            result = carried_out(lambda: self.scene.act(self.root, False))
        if not failing.failed:
            return []  # threads had another order
        found = [f"unsynced: {path.name}" for path in failing.unsynced]
        found += self._lost() + self._told(result, fault)
        found += [line for line in broken_files(self.out) if line not in self.broken]
        if result.code == 0:  # what failed was not needed, or the signal came too late
            return found + (differences(self.expected, contents(self.out)) if fault == "signal" else [])
        again = carried_out(lambda: self.scene.act(self.root, True))
        if again.code != 0 and differences(self.expected, contents(self.out)):
            return [*found, f"given again it ends with {again.code}: {again.said[-400:]}"]
        if left := [path.name for path in self.out.rglob(".writing-*")]:
            return [*found, f"not swept: {', '.join(left)}"]
        return found + differences(self.expected, contents(self.out))

    def _lost(self) -> list[str]:
        before = self.scene.before(self.root)
        names = {name for name in contents(before) if (before / name).is_file()}
        return [f"lost: {n}" for n in names if n in self.expected and not (self.out / n).exists()]

    def _told(self, result: Result, fault: str) -> list[str]:
        if result.code is None:
            return [] if fault in ("killed", "torn") else ["was killed"]
        if fault in ("killed", "torn"):
            return [f"a dead process ended with {result.code}: {result.said[-300:]}"]
        found = []
        if result.code not in (0, 4):
            found.append(f"exit code {result.code}: {result.said[-300:]}")
        last = result.said.strip().splitlines()[-1:] or [""]
        if result.code and not all(word in last[0] for word in (str(self.root), "go on with: semivox")):
            found.append(f"the message names no file or no command: {last[0]}")
        status = self.out / "run" / "status.json"
        if fault in ("full", "signal") and result.code == 4 and status.is_file():
            state = read_json(status)["state"]
            if state != "stopped" and state != "done":
                found.append(f"status.json says {state}")
        return found


def contents(folder: Path) -> dict[str, Any]:
    """Every file's content without what the clock says; of pages and locks only that they are there."""
    return {
        path.relative_to(folder).as_posix(): _content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("lock", ".csv", ".tex", ".md"))
    }


def _content(path: Path) -> Any:
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in path.read_text().splitlines()]
    if path.suffix in (".html", ".ckpt"):
        return path.suffix
    return path.read_bytes()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in CLOCKS and not k.endswith("seconds")}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    names = sorted({*expected, *found})
    return [f"differs: {name}" for name in names if expected.get(name) != found.get(name)]


def broken_files(folder: Path) -> list[str]:
    """Files under their own name that are not whole."""
    found = []
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if not path.is_file() or any(part.startswith(".writing-") for part in parts):
            continue
        try:
            _open(path)
        except Exception as error:
            found.append(f"broken: {path.relative_to(folder)}: {type(error).__name__}: {error}")
    return found


def _open(path: Path) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".ckpt":
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
    elif path.suffix == ".npy":
        np.load(path)
    elif path.name.endswith((".nii.gz", ".png")) and "contact" not in path.name:
        read_volume(path)
    elif path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        load_file(path)
    elif path.suffix == ".html":
        assert path.read_text().rstrip().endswith("</html>")
    elif path.suffix in (".csv", ".md", ".txt", ".yaml"):
        assert path.read_text().endswith("\n")


Point = tuple[int, str]
"""An operation's number and the way it fails."""


def tried_before(path: Path | None, stage: Stage) -> dict[Point, list[str]]:
    """The faults found at each point of the stage's command, of a call that was stopped."""
    rows = path.read_text().splitlines() if path is not None and path.is_file() else []
    before = [row for row in map(json.loads, rows) if row["run"] == stage.scene.name]
    names = [(what, place.name) for what, place in stage.operations]
    if any(names[row["number"]][0] != row["what"] for row in before):
        raise SystemExit(f"{path}: {stage.scene.name} has other operations now; begin a new file")
    return {(row["number"], row["fault"]): row["found"] for row in before}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", default=list(SCENES), metavar="COMMAND")
    parser.add_argument("--minutes", type=float, help="at most, for each command: points drawn at random")
    parser.add_argument("--out", type=Path, help="what was found at each point; the next call goes on there")
    given = parser.parse_args()
    wrong = 0
    print("| run | operations | points | faults | seconds |\n|---|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory(prefix="kill-points-") as folder:
        root = Path(folder)
        template(root)
        for name in given.commands:
            began = time.monotonic()
            stage = Stage(SCENES[name], root)
            points, ends = stage.points(), began + 60 * (given.minutes or math.inf)
            if given.minutes is not None:
                random.Random(0).shuffle(points)
            done = tried_before(given.out, stage)
            for number, fault in points:
                if time.monotonic() > ends:
                    break
                if (number, fault) in done:
                    continue
                found = done[number, fault] = stage.faults_at(number, fault)
                what, path = stage.operations[number]
                for line in found:
                    print(f"{name} {number} {what} {path.name} {fault}: {line}", file=sys.stderr, flush=True)
                row = {"run": name, "number": number, "fault": fault, "what": what, "file": path.name}
                if given.out is not None:
                    with given.out.open("a") as file:
                        file.write(json.dumps({**row, "found": found}) + "\n")
            faults = sum(map(bool, done.values()))
            wrong += faults
            cells = (name, len(stage.operations), f"{len(done)} of {len(points)}", faults)
            print(f"| {' | '.join(map(str, cells))} | {time.monotonic() - began:.0f} |", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
