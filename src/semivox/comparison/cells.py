"""The cells of a comparison on disk: whose turn it is, what is finished, what has failed."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from semivox.comparison.variants import Choice
from semivox.comparison_contents import FailedCell, FinishedCell
from semivox.contents import Status
from semivox.errors import DataError, SemivoxError, SettingsError, in_words
from semivox.evaluation.result_paths import CellFolder
from semivox.files import make_folder, read_json, remove_file, write_json

CLAIM, FAILED, LOCK = "claim.json", "failed.json", ".claim.lock"
FORMAT = 1

Kind = Literal["free", "running", "finished", "failed"]


@dataclass(frozen=True)
class Cell(CellFolder):
    """One training with its measurement: an ordinary run folder, and ``cell.json`` once it is measured.

    ``request`` is everything that was asked of it; a finished cell holds the same.
    """

    number: int
    variant: Choice
    labeled: Choice
    seed: int
    request: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.variant.name}, {self.labeled.name} labelled, {self.fold}, seed {self.seed}"


@dataclass(frozen=True)
class State:
    """``detail``: who is at work, the error, or how far a free cell got."""

    kind: Kind
    detail: str = ""


def state_of(cell: Cell) -> State:
    """What the cell's folder says. Raises SettingsError if it was finished for another request."""
    if read_finished(cell) is not None:
        return State("finished")
    if _is_held(cell.folder):
        return State("running", holder(cell.folder))
    failure = read_failure(cell)
    if failure is not None:
        return State("failed", failure["message"])
    with contextlib.suppress(DataError):
        step = read_json(cell.folder / "status.json", kind=Status).get("step")
        return State("free", f"stopped at step {step}")
    return State("free")


@contextlib.contextmanager
def claim(folder: Path, patience: float = 0.0) -> Iterator[bool]:
    """Whether the folder is this process's until the block ends; ``patience``: seconds to wait for it.

    A killed process loses it at once.
    """
    make_folder(folder)
    lock = FileLock(str(folder / LOCK))
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        mine = False
    else:
        mine = True
    try:
        if mine:
            write_json(folder / CLAIM, {"format": FORMAT, **_here()})
        yield mine
    finally:
        if mine:
            remove_file(folder, CLAIM)
            lock.release()


def release_dead(folder: Path) -> None:
    """Take away what a killed process wrote of itself; a living one holds the folder."""
    if (folder / CLAIM).exists():
        with claim(folder):
            pass


def holder(folder: Path) -> str:
    """Process and host that hold the folder, as they wrote them down."""
    try:
        said = read_json(folder / CLAIM)
    except DataError:
        return "another process"
    return f"process {said.get('pid')} on {said.get('host')}"


def read_finished(cell: Cell) -> dict[str, Any] | None:
    """``cell.json`` of a finished cell, or None. Raises SettingsError if it belongs to another request."""
    path = cell.result
    if not path.is_file() or not cell.evaluation.is_file():
        return None
    content = read_json(path, newest=FORMAT, kind=FinishedCell)
    if changed := differences(content.get("request", {}), cell.request):
        raise SettingsError(
            "this cell was made for another request",
            path=path,
            found="; ".join(changed),
            remedy="choose another --out, or remove the cell's folder",
        )
    return content


def write_finished(cell: Cell, content: Mapping[str, Any]) -> None:
    """Mark the cell as finished; what it says comes last, after the evaluation."""
    write_json(cell.result, {"format": FORMAT, "request": dict(cell.request), **content})
    forget_failure(cell)


def read_failure(cell: Cell) -> dict[str, Any] | None:
    """``failed.json`` of a cell, or None."""
    try:
        return read_json(cell.folder / FAILED, newest=FORMAT, kind=FailedCell)
    except DataError:
        if (cell.folder / FAILED).exists():
            raise
        return None  # another process may have tried it again meanwhile


def forget_failure(cell: Cell) -> None:
    """Remove ``failed.json``."""
    remove_file(cell.folder, FAILED)


def write_failure(cell: Cell, error: Exception) -> None:
    """Leave the error in the cell's folder; of a bug also the traceback."""
    known = isinstance(error, SemivoxError)
    content = {
        "format": FORMAT,
        "error": type(error).__name__,
        "message": in_words(error),
        "time": time.time(),
        **_here(),
        "traceback": None if known else "".join(traceback.format_exception(error)),
    }
    write_json(cell.folder / FAILED, content)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """``name: before -> now`` of everything that differs, but what an earlier version did not record."""
    return [f"{n}: {_shown(v)} -> {_shown(now.get(n))}" for n, v in before.items() if v != now.get(n)]


def _shown(value: object) -> str:
    return "none" if value is None else str(value)


def _is_held(folder: Path) -> bool:
    """Whether a live process holds the folder. (Asking takes the lock for a moment; a process that wants the
    cell in that moment tries again later.)"""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(str(folder / LOCK))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _here() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname()}
