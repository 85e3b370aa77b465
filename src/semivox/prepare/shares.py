"""Entries of a store that any number of processes make together, on one machine or on many: each entry once.

Entries are cut into shares by their keys, and a share belongs to the process that holds its lock. Who finds
one held goes on with the next, so nobody waits while there is something to make. The system lets go of a lock
when its process dies, and the next that comes makes what lacks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from semivox.cohort import Progress
from semivox.files import make_folder, refuse_full
from semivox.prepare.parallel import map_cases
from semivox.prepare.store_entry import Job, build_entry, entry_bytes, meta_if_whole

DIGITS = 2
"""Of a key (hexadecimal) that say which share it is of: 256 shares, as many small files of locks."""
LOOK_SECONDS = 0.2
"""Between two looks at shares that others hold, when there is nothing else to make."""

Metas = dict[Path, dict[str, Any]]
"""The record of each entry, by its folder."""


def made_together(
    jobs: Sequence[Job], root: Path, workers: int | None = None, progress: Progress | None = None
) -> Metas:
    """Have all entries of ``jobs`` in the store at ``root``, made here or by others at work there; returns
    their records. ``progress`` is called with (done, total) of those that lacked.

    Raises DataError for a faulty file or a disk that is full, as the process does that has met it; others
    make what they can.
    """
    wanted = {job.folder: job for job in jobs}  # cases with equal files share an entry
    found = {job.folder: meta for job in wanted.values() if (meta := meta_if_whole(job.folder)) is not None}
    missing = [job for folder, job in wanted.items() if folder not in found]
    if not missing:
        return found
    make_folder(root / "locks")
    with _held(root, "room") as ours:
        if ours:  # one of all who begin looks at every header for it
            bytes_ = sum(map_cases(entry_bytes, missing, workers))
            refuse_full(root, bytes_, f"{len(missing)} prepared arrays")
    shares: dict[str, list[Job]] = {}
    for job in missing:
        shares.setdefault(job.key[:DIGITS], []).append(job)
    there, waiting = len(found), list(shares)

    def make(name: str) -> bool:
        with _held(root, name) as ours:
            if ours:
                found.update(
                    {job.folder: meta_if_whole(job.folder) or build_entry(job) for job in shares[name]}
                )
        return ours

    def told(done: int, total: int) -> None:
        if progress is not None:
            progress(len(found) - there, len(missing))

    while waiting:
        ended = map_cases(make, waiting, workers, told)
        held = [name for name, done in zip(waiting, ended, strict=True) if not done]
        if held == waiting:
            time.sleep(LOOK_SECONDS)
        waiting = held
    return found


@contextmanager
def _held(root: Path, name: str) -> Iterator[bool]:
    """Whether this process has the lock of that name, until the block ends; nobody waits for it."""
    lock = FileLock(root / "locks" / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
