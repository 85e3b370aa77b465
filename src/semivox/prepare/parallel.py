"""One function over many cases in several threads; results in order, a case a worker in memory.

Threads, not processes: reading, inflating, hashing and NumPy's loops release the interpreter's lock, nothing
is pickled, and a script that calls semivox needs no ``__main__`` guard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from semivox.cohort import Progress
from semivox.machine import cpus

READERS = 4
"""Files read at a time for their hashes: the disk is waited for, not the processor."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def map_cases(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """``[work(item) for item in items]`` with ``workers`` threads (default min(cpus, 4); 1: this one).

    The first error stops what has not begun and is raised here. ``progress`` is called in this thread.
    """
    results: dict[int, Result] = {}
    threads = min(workers or min(cpus(), 4), len(items))
    if threads <= 1:
        for index, item in enumerate(items):
            results[index] = work(item)
            if progress:
                progress(len(results), len(items))
        return list(results.values())
    upcoming = iter(enumerate(items))
    with ThreadPoolExecutor(threads) as pool:
        try:
            waiting: dict[Future[Result], int] = {}
            while True:
                # Handed out a few at a time: a future of each of thousands of cases would take memory.
                for index, item in islice(upcoming, 2 * threads - len(waiting)):
                    waiting[pool.submit(work, item)] = index
                if not waiting:
                    break
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    results[waiting.pop(future)] = future.result()
                    if progress:
                        progress(len(results), len(items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [results[i] for i in range(len(items))]
