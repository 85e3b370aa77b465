"""Make the next batches in a background thread while a device works on the current one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping

from semivox.batches.crops import Crops
from semivox.batches.source import BatchSource


def prefetch(batches: BatchSource, start: int, stop: int, depth: int = 2) -> Iterator[Mapping[str, Crops]]:
    """Batches of the steps ``start`` .. ``stop - 1``, in order; up to ``depth`` are made ahead.

    ``depth`` 0 makes each when it is asked for (the right choice on CPU, where there is no idle core). An
    exception of the thread is raised here. Closing the iterator, or leaving its loop, ends the thread.
    """
    if depth == 0:
        for step in range(start, stop):
            yield batches.batch(step)
        return

    ready: queue.Queue[Mapping[str, Crops] | BaseException] = queue.Queue(maxsize=depth)
    closing = threading.Event()

    def hand_over(item: Mapping[str, Crops] | BaseException) -> None:
        while not closing.is_set():
            try:
                ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for step in range(start, stop):
                if closing.is_set():
                    return
                hand_over(batches.batch(step))
        except BaseException as error:  # raised again in the thread that reads
            hand_over(error)

    thread = threading.Thread(target=work, name="semivox-prefetch", daemon=True)
    thread.start()
    try:
        for _ in range(start, stop):
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closing.set()
        thread.join()
