"""A real Orthanc, and a server that misbehaves as it is told; both on the loopback interface."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ..dicom.conftest import untrained

__all__ = ["untrained"]
EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "archive_here.py"
NEEDS = "needs Orthanc and its DICOMweb plug-in: apt-get install orthanc orthanc-dicomweb"
LOGIN = "someone:secret"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class Orthanc(NamedTuple):
    """An Orthanc, and its address with the login."""

    archive: Any
    word: str

    @property
    def base(self) -> str:
        return str(self.archive.base)

    def objects(self, study: str, modality: str) -> list[str]:
        """Orthanc's names of the objects of a modality in a study."""
        asked = {"Level": "Instance", "Query": {"StudyInstanceUID": study, "Modality": modality}}
        return sorted(json.loads(self.archive.rest("tools/find", json.dumps(asked).encode())))


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """That of the example."""
    spec = importlib.util.spec_from_file_location("archive_here", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    sys.modules["archive_here"] = example
    spec.loader.exec_module(example)
    if shutil.which("Orthanc") is None or not example.PLUGIN.is_file():
        pytest.skip(NEEDS)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with example.running(tmp_path_factory.mktemp("orthanc"), port, LOGIN) as archive:
        yield Orthanc(archive, f"dicomweb:http://{LOGIN}@127.0.0.1:{port}/dicom-web")


Behaviour = Callable[[BaseHTTPRequestHandler], None]


class Fake:
    """``answers`` maps the end of a path to what is done; ``seen`` has (method, path, Authorization)."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.server, self.port = server, server.server_address[1]
        self.base = f"http://127.0.0.1:{self.port}/web"
        self.answers: dict[str, Behaviour] = {}
        self.seen: list[tuple[str, str, str | None]] = []


@pytest.fixture
def fake() -> Iterator[Fake]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            made.seen.append((self.command, self.path, self.headers.get("Authorization")))
            path = self.path.partition("?")[0]
            offset = "offset=" in self.path
            found = [v for end, v in made.answers.items() if path.endswith(end)]
            if offset and "always" not in made.answers:
                say(200, "application/dicom+json", b"[]")(self)
            elif found:
                found[0](self)
            else:
                say(404, "text/plain", b"nothing here")(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up
    made = Fake(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def say(status: int, kind: str, body: bytes, length: int | None = None, **headers: str) -> Behaviour:
    """An answer; ``length``: what Content-Length says (-1: it says nothing)."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        if length != -1:
            handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer
