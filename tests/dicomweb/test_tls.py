"""Over https: a certificate is verified, by an authority of one's own too; nothing goes out unencrypted."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pydicom
import pytest

from semivox.commands.predict import predict
from semivox.dicomweb import Server, address_of
from semivox.errors import DataError

from ..dicom.made_series import numbers, write_series
from .conftest import Fake, Orthanc, say

SEARCH = "studies/1.2.3/series"


def authority(folder: Path, name: str, address: str = "127.0.0.1") -> tuple[Path, Path, Path]:
    """Certificate of an authority; key and certificate of a server at ``address`` that it signed."""
    folder.mkdir()

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    own = ("-keyout", "own.key", "-out", "own.pem", "-days", "2", "-subj", f"/CN={name}")
    openssl("req", "-x509", *curve, *own, "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=archive")
    (folder / "more").write_text(f"subjectAltName=IP:{address}\n")
    signed = ("-CA", "own.pem", "-CAkey", "own.key", "-CAcreateserial", "-days", "2", "-extfile", "more")
    openssl("x509", "-req", "-in", "server.csr", *signed, "-out", "server.pem")
    return folder / "own.pem", folder / "server.key", folder / "server.pem"


def encrypt(fake: Fake, key: Path, certificate: Path) -> Server:
    """Let the server that is there speak TLS alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    fake.server.socket = context.wrap_socket(
        fake.server.socket, server_side=True, do_handshake_on_connect=False
    )
    fake.answers = {SEARCH: say(200, "application/dicom+json", b"[]")}
    return Server(address_of(f"dicomweb:https://someone:secret@127.0.0.1:{fake.port}/web"), 5)


def test_an_authority_of_ones_own_is_trusted_by_the_environment(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, key, certificate = authority(tmp_path / "a", "our hospital")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    assert encrypt(fake, key, certificate).found(SEARCH) == []
    assert fake.seen == [("GET", f"/web/{SEARCH}", "Basic c29tZW9uZTpzZWNyZXQ=")]


@pytest.mark.parametrize("whose", ["nobody", "another authority", "another server"])
def test_who_is_not_trusted_is_told_nothing(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    address = "127.0.0.2" if whose == "another server" else "127.0.0.1"
    trusted, key, certificate = authority(tmp_path / "a", "our hospital", address)
    if whose == "another authority":
        trusted, *_ = authority(tmp_path / "b", "theirs")
    if whose == "nobody":
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    else:
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with pytest.raises(DataError, match="certificate is not trusted") as raised:
        encrypt(fake, key, certificate).found(SEARCH)
    assert "SSL_CERT_FILE" in str(raised.value.remedy)
    assert "secret" not in str(raised.value)
    assert fake.seen == []


def test_https_never_becomes_http(fake: Fake) -> None:
    """Nor does a server that speaks no TLS get the login."""
    fake.answers = {SEARCH: say(200, "application/dicom+json", b"[]")}
    server = Server(address_of(f"dicomweb:https://someone:secret@127.0.0.1:{fake.port}/web"), 5)
    with pytest.raises(DataError, match="cannot be reached, or speaks no HTTP"):
        server.found(SEARCH)
    assert fake.seen == []


@contextmanager
def door(port: int, key: Path, certificate: Path) -> Iterator[int]:
    """A port that speaks TLS for a server at another one, as nginx does before an archive."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve(raw: socket.socket) -> None:
        with (
            suppress(OSError),
            closing(socket.create_connection(("127.0.0.1", port))) as far,
            context.wrap_socket(raw, server_side=True) as near,
        ):
            back = threading.Thread(target=passed, args=(far, near), daemon=True)
            back.start()
            passed(near, far)
            back.join()

    def passed(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                target.sendall(piece)
            target.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]


def test_an_archive_behind_https_is_read_from_and_stored_to(
    orthanc: Orthanc, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orthanc behind a proxy of TLS. Who does not trust its authority reads and stores nothing there."""
    trusted, key, certificate = authority(tmp_path / "a", "our hospital")
    theirs, *_ = authority(tmp_path / "b", "theirs")
    planes, out = write_series(tmp_path / "series", numbers()), tmp_path / "out"
    study, port = str(pydicom.dcmread(planes[0]).StudyInstanceUID), orthanc.archive.port
    orthanc.archive.add(tmp_path / "series")
    with door(port, key, certificate) as encrypted:
        word = orthanc.word.replace("http://", "https://").replace(f":{port}/", f":{encrypted}/")
        for file in (theirs, tmp_path / "missing.pem", tmp_path):
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
            with pytest.raises(DataError, match="certificate is not trusted") as raised:
                predict(untrained, word, out, study=study, device="cpu")
            assert "SSL_CERT_FILE" in str(raised.value.remedy)
            assert ("is no file" in str(raised.value.found)) == (file != theirs)
        assert orthanc.objects(study, "SEG") == []
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        report = predict(untrained, word, out, study=study, device="cpu")
    assert (len(report.rows), len(report.stored), report.not_stored) == (1, 1, ())
    assert len(orthanc.objects(study, "SEG")) == 1
