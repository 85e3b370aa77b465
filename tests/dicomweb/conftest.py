"""A real Orthanc, and a server that misbehaves as it is told; both on the loopback interface."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ..dicom.conftest import untrained

__all__ = ["untrained"]
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
NEEDS = "needs Orthanc and its DICOMweb plug-in: apt-get install orthanc orthanc-dicomweb"
LOGIN = "someone:secret"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@dataclass(frozen=True)
class Archive:
    """An Orthanc; ``word`` is its address with the login."""

    port: int

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"

    @property
    def word(self) -> str:
        return f"dicomweb:http://{LOGIN}@127.0.0.1:{self.port}/dicom-web"

    def rest(self, path: str, content: bytes | None = None) -> bytes:
        """Orthanc's own interface, which is not DICOMweb."""
        login = {"Authorization": f"Basic {b64encode(LOGIN.encode()).decode()}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", content, login)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=20) as answer:
            return bytes(answer.read())

    def add(self, folder: Path) -> None:
        for file in folder.iterdir():
            self.rest("instances", file.read_bytes())

    def objects(self, study: str, modality: str) -> list[str]:
        """Orthanc's names of the objects of a modality in a study."""
        asked = {"Level": "Instance", "Query": {"StudyInstanceUID": study, "Modality": modality}}
        return sorted(json.loads(self.rest("tools/find", json.dumps(asked).encode())))


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    if shutil.which("Orthanc") is None or not PLUGIN.is_file():
        pytest.skip(NEEDS)
    folder = tmp_path_factory.mktemp("orthanc")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        archive = Archive(free.getsockname()[1])
    name, _, password = LOGIN.partition(":")
    settings = {
        "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
        "Plugins": [str(PLUGIN)], "HttpPort": archive.port, "DicomServerEnabled": False,
        "RemoteAccessAllowed": False, "AuthenticationEnabled": True, "RegisteredUsers": {name: password},
        "HttpThreadsCount": 2, "ConcurrentJobs": 1, "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            for _ in range(200):
                try:
                    archive.rest("system")
                    break
                except OSError:
                    assert process.poll() is None, (folder / "log").read_text()
                    time.sleep(0.1)
            yield archive
        finally:
            process.terminate()
            process.wait(20)


Behaviour = Callable[[BaseHTTPRequestHandler], None]


class Fake:
    """``answers`` maps the end of a path to what is done; ``seen`` has (method, path, Authorization)."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.port = server.server_address[1]
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
