"""A DICOM archive of your own, to try DICOMweb with: Orthanc in a temporary folder, for this machine alone.

    python docs/examples/archive_here.py SERIES [PORT]

puts every DICOM file below SERIES into it, prints its address and its studies, and goes when it is stopped
(Ctrl-C), with all that it has. It needs Orthanc and its plug-in: apt-get install orthanc orthanc-dicomweb.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Archive:
    """A running Orthanc; ``login``: ``user:password``, or nothing."""

    port: int
    login: str = ""

    @property
    def base(self) -> str:
        """The URL of its DICOMweb service."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def rest(self, path: str, content: bytes | None = None) -> bytes:
        """Orthanc's own interface, which is not DICOMweb."""
        headers = {"Authorization": f"Basic {b64encode(self.login.encode()).decode()}"} if self.login else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", content, headers)
        with LOCAL.open(request, timeout=20) as answer:
            return bytes(answer.read())

    def add(self, folder: Path) -> None:
        """Every file in a folder and below it."""
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.rest("instances", file.read_bytes())


@contextmanager
def running(folder: Path, port: int, login: str = "") -> Iterator[Archive]:
    """An Orthanc that keeps what it gets in ``folder``."""
    archive = Archive(port, login)
    user, _, password = login.partition(":")
    settings = {
        "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
        "Plugins": [str(PLUGIN)], "HttpPort": port, "DicomServerEnabled": False, "RemoteAccessAllowed": False,
        "AuthenticationEnabled": bool(login), "RegisteredUsers": {user: password} if login else {},
        "HttpThreadsCount": 2, "ConcurrentJobs": 1, "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            for _ in range(200):
                if process.poll() is not None:
                    raise SystemExit(f"Orthanc did not start:\n{(folder / 'log').read_text()[-2000:]}")
                try:
                    archive.rest("system")
                    break
                except OSError:
                    time.sleep(0.1)
            yield archive
        finally:
            process.terminate()
            process.wait(30)


def main(series: Path, port: int) -> None:
    """Serve what lies below ``series``."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), port) as archive:
        archive.add(series)
        print(f"dicomweb:{archive.base}")
        for study in json.loads(archive.rest("studies?expand")):
            patient = study["PatientMainDicomTags"]["PatientID"]
            uid = study["MainDicomTags"]["StudyInstanceUID"]
            print(f"--study {uid}   {patient}, {len(study['Series'])} series", flush=True)
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            print("gone")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8042)
