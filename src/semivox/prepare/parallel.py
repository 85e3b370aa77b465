"""One function over many cases, here or in several processes; results in order, a case a worker in memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Progress = Callable[[int, int], None]
"""Called with (done, total) after each case."""


def map_cases(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """``[work(item) for item in items]``, with ``workers`` processes (default min(cpus, 4); 1: no process).

    ``work`` must be importable by name and its items and results picklable: workers are started by spawn, so
    that they inherit no threads and no locks. The first error stops the rest and is raised here.
    """
    count = min(workers or min(_cpus(), 4), len(items))
    results: dict[int, Result] = {}
    if count > 1:
        with contextlib.suppress(BrokenProcessPool), _pool(count) as pool:
            _collect(pool, work, items, 2 * count, progress, results)
    # All of them, or those left when a worker died: no memory for two cases at once, or a script without a
    # __main__ guard. One case at a time in this process needs neither.
    for index in (i for i in range(len(items)) if i not in results):
        results[index] = work(items[index])
        if progress:
            progress(len(results), len(items))
    return [results[i] for i in range(len(items))]


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _collect(
    pool: ProcessPoolExecutor,
    work: Callable[[Item], Result],
    items: Sequence[Item],
    queued: int,
    progress: Progress | None,
    results: dict[int, Result],
) -> None:
    """Fill ``results`` by index, never more than ``queued`` items ahead."""
    waiting: dict[Future[Result], int] = {}
    ahead: Iterator[int] = iter(range(len(items)))
    try:
        while len(results) < len(items):
            for index in ahead:
                waiting[pool.submit(work, items[index])] = index
                if len(waiting) >= queued:
                    break
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                results[waiting.pop(future)] = future.result()
                if progress:
                    progress(len(results), len(items))
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        raise


def _cpus() -> int:
    """CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
