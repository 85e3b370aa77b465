"""The server: it listens, answers, and ends with everything that it began."""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from semivox.annotating.book import Reader
from semivox.annotating.guard import Address, Guard, is_loopback
from semivox.annotating.jobs import Job, Length, Training
from semivox.errors import SettingsError

if TYPE_CHECKING:
    from semivox.annotating.desk import Desk

ORDER = "ranking"
"""Folder, in that of the book, of the order in which scans are offered."""
SHORTEST_TOKEN = 16


def listening(host: str, port: int, token: str | None) -> tuple[socket.socket, Address]:
    """A socket at this address (``port`` 0: any that is free). Beyond this computer there is a token; None
    makes one up. Raises SettingsError where the address is taken or none, or the token is too short."""
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise SettingsError("the token is too easy", expected=f"{SHORTEST_TOKEN} letters or digits, or more")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host.strip("[]"), port))
    except (OSError, OverflowError, UnicodeError) as error:
        made.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        raise SettingsError(
            "cannot listen there",
            found=f"{host}:{port}: {error}",
            remedy="give another --port" if taken else "give another --host or --port",
        ) from None
    return made, Address.at(host, made.getsockname()[1], token)


@contextlib.contextmanager
def serve(
    desk: Desk, listens: socket.socket, address: Address, length: Length, reader: str, rank: bool = True
) -> Iterator[None]:
    """The page is there while the block lasts; afterwards nothing that was begun still runs. ``rank`` False:
    scans are offered in the data folder's own order where no ranking is there."""
    import uvicorn

    from semivox.annotating.routes import PageApp
    from semivox.annotating.slicer import SlicerApp

    order: list[Job] = []
    training = Training(desk.data, length, lambda run: _trained(desk, order, run, rank))
    further = SlicerApp(desk, training, address).routes()
    app = Guard(PageApp(desk, training, reader).app(further), address)
    config = uvicorn.Config(
        app, log_level="error", access_log=False, server_header=False, proxy_headers=False, lifespan="off",
        ws="none", timeout_graceful_shutdown=5, h11_max_incomplete_event_size=2**15, limit_concurrency=64,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listens]}, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        put_in_order(desk, order, rank)
        yield
    finally:
        server.should_exit = True
        training.stop()
        for job in order:
            job.stop()
        thread.join(30)
        listens.close()


def _trained(desk: Desk, order: list[Job], run: Path, rank: bool) -> None:
    desk.use(run)
    put_in_order(desk, order, rank)


def put_in_order(desk: Desk, order: list[Job], rank: bool) -> None:
    """Offer scans as ``rank`` ordered them for this model before, else as it will when it has."""
    kept = desk.folder / ORDER

    def take(code: int) -> None:
        desk.take_ranking(kept)

    waiting = desk.next_scan(Reader("", "")) is not None
    if not desk.take_ranking(desk.run / "ranking", kept) and waiting and rank:
        order.append(Job(["rank", str(desk.run), str(desk.data), "--out", str(kept)], take))
