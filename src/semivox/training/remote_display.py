"""A display that another process tells what happens, call by call, as JSON."""

from __future__ import annotations

import _thread
import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Client, Listener
from typing import Any

from semivox.training.display import Display


@contextlib.contextmanager
def heard(display: Display | None) -> Iterator[str | None]:
    """The address at which a :class:`RemoteDisplay` reaches ``display``, which is called in a thread; None
    where there is none. What ``display`` raises ends the block as SIGINT would, and is raised then."""
    if display is None:
        yield None
        return
    raised: list[BaseException] = []

    def listen(listener: Listener) -> None:
        with listener.accept() as line, contextlib.suppress(EOFError):
            while True:
                name, arguments = json.loads(line.recv_bytes())
                try:
                    if not raised:
                        getattr(display, name)(*arguments)
                except BaseException as error:
                    raised.append(error)
                    _thread.interrupt_main()

    with Listener() as listener:
        thread = threading.Thread(target=listen, args=(listener,), daemon=True)
        thread.start()
        try:
            yield str(listener.address)
        finally:
            with contextlib.suppress(OSError):
                Client(listener.address).close()  # if nobody came
            thread.join()
            if raised:
                raise raised[0]


class RemoteDisplay:
    """In the other process."""

    def __init__(self, address: str) -> None:
        self._line, self._lock = Client(address), threading.Lock()

    def say(self, text: str) -> None:
        self._tell("say", text)

    def detail(self, text: str) -> None:
        self._tell("detail", text)

    def work(self, what: str, done: int, total: int) -> None:
        self._tell("work", what, done, total)

    def step(self, step: int, steps: int, record: dict[str, Any]) -> None:
        self._tell("step", step, steps, record)

    def watched(self, step: int, seconds: float, dice: Mapping[str, float | None]) -> None:
        self._tell("watched", step, seconds, dict(dice))

    def _tell(self, *call: Any) -> None:
        # scans are prepared in threads; who asked may be gone
        with self._lock, contextlib.suppress(OSError):
            self._line.send_bytes(json.dumps([call[0], call[1:]]).encode())
