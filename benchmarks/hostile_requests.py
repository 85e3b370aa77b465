"""Hostile requests to the server of `semivox annotate`: what ends in an error of the server, or elsewhere.

    OMP_NUM_THREADS=1 python benchmarks/hostile_requests.py [--tries 3000] [--seed 0]

Each try asks one of the routes that the server declares, by one of the methods, as the page or 3D Slicer
does, with one to three things damaged: a value of the address or of the body, the body's bytes, a form and
the label in it, a header, the token. A try is wrong if an exception escapes, the answer's status is 500 or
more, it takes more than 20 s, or a file changes beside labels, their copies, the book and cases.csv.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import nibabel as nib
import numpy as np

from hostile_damage import TEXTS, VALUES
from hostile_stage import listing
from kill_scenes import template
from semivox.annotating import Desk
from semivox.annotating.book import Reader
from semivox.annotating.guard import Address, Guard
from semivox.annotating.jobs import Length, Training
from semivox.annotating.multipart import Part, compose
from semivox.annotating.routes import PageApp
from semivox.annotating.slicer import SlicerApp
from semivox.errors import SettingsError

LONGEST, ADDRESS_SPACE = 20.0, 8 * 2**30
TOKEN = "a-token-of-twenty-four-x"
MAY_CHANGE = ("drawn/annotations", "drawn/labelsTr", "drawn/cases.csv")
HEADERS = ("host", "origin", "cookie", "authorization", "content-type", "content-encoding", "content-length",
           "accept-encoding", "sec-fetch-site")  # fmt: skip
BODIES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": lambda body, rng: b"",
    "half": lambda body, rng: body[: len(body) // 2],
    "noise": lambda body, rng: rng.randbytes(999),
    "bits": lambda body, rng: _bits(body, rng),
    "twice": lambda body, rng: body + body,
    "packed": lambda body, rng: gzip.compress(body),
    "bomb": lambda body, rng: gzip.compress(bytes(2**24)),
    "long": lambda body, rng: b"y" * 2**21,
    "deep": lambda body, rng: b"[" * 50_000,
}


class NoTraining(Training):
    """Begins none."""

    def start(self, *asked: Any) -> Path:
        raise SettingsError("a training is running")


class Server:
    """The server's application for ``root/drawn``, asked without a network."""

    def __init__(self, root: Path) -> None:
        self.desk = Desk(root / "model1", root / "drawn", "cpu")
        self.address = Address.at("127.0.0.1", 8080, TOKEN)
        training = NoTraining(self.desk.data, Length(), lambda run: None)
        further = SlicerApp(self.desk, training, self.address).routes()
        app = PageApp(self.desk, training, "me").app(further)
        self.routes = [(route.path, method) for route in app.routes for method in sorted(route.methods)]  # type: ignore[attr-defined]
        self.app = Guard(app, self.address)

    def ask(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> int:
        """Status of the answer; what the application raises is raised."""
        sent: list[Any] = []
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return parts.pop() if parts else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode("utf-8", "replace"), "root_path": "", "scheme": "http",
            "query_string": query.encode(), "client": ("127.0.0.1", 9), "server": ("127.0.0.1", 8080),
            "headers": [(k.encode(), v.encode("latin-1", "replace")) for k, v in headers.items()],
        }  # fmt: skip
        with ThreadPoolExecutor(1) as apart:  # whoever calls may have a loop that runs
            apart.submit(asyncio.run, self.app(scope, receive, send)).result()
        return int(next(m["status"] for m in sent if m["type"] == "http.response.start"))


