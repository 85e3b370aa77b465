"""3D Slicer as a client: the part of MONAILabel's REST interface that its module and its Python client use.

A label that comes this way is saved as the page's are: into the same place, with the same leases, versions
and book. The client tells no version; what it was handed last stands for what it has seen.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from semivox.annotating import exchange, multipart
from semivox.annotating.book import Reader
from semivox.annotating.bounded import read_body, read_object
from semivox.annotating.refusals import NotThere, NotWanted

if TYPE_CHECKING:
    from semivox.annotating.desk import Desk
    from semivox.annotating.guard import Address
    from semivox.annotating.jobs import Training

MODEL, STRATEGY = "semivox", "rank"
FINAL = "final"
"""The tag of a label that a person has saved."""
BYTES_A_VOXEL = 8
MOST_LOGIN = 4096
ROOM = 2**20
"""Bytes of a label's file beside its voxels, and of the form around it."""
STATES = {"running": "RUNNING", "done": "DONE", "stopped": "CANCELED", "failed": "ERROR", "none": "PENDING"}


class SlicerApp:
    """MONAILabel's routes for ``desk`` and ``training``; ``address`` has the token, if any."""

    def __init__(self, desk: Desk, training: Training, address: Address) -> None:
        self.desk, self.training, self.address = desk, training, address
        self._seen: dict[tuple[str, str], str] = {}

    def routes(self) -> list[Route]:
        return [
            Route("/info/", self.info, methods=["GET"]),
            Route("/auth/", self.login_needed, methods=["GET"]),
            Route("/auth/token", self.login, methods=["POST"]),
            Route("/auth/token/valid", lambda request: JSONResponse({}), methods=["GET"]),
            Route("/activelearning/{strategy}", self.next_sample, methods=["POST"]),
            Route("/infer/{model}", self.infer, methods=["POST"]),
            Route("/datastore/", self.datastore, methods=["GET"]),
            Route("/datastore/image", self.image, methods=["GET"]),
            Route("/datastore/label", self.label, methods=["GET"]),
            Route("/datastore/label", self.save_label, methods=["PUT"]),
            Route("/train/", self.train_status, methods=["GET"]),
            Route("/train/", self.train, methods=["POST"]),
            Route("/train/{model}", self.train, methods=["POST"]),
            Route("/train/", self.stop, methods=["DELETE"]),
        ]

    # ---- the token

    def login_needed(self, request: Request) -> Response:
        return JSONResponse({"enabled": self.address.token is not None})

    async def login(self, request: Request) -> Response:
        """Any name, and the token as its password."""
        form = parse_qs((await read_body(request, MOST_LOGIN)).decode("latin-1"))
        given = (form.get("password") or [""])[0]
        if not self.address.knows(given):
            return JSONResponse({"error": "the password is the token that semivox annotate showed"}, 401)
        return JSONResponse({"access_token": given, "token_type": "bearer"})

    # ---- what there is

    def info(self, request: Request) -> Response:
        desk = self.desk
        labels = {row["name"]: row["value"] for row in desk.classes() if not row["ignore"]}
        rows = desk.listing(Reader("", ""))
        model = {
            "type": "segmentation", "labels": labels, "dimension": len(desk.card["plan"]["patch"]),
            "description": f"the run {desk.run.absolute().name}", "config": {},
        }  # fmt: skip
        return JSONResponse(
            {
                "name": f"semivox: {desk.data.absolute().name}", "description": "a run of semivox",
                "version": "0", "labels": list(labels), "models": {MODEL: model},
                "trainers": {MODEL: {"description": "Train again", "config": {}}},
                "strategies": {STRATEGY: {"description": "the scans in the order of semivox rank"}},
                "scoring": {}, "train_stats": {MODEL: {}}, "config": {},
                "datastore": {
                    "total": len(rows), "completed": sum(row["labeled"] for row in rows),
                    "label_tags": {FINAL: sum(row["labeled"] for row in rows)},
                },
            }
        )  # fmt: skip

    def datastore(self, request: Request) -> Response:
        found = {}
        for row in self.desk.listing(Reader("", "")):
            name = row["case"]
            tags = {FINAL: {"ext": "", "info": {}}} if row["labeled"] else {}
            found[name] = {
                "image": {"ext": "", "info": {"name": self._file_name(name)}},
                "labels": {"tags": tags},
            }
        return JSONResponse({"name": self.desk.data.absolute().name, "description": "", "objects": found})

    async def next_sample(self, request: Request) -> Response:
        reader = self._who(request, await read_object(request))
        facts = await run_in_threadpool(self.desk.take_next, reader)
        if facts is None:
            return JSONResponse({})
        self._seen[reader.holder, facts["case"]] = facts["version"]
        name = self._file_name(facts["case"])
        return JSONResponse({"id": facts["case"], "name": name, "strategy": facts["reason"], "path": ""})

    # ---- files

    def image(self, request: Request) -> Response:
        scan = self._scan(request)
        return _file(exchange.image_file(self.desk, scan), self._file_name(scan))

    def label(self, request: Request) -> Response:
        scan = self.desk.case(request.query_params.get("label", "")).name
        found = exchange.label_file(self.desk, scan)
        if found is None:
            raise NotThere("this scan has no label", found=scan)
        content, name = found
        for holder, seen in list(self._seen):
            if seen == scan and holder.endswith(_at(request)):
                self._seen[holder, scan] = self.desk.store.version(self.desk.case(scan))
        return _file(content, name)

    async def infer(self, request: Request) -> Response:
        scan = self._scan(request)
        form = multipart.parse(await read_body(request, ROOM), request.headers.get("content-type", ""))
        reader = self._who(request, _object(form))
        version = self.desk.store.version(self.desk.case(scan))
        content = await run_in_threadpool(exchange.mask_file, self.desk, scan)
        self._seen[reader.holder, scan] = version
        names = {row["name"]: row["value"] for row in self.desk.classes() if not row["ignore"]}
        told = json.dumps({"label_names": names, "model_id": self.desk.card["model_id"]}).encode()
        file = f"{quote(scan, safe='')}.nii.gz"
        body, kind = multipart.compose(
            {"params": multipart.Part(told), "file": multipart.Part(content, file)}
        )
        return Response(body, headers={"content-type": kind})

    async def save_label(self, request: Request) -> Response:
        scan = self._scan(request)
        opened = await run_in_threadpool(self.desk.opened, scan)
        body = await read_body(request, BYTES_A_VOXEL * opened.grid.voxels + ROOM)
        form = multipart.parse(body, request.headers.get("content-type", ""))
        if "label" not in form:
            raise NotWanted("the form holds no label", expected="a file named label")
        given = _object(form)
        reader = self._who(request, given)
        await run_in_threadpool(self.desk.book.take, scan, reader)
        values = await run_in_threadpool(
            exchange.read_sent, self.desk, scan, form["label"].content, form["label"].file, _names(given)
        )
        began_with = self._seen.get((reader.holder, scan), "")
        version = await run_in_threadpool(self.desk.save_values, scan, reader, began_with, values, 0.0)
        self._seen[reader.holder, scan] = version
        return JSONResponse({"image": scan, "label": scan})

    # ---- training

    async def train(self, request: Request) -> Response:
        await read_body(request, ROOM)
        labeled = await run_in_threadpool(self.desk.labeled)
        method = str(self.desk.card["method"])
        await run_in_threadpool(self.training.start, self.desk.run, method, labeled, self.desk.folder)
        return JSONResponse(self._progress())

    def train_status(self, request: Request) -> Response:
        told = self._progress()
        if request.query_params.get("check_if_running") and told["status"] != "RUNNING":
            return JSONResponse({"error": "no training is running"}, 404)
        return JSONResponse(told)

    async def stop(self, request: Request) -> Response:
        await run_in_threadpool(self.training.ask_to_stop)
        return JSONResponse(self._progress())

    def _progress(self) -> dict[str, Any]:
        state = self.training.progress(self.desk.run)
        return {"model": MODEL, "status": STATES[state["state"]], "details": state, "process": MODEL}

    # ---- words

    def _scan(self, request: Request) -> str:
        return self.desk.case(request.query_params.get("image", "")).name

    def _file_name(self, scan: str) -> str:
        return exchange.image_name(self.desk, scan)

    @staticmethod
    def _who(request: Request, given: dict[str, Any]) -> Reader:
        """Clients of one name on one computer are one reader: MONAILabel's tell no more."""
        name = str(given.get("client_id") or "3D Slicer")[:80]
        return Reader(name, f"slicer {name}{_at(request)}")


def _at(request: Request) -> str:
    """How holders on the computer that asks end."""
    return f" at {request.client.host if request.client else ''}"


def _object(form: dict[str, multipart.Part]) -> dict[str, Any]:
    try:
        given = json.loads(form["params"].content or b"{}") if "params" in form else {}
    except (ValueError, RecursionError):
        raise NotWanted("'params' is no JSON") from None
    return given if isinstance(given, dict) else {}


def _names(given: dict[str, Any]) -> dict[int, str]:
    """Value -> name, as Slicer tells them of the segments that it wrote."""
    rows = given.get("label_info")
    found = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("idx"), int) and isinstance(row.get("name"), str):
            found[row["idx"]] = row["name"]
    return found


def _file(content: bytes, name: str) -> Response:
    told = f"attachment; filename*=utf-8''{quote(name, safe='')}"
    return Response(
        content, headers={"content-type": "application/octet-stream", "content-disposition": told}
    )
