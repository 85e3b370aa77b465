"""One call at a time writes into a predictions folder: its record is kept by offsets into a file."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from semivox.errors import DataError, SettingsError
from semivox.files import make_folder, read_text, remove_file, remove_if_empty, told, write_text

LOCK, HOLDER = ".predict.lock", ".predict.holder"
PATIENCE = 0.2
"""Seconds: one that ends in this moment is waited for."""


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Let nobody else write into ``folder``, made if need be, until the block ends; a process that is
    killed loses it at once. No trace of it stays, nor does a new folder in which nothing was written.

    Raises SettingsError where another process, or another thread of this one, holds it; DataError or
    DiskFault where nothing can be written.
    """
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    lock = FileLock(str(folder / LOCK))
    try:
        with told(folder, "free disk space, or choose another --out"):
            make_folder(folder)
            try:
                lock.acquire(timeout=PATIENCE)
            except Timeout:  # an OSError, and not the disk's
                raise _held(folder) from None
        with contextlib.suppress(DataError):  # a full disk: it only tells others who is at work
            write_text(folder / HOLDER, f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        if lock.is_locked:
            for name in (HOLDER, LOCK):  # who waits for a lock that is removed asks for the next
                with contextlib.suppress(DataError):
                    remove_file(folder, name)
            lock.release()
            remove_if_empty(new)


def _held(folder: Path) -> SettingsError:
    holder = "a process"
    with contextlib.suppress(DataError):  # it has only begun
        holder = read_text(folder / HOLDER)
    return SettingsError(
        "another predict writes into this folder",
        path=folder,
        found=holder,
        remedy="wait for it, or choose another --out",
    )
