"""A real server of S3 on the loopback interface (moto's), and a way to it that stalls."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "hospital"


class Bucket:
    """What lies in it, as another program sees it."""

    def __init__(self, address: str) -> None:
        self.address = address
        keys = {"aws_access_key_id": "someone", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self.client: Any = boto3.client("s3", endpoint_url=address, **keys)  # type: ignore[call-overload]

    def put(self, key: str, content: bytes | Path) -> None:
        body = content.read_bytes() if isinstance(content, Path) else content
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def put_folder(self, folder: Path, key: str) -> None:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.put(f"{key}/{path.relative_to(folder).as_posix()}", path)

    def get(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def keys(self, prefix: str = "") -> list[str]:
        """Without the prefix, sorted."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return sorted(each["Key"].removeprefix(prefix) for each in found)

    def remove(self, *keys: str) -> None:
        for key in keys:
            self.client.delete_object(Bucket=BUCKET, Key=key)

    def demand_login(self, demanded: bool) -> None:
        """Whether the server refuses keys that it does not know, as others do."""
        count = b"0" if demanded else b"inf"
        asked = urllib.request.Request(
            f"{self.address}/moto-api/reset-auth", count, {"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(asked, timeout=10).close()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Its address."""
    running = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Empty, and what the environment names; copies lie in ``tmp_path/copies``."""
    urllib.request.urlopen(urllib.request.Request(f"{server}/moto-api/reset", b"", method="POST")).close()
    for name, value in {
        "AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "SEMIVOX_REMOTE_CACHE": str(tmp_path / "copies"), "no_proxy": "127.0.0.1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    made = Bucket(server)
    made.client.create_bucket(Bucket=BUCKET)
    return made


class Stalling:
    """An address that leads to the server, to which it passes ``most`` bytes and no more."""

    def __init__(self, address: str, most: int) -> None:
        self.to = ("127.0.0.1", int(address.rpartition(":")[2]))
        self.left, self.lock, self.stalled = most, threading.Lock(), threading.Event()
        self.sockets = list[socket.socket]()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in (self.listening, *self.sockets):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near = self.listening.accept()[0]
                far = socket.create_connection(self.to)
            except OSError:
                return
            self.sockets += [near, far]
            threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        try:
            while piece := source.recv(1 << 16):
                with self.lock:
                    self.left -= len(piece) * counted
                    if self.left < 0:
                        self.stalled.set()
                        return
                target.sendall(piece)
        except OSError:
            return
