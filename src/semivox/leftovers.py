"""Temporary files and folders under a name that tells whose they are, and what killed processes left of them.

``.writing-abcd1234-NAME`` stands beside ``NAME`` while that is being written, locked by the process that
writes. A lock ends with its process, so what can be locked is what nobody will finish.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from semivox import disk

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and nothing swept
    fcntl = None  # type: ignore[assignment]

PREFIX = ".writing-"
OURS = re.compile(re.escape(PREFIX) + r"[a-z0-9_]{8}-.+", re.DOTALL)
"""Names that :mod:`tempfile` makes of it."""

_swept: set[str] = set()
_sweeping = threading.Lock()


class Temporary:
    """A file or folder that this process holds."""

    def __init__(self, path: Path, handle: int | None) -> None:
        self.path, self._handle = path, handle

    def hold(self) -> None:
        """Once more, where a library has put another file in the place of the one that was opened."""
        if self._handle is not None and not _is(self.path, self._handle):
            self.let_go()
            self._handle = os.open(self.path, os.O_RDWR)
            _lock(self._handle)

    def let_go(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


@contextlib.contextmanager
def temporary(place: Path, folder: bool = False) -> Iterator[Temporary]:
    """Yield an empty file (or ``folder``) beside ``place``, held by this process; on leaving it is removed,
    if it is still there. The first time that a process does so in a folder, that is swept. Raises OSError."""
    disk.make_folder(place.parent)
    sweep(place.parent)
    made = None
    while made is None:
        made = _made(place, folder)
    try:
        yield made
    finally:
        try:
            if made.path.exists():  # it was not given its name
                with contextlib.suppress(OSError):
                    disk.remove_folder(made.path) if folder else disk.remove_file(made.path)
        finally:
            made.let_go()


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written in ``folder``; once a process and folder."""
    with _sweeping:
        if fcntl is None or (key := os.path.abspath(folder)) in _swept:
            return
        _swept.add(key)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if OURS.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                _sweep(folder / name)


def _sweep(path: Path) -> None:
    kind = path.lstat().st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        return
    handle = os.open(path, (os.O_RDONLY if stat.S_ISDIR(kind) else os.O_RDWR) | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _lock(handle)
        if _is(path, handle):
            disk.remove_folder(path) if stat.S_ISDIR(kind) else disk.remove_file(path)
    finally:
        os.close(handle)


def _made(place: Path, folder: bool) -> Temporary | None:
    """A new one; None where a sweep has taken it away before it was held."""
    if folder:
        path = disk.new_folder(place.parent, PREFIX, f"-{place.name}")
        handle = None if fcntl is None else _opened(path)
    else:
        handle, path = disk.new_file(place.parent, PREFIX, f"-{place.name}")
    if fcntl is None:
        if handle is not None:
            os.close(handle)
        return Temporary(path, None)
    if handle is None:
        return None
    swept = False
    try:
        _lock(handle)
    except BlockingIOError:
        swept = True
    except OSError:  # a disk that knows no locks: then nobody sweeps it
        pass
    if not swept and _is(path, handle):
        return Temporary(path, handle)
    os.close(handle)
    return None


def _opened(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None


def _lock(handle: int) -> None:
    """Raises OSError where another process has it, or the disk knows no locks."""
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is(path: Path, handle: int) -> bool:
    """Whether ``path`` still is what ``handle`` was opened on."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except OSError:
        return False
