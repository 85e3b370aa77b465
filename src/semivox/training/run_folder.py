"""A run folder: who holds it, what state it is in, and where its parts lie."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from semivox import disk
from semivox.contents import Status
from semivox.errors import DataError, DiskFault, SettingsError, Stopped
from semivox.files import inside, read_json, remove_file, told, write_state

HEARTBEAT_SECONDS = 5.0
PARTS = ("beginning", "pseudo_labels", "source", "evaluations")
"""Folders that a run may hold beside its checkpoints."""


class RunFolder:
    """``with RunFolder(path) as run``: held by this process alone until the block ends.

    With ``writes`` False, as in all but the first of the processes of a run, nothing is held or written.

    A run without config.yaml is a new one: what an earlier try left is removed. If the block fails,
    ``status.json`` tells so; a new run that fails before its first step leaves no config.yaml, so that
    nothing stands in the way of a second try. Raises SettingsError if another live process holds the folder,
    DataError if it cannot be made.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        self.path, self._writes, self._new = Path(path), writes, False
        self.checkpoints = self.path / "checkpoints"
        self.journal = self.path / "metrics.jsonl"
        self._lock = FileLock(str(self.path / ".lock"))
        self._beat = 0.0
        self._status: dict[str, Any] = {}

    def __enter__(self) -> RunFolder:
        if not self._writes:
            return self
        try:
            with told(self.path, "free disk space, or choose another --out"):
                self._take()
        except BaseException:
            self._lock.release()
            raise
        return self

    def _take(self) -> None:
        disk.make_folder(self.path)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:  # an OSError, and not the disk's
            raise self._held() from None
        for name in (self.checkpoints.name, *PARTS):
            inside(self.path, name, "any")  # none may lead out of the run
        disk.make_folder(self.checkpoints)
        self._new = not (self.path / "config.yaml").exists()
        if self._new:
            self._forget_earlier_try()

    def _held(self) -> SettingsError:
        status = self.path / "status.json"
        pid = read_json(status, kind=Status).get("pid") if status.exists() else "unknown"
        return SettingsError(
            "another process is training in this folder",
            path=self.path,
            found=f"process {pid}",
            remedy="wait for it, stop it, or choose another --out",
        )

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is not None and self._status.get("state") in ("preparing", "training"):
                self._ended_by(error)
        finally:
            self._lock.release()

    def _ended_by(self, error: BaseException) -> None:
        with contextlib.suppress(DataError, OSError):  # a full disk: the error itself is to be told
            interrupted = isinstance(error, Stopped | DiskFault | KeyboardInterrupt)
            before = self._status["state"]
            self.status("stopped" if interrupted else "failed", self._status["step"])
            if before == "preparing" and self._new and self._writes:
                remove_file(self.path, "config.yaml")

    @property
    def begins_anew(self) -> bool:
        """Whether a next try is a new run: of this one no settings are kept yet."""
        return self._new and self._status.get("state", "preparing") == "preparing"

    def _forget_earlier_try(self) -> None:
        for name in ("cases.json", "environment.json"):
            remove_file(self.path, name)

    def status(self, state: str, step: int, **more: Any) -> None:
        """Write ``status.json`` now."""
        before = self._status
        self._status = {"format": 1, "state": state, "step": step, "pid": os.getpid(), **more}
        try:
            self._write_status()
        except BaseException:  # a signal: what stands there is the state before
            self._status = before
            raise

    def beat(self, step: int) -> None:
        """Refresh step and heartbeat every few seconds."""
        self._status["step"] = step
        if time.time() - self._beat >= HEARTBEAT_SECONDS:
            with contextlib.suppress(DiskFault):  # what is worth stopping for is found by the next checkpoint
                self._write_status()

    def _write_status(self) -> None:
        self._beat = time.time()
        if self._writes:
            write_state(self.path / "status.json", {**self._status, "heartbeat": self._beat})


def has_run(path: Path) -> bool:
    """Whether ``path`` already holds (the beginning of) a run."""
    return (Path(path) / "config.yaml").exists() or (Path(path) / "checkpoints" / "last.ckpt").exists()
