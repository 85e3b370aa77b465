"""A run folder: who holds it, what state it is in, and where its parts lie."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from semivox.errors import SettingsError
from semivox.files import read_json, write_json

HEARTBEAT_SECONDS = 5.0


class RunFolder:
    """``with RunFolder(path) as run``: held by this process alone until the block ends.

    Raises SettingsError if another live process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.journal = self.path / "metrics.jsonl"
        self._lock = FileLock(str(self.path / ".lock"))
        self._beat = 0.0
        self._status: dict[str, Any] = {}

    def __enter__(self) -> RunFolder:
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            status = self.path / "status.json"
            pid = read_json(status).get("pid") if status.exists() else "unknown"
            raise SettingsError(
                "another process is training in this folder",
                path=self.path,
                found=f"process {pid}",
                remedy="wait for it, stop it, or choose another --out",
            ) from None
        self.checkpoints.mkdir(exist_ok=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def status(self, state: str, step: int, **more: Any) -> None:
        """Write ``status.json`` now."""
        self._status = {"format": 1, "state": state, "step": step, "pid": os.getpid(), **more}
        self._write_status()

    def beat(self, step: int) -> None:
        """Refresh step and heartbeat every few seconds."""
        if time.time() - self._beat >= HEARTBEAT_SECONDS:
            self._status["step"] = step
            self._write_status()

    def _write_status(self) -> None:
        self._beat = time.time()
        write_json(self.path / "status.json", {**self._status, "heartbeat": self._beat})


def has_run(path: Path) -> bool:
    """Whether ``path`` already holds (the beginning of) a run."""
    return (Path(path) / "config.yaml").exists() or (Path(path) / "checkpoints" / "last.ckpt").exists()
