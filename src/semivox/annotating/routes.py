"""What the page may ask: each route reads the request, calls the desk and answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from semivox.annotating.book import Reader
from semivox.annotating.bounded import MOST_JSON, read_body, read_object
from semivox.annotating.drawn import Drawn
from semivox.annotating.refusals import NotThere, NotWanted, status_of
from semivox.errors import SemivoxError

if TYPE_CHECKING:
    from semivox.annotating.desk import Desk
    from semivox.annotating.jobs import Training

KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"}
LONGEST = 200
"""Letters of a reader's name or a note."""


def page_files() -> dict[str, tuple[bytes, str]]:
    """Name -> bytes and media type of what the page is made of; nothing else is ever sent from the disk."""
    found = {}
    for each in (files("semivox") / "annotating" / "page").iterdir():
        ending = each.name[each.name.rfind(".") :]
        if ending in KINDS:
            found[each.name] = (each.read_bytes(), KINDS[ending])
    return found


class PageApp:
    """The page and what it asks for; ``reader``: the name of a reader who gives none."""

    def __init__(self, desk: Desk, training: Training, reader: str) -> None:
        self.desk, self.training, self.reader, self.page = desk, training, reader, page_files()
        names = sum(len(json.dumps(name)) + 1 for name in desk.cases)  # a page may have passed them all
        self.most_passed = MOST_JSON + names

    def app(self, further: Sequence[Route] = ()) -> Starlette:
        read, write = ["GET"], ["POST"]
        return Starlette(
            routes=[
                Route("/", self.home, methods=read),
                Route("/page/{name}", self.part, methods=read),
                Route("/api/about", self.about, methods=read),
                Route("/api/scans", self.scans, methods=read),
                Route("/api/image", self.image, methods=read),
                Route("/api/label", self.label, methods=read),
                Route("/api/mask", self.mask, methods=read),
                Route("/api/history", self.history, methods=read),
                Route("/api/open", self.open_scan, methods=write),
                Route("/api/next", self.next_scan, methods=write),
                Route("/api/ready", self.get_ready, methods=write),
                Route("/api/stay", self.stay, methods=write),
                Route("/api/leave", self.leave, methods=write),
                Route("/api/mark", self.mark, methods=write),
                Route("/api/save", self.save, methods=write),
                Route("/api/train", self.progress, methods=read),
                Route("/api/train", self.train, methods=write),
                Route("/api/train/stop", self.stop, methods=write),
                *further,
            ],
            exception_handlers={SemivoxError: self.refused},
        )

    def who(self, given: Any) -> Reader:
        name, holder = given.get("reader") or self.reader, given.get("holder")
        if not isinstance(name, str) or not isinstance(holder, str) or not 8 <= len(holder) <= LONGEST:
            raise NotWanted("the request does not say which page it comes from")
        return Reader(name[:LONGEST], holder)

    def home(self, request: Request) -> Response:
        return Response(self.page["index.html"][0], media_type="text/html")

    def part(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.page:
            raise NotThere("no such file of the page", found=repr(name)[:LONGEST])
        content, kind = self.page[name]
        return Response(content, media_type=kind)

    def about(self, request: Request) -> Response:
        facts = {
            "data": self.desk.data.absolute().name, "run": self.desk.run.absolute().name,
            "reader": self.reader, "classes": self.desk.classes(),
            "has_ignore": self.desk.cohort.ignore is not None,
            "order": "rank" if self.desk.ranked.reasons else "names",
        }  # fmt: skip
        return JSONResponse(facts)

    def scans(self, request: Request) -> Response:
        return JSONResponse(self.desk.listing(self.who(request.query_params)))

    def image(self, request: Request) -> Response:
        asked = request.query_params
        at = _number(asked["slice"]) if "slice" in asked else None
        return _bytes(self.desk.image(asked.get("case", ""), _number(asked.get("channel", "0")), at))

    def label(self, request: Request) -> Response:
        found = self.desk.label(request.query_params.get("case", ""))
        return Response(status_code=204) if found is None else _packed(found, request)

    def mask(self, request: Request) -> Response:
        return _packed(self.desk.mask(request.query_params.get("case", "")), request)

    def history(self, request: Request) -> Response:
        scan = self.desk.case(request.query_params.get("case", "")).name
        return JSONResponse(self.desk.book.history(scan))

    async def open_scan(self, request: Request) -> Response:
        given = await read_object(request, case=str)
        facts = await run_in_threadpool(self.desk.facts, given["case"], self.who(given))
        return JSONResponse(facts)

    async def next_scan(self, request: Request) -> Response:
        given = await read_object(request, self.most_passed)
        passed = given.get("besides")
        besides = [name for name in passed if isinstance(name, str)] if isinstance(passed, list) else []
        return JSONResponse(await run_in_threadpool(self.desk.take_next, self.who(given), besides))

    async def get_ready(self, request: Request) -> Response:
        given = await read_object(request, case=str)
        await run_in_threadpool(self.desk.get_ready, self.who(given), given["case"])
        return Response(status_code=204)

    async def stay(self, request: Request) -> Response:
        given = await read_object(request, case=str)
        await run_in_threadpool(self.desk.book.take, self.desk.case(given["case"]).name, self.who(given))
        return Response(status_code=204)

    async def leave(self, request: Request) -> Response:
        await run_in_threadpool(self.desk.book.let_go, self.who(await read_object(request)))
        return Response(status_code=204)

    async def mark(self, request: Request) -> Response:
        given = await read_object(request, case=str, action=str)
        note = str(given.get("note", ""))[:LONGEST]
        seconds = _seconds(given.get("seconds"))
        await run_in_threadpool(
            self.desk.mark, given["case"], self.who(given), given["action"], note, seconds
        )
        return Response(status_code=204)

    async def save(self, request: Request) -> Response:
        asked = request.query_params
        scan, reader = self.desk.case(asked.get("case", "")).name, self.who(asked)
        opened = await run_in_threadpool(self.desk.opened, scan)
        drawn = Drawn.parse(asked["drawn"]) if asked.get("drawn") else None
        whole = [_number(part) for part in asked["classes"].split(",")] if "classes" in asked else None
        raw = await read_body(request, opened.grid.voxels)
        seconds = _seconds(asked.get("seconds"))
        version = await run_in_threadpool(
            self.desk.save, scan, reader, asked.get("version", ""), raw, seconds, drawn, whole
        )
        return JSONResponse({"version": version})

    def progress(self, request: Request) -> Response:
        return JSONResponse(self.training.progress(self.desk.run))

    async def train(self, request: Request) -> Response:
        labeled = await run_in_threadpool(self.desk.labeled)
        method = str(self.desk.card["method"])
        await run_in_threadpool(self.training.start, self.desk.run, method, labeled, self.desk.folder)
        return JSONResponse(self.training.progress(self.desk.run))

    async def stop(self, request: Request) -> Response:
        await run_in_threadpool(self.training.ask_to_stop)
        return Response(status_code=204)

    def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, SemivoxError)
        kind = type(error).__name__
        return JSONResponse({"error": str(error), "kind": kind}, status_of(error))


def _bytes(content: bytes) -> Response:
    return Response(content, media_type="application/octet-stream")


def _packed(content: bytes, request: Request) -> Response:
    """Masks are mostly background: packed quickly they are a hundredth. Scans hardly shrink, and are not."""
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return _bytes(content)
    answer = _bytes(gzip.compress(content, compresslevel=1, mtime=0))
    answer.headers["content-encoding"] = "gzip"
    return answer


def _number(given: str) -> int:
    """-1 for what is none."""
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 8 else -1


def _seconds(given: Any) -> float:
    """What a page says of the time that was spent: within a day."""
    try:
        seconds = float(given or 0.0)
    except (TypeError, ValueError):
        return 0.0
    return min(max(seconds, 0.0), 86400.0) if seconds == seconds else 0.0