def attempt(server: Server, seed: int, number: int) -> tuple[str, str]:
    """Outcome and description of a try."""
    rng = random.Random(f"{seed}/{number}")
    path, method = rng.choice(server.routes)
    method = method if rng.random() < 0.95 else rng.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "x"))
    scan = rng.choice(list(server.desk.cases))
    fields: dict[str, Any] = {
        "case": scan, "image": scan, "label": scan, "holder": "page-of-mine", "reader": "me", "seconds": "2",
        "version": server.desk.store.version(server.desk.case(scan)), "channel": "0",
        "classes": "1", "action": rng.choice(("skip", "flag", "back")), "note": "x", "besides": [scan],
        "client_id": "me", "label_info": [{"name": "atrium", "idx": 1}], "check_if_running": "1",
    }  # fmt: skip
    query = {name: str(value) for name, value in fields.items() if name != "note"}
    headers = {
        "host": "127.0.0.1:8080",
        "origin": "http://127.0.0.1:8080",
        "authorization": f"Bearer {TOKEN}",
    }
    path = path.replace("{name}", "page.js").replace("{model}", "semivox").replace("{strategy}", "rank")
    damages = [
        rng.choice(("query", "field", "body", "header", "path", "label")) for _ in range(rng.randint(1, 3))
    ]
    label, said = _label(server.desk, scan, rng), []
    for damage in damages:
        text = rng.choice(TEXTS)
        if damage == "query":
            query[name := rng.choice(list(query))] = text
            said.append(f"{name}={text[:20]!r}")
        elif damage == "field":
            name, what = rng.choice(list(fields)), rng.choice(list(VALUES))
            fields[name] = _value(VALUES[what])
            said.append(f"{name}: {what}")
        elif damage == "header":
            headers[name := rng.choice(HEADERS)] = rng.choice(
                (text, "gzip", "-1", "99999999999", "multipart/form-data")
            )
            said.append(f"{name}: {headers[name][:20]!r}")
        elif damage == "path" and rng.random() < 0.3:
            path = rng.choice(
                (path + text, f"/token/{text}{path}", "/page/" + text, "/page/../../dataset.json")
            )
            said.append(path[:30])
        elif damage == "label":
            label = BODIES[what := rng.choice(list(BODIES))](label, rng)
            said.append(f"label {what}")
    body = json.dumps(fields).encode()
    if path == "/api/save":
        body = rng.randbytes(server.desk.opened(scan).grid.voxels) if rng.random() < 0.5 else bytes(9)
    elif method == "PUT" or "infer" in path:
        parts = {
            "params": Part(json.dumps(fields).encode()),
            "label": Part(label, rng.choice(("a.nii.gz", "a.png"))),
        }
        body, kind = compose(parts)
        headers.setdefault("content-type", kind)
    if "body" in damages:
        body = BODIES[what := rng.choice(list(BODIES))](body, rng)
        said.append(f"body {what}")
    about = f"{method} {path[:40]} {', '.join(said)}"
    began = time.process_time()
    try:
        status = server.ask(method, path, urlencode(query, errors="replace"), headers, body)
    except Exception as error:
        return "bug", f"{about}: {type(error).__name__}: {error}"[:600]
    for holder in {query["holder"], str(fields["holder"])}:
        server.desk.book.let_go(Reader("me", holder.encode("utf-8", "replace").decode()))
    if time.process_time() - began > LONGEST:
        return "slow", about
    return ("bug" if status >= 500 else str(status)), f"{about}: {status}"


def _label(desk: Desk, scan: str, rng: random.Random) -> bytes:
    """A file of a label that fits or does not."""
    shape = desk.opened(scan).grid.shape if rng.random() < 0.7 else (rng.randint(1, 9), 3, 2)
    values = np.random.default_rng(rng.randrange(9)).integers(0, 3, shape).astype(np.uint8)
    return gzip.compress(nib.Nifti1Image(values, np.eye(4)).to_bytes())


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _bits(body: bytes, rng: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(9):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def sweep(root: Path, tries: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Counts of outcomes, and descriptions of what is wrong."""
    before, server = listing(root), Server(root)
    counts, wrong = Counter[str](), list[str]()
    for number in range(tries):
        outcome, said = attempt(server, seed, number)
        counts[outcome] += 1
        if not outcome.isdigit():
            wrong.append(f"{number}: {outcome}: {said}")
    now = listing(root)
    changed = sorted(name for name in {*now, *before} if now.get(name) != before.get(name))
    return counts, wrong + [f"changed: {name}" for name in changed if not name.startswith(MAY_CHANGE)]


def build(root: Path) -> None:
    """A run, and a data folder to draw on."""
    from shutil import copytree

    template(root)
    copytree(root / "phantoms/train", root / "drawn")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        build(Path(folder))
        counts, wrong = sweep(Path(folder), given.tries, given.seed)
    print(" ".join(f"{outcome}: {number}" for outcome, number in sorted(counts.items())))
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
