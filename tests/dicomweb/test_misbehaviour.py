"""Servers that refuse, stall, break off or send other things: a clear error, and nothing half-written."""

from __future__ import annotations

import email
import json
import random
import time
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pydicom
import pytest

import semivox.dicomweb.study as study_module
from semivox.cli import main
from semivox.dicomweb import Server, address_of, fetched, without_login
from semivox.dicomweb.exchange import Answer
from semivox.dicomweb.multipart import as_one_part, objects_in
from semivox.errors import DataError, SettingsError

from ..dicom.made_series import numbers, write_series
from .conftest import Behaviour, Fake, say

STUDY, SERIES = "1.2.3", "1.2.3.4"
SEARCH = "application/dicom+json"
KIND = "multipart/related; type=application/dicom; boundary=XX"


def listing(key: str, *uids: str, of: str = STUDY) -> bytes:
    entries = [
        {key: {"vr": "UI", "Value": [u]}, "0020000D": {"vr": "UI", "Value": [of]},
         "00080060": {"vr": "CS", "Value": ["CT"]}} for u in uids
    ]  # fmt: skip
    return json.dumps(entries).encode()


def body(files: list[bytes], end: bytes = b"\r\n--XX--\r\n") -> bytes:
    parts = [b"--XX\r\nContent-Type: application/dicom\r\n\r\n" + file for file in files]
    return b"\r\n".join(parts) + end


@pytest.fixture
def files(tmp_path: Path) -> list[bytes]:
    """The objects of the series, as a server sends them."""
    paths = write_series(tmp_path / "series", numbers()[..., :3], uids=(SERIES, STUDY))
    return [path.read_bytes() for path in paths]


@pytest.fixture
def honest(fake: Fake, files: list[bytes]) -> Fake:
    """A server without fault, which each test spoils."""
    uids = [str(pydicom.dcmread(pydicom.filebase.DicomBytesIO(file)).SOPInstanceUID) for file in files]
    fake.answers = {
        f"/studies/{STUDY}/series": say(200, SEARCH, listing("0020000E", SERIES)),
        "/instances": say(200, SEARCH, listing("00080018", *uids)),
        f"/series/{SERIES}": say(200, KIND, body(files)),
    }
    return fake


PATIENCE, IMPATIENCE = 20.0, 1.0
"""Seconds: a busy machine is slow to answer, which must be no fault but where slowness is what is tried."""


def fetch(fake: Fake, folder: Path, seconds: float = PATIENCE) -> int:
    """Names of the scans that come, from ``folder``, which is empty before and afterwards."""
    word = f"dicomweb:http://someone:secret@127.0.0.1:{fake.port}/web"
    try:
        with fetched(Server(address_of(word), seconds), STUDY, None, folder / "out") as scans:
            return len(scans.cases)
    finally:
        assert [path.name for path in folder.iterdir() if path.name != "series"] == []


def test_an_honest_server_is_read(honest: Fake, tmp_path: Path) -> None:
    assert fetch(honest, tmp_path) == 1
    assert {login for _, _, login in honest.seen} == {"Basic c29tZW9uZTpzZWNyZXQ="}


def drip(head: bytes, drop: bytes = b"x") -> Behaviour:
    """``head`` at once, then a byte every tenth of a second, for five seconds at most."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head)
        for _ in range(50):
            handler.wfile.write(drop)
            handler.wfile.flush()
            time.sleep(0.1)

    return answer


def other(files: list[bytes], tag: str) -> bytes:
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(files[0]))
    setattr(dataset, tag, "1.2.99")
    buffer = pydicom.filebase.DicomBytesIO()
    dataset.save_as(buffer)
    return bytes(buffer.getvalue())


Spoil = Callable[[list[bytes]], Behaviour]
OBJECTS: dict[str, tuple[Spoil, str]] = {
    "ends before its boundary": (lambda f: say(200, KIND, body(f, b""), -1), "breaks off"),
    "ends in the last object": (lambda f: say(200, KIND, body(f)[:-500], -1), "breaks off"),
    "ends before its length": (lambda f: say(200, KIND, body(f, b""), 10_000_000), "breaks off"),
    "no object at all": (lambda f: say(200, KIND, b"--XX--\r\n"), "3 of 3 missing"),
    "one is missing": (lambda f: say(200, KIND, body(f[1:])), "1 of 3 missing"),
    "one comes twice": (lambda f: say(200, KIND, body([*f, f[0]])), "sends an object twice"),
    "one of another study": (lambda f: say(200, KIND, body([other(f, "StudyInstanceUID")])), "not asked"),
    "one of another series": (lambda f: say(200, KIND, body([other(f, "SeriesInstanceUID")])), "not asked"),
    "one is no DICOM": (lambda f: say(200, KIND, body([b"hello"])), "no DICOM object"),
    "a part is a picture": (
        lambda f: say(200, KIND, b"--XX\r\nContent-Type: image/jpeg\r\n\r\nx\r\n--XX--"),
        "a part that is no DICOM object",
    ),
    "a page": (lambda f: say(200, "text/html", b"<html>log in</html>"), "no DICOM objects; found text/html"),
    "no boundary": (lambda f: say(200, "multipart/related", body(f)), "without a boundary"),
    "a head without end": (lambda f: say(200, KIND, b"--XX\r\n" + b"x" * 200_000), "no parts"),
    "longer than allowed": (lambda f: say(200, KIND, body([f[0] * 1000])), "the answer is too large"),
    "500": (lambda f: say(500, "text/plain", b"secret trouble"), "found 500 Internal Server Error"),
    "503": (lambda f: say(503, "text/plain", b""), "found 503"),
    "403": (lambda f: say(403, "text/plain", b""), "refuses this login; found 403"),
    "silence": (lambda f: lambda handler: time.sleep(1.5), "does not answer in time"),
    "a head that drips": (lambda f: drip(b"HTTP/1.1 200 OK\r\nX: "), "does not answer in time"),
    "a body that drips": (lambda f: drip(b"HTTP/1.1 200 OK\r\nContent-Type: " + KIND.encode() + b"\r\n\r\n"),
                          "too slowly"),
    "no HTTP": (lambda f: lambda handler: handler.wfile.write(b"220 mail\r\n\r\n"), "speaks no HTTP"),
}  # fmt: skip
SEARCHES = {
    "a page": (say(200, "text/html", b"<html>"), "no DICOM JSON"),
    "no list": (say(200, SEARCH, b"{}"), "no DICOM JSON"),
    "a list of numbers": (say(200, SEARCH, b"[1, 2]"), "no DICOM JSON"),
    "deep": (say(200, SEARCH, b"[" * 100_000), "no DICOM JSON"),
    "not UTF-8": (say(200, SEARCH, b"[\xff]"), "no DICOM JSON"),
    "empty": (say(200, SEARCH, b"[]"), "no such study"),
    "no content": (say(204, SEARCH, b""), "no such study"),
    "another study's": (say(200, SEARCH, listing("0020000E", SERIES, of="1.2.9")), "with other studies"),
    "no UID": (say(200, SEARCH, b'[{"0020000E": {"Value": ["../x"]}}]'), "without a UID"),
    "odd values": (say(200, SEARCH, b'[{"0020000E": {"Value": [{}]}}]'), "without a UID"),
    "half": (say(200, SEARCH, listing("0020000E", SERIES), 10_000), "breaks off"),
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_whole_and_those_that_were_asked_for(
    honest: Fake, files: list[bytes], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "MOST_BYTES", 400_000)
    spoil, said = OBJECTS[name]
    honest.answers[f"/series/{SERIES}"] = spoil(files)
    slow = said in ("does not answer in time", "too slowly")
    with pytest.raises(DataError, match=said) as raised:
        fetch(honest, tmp_path, IMPATIENCE if slow else PATIENCE)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", SEARCHES)
def test_what_a_search_finds_is_checked(honest: Fake, tmp_path: Path, name: str) -> None:
    answer, said = SEARCHES[name]
    honest.answers[f"/studies/{STUDY}/series"] = answer
    with pytest.raises(DataError, match=said):
        fetch(honest, tmp_path)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(honest: Fake, tmp_path: Path, status: int) -> None:
    there = f"http://127.0.0.1:{honest.port}/elsewhere"
    honest.answers[f"/studies/{STUDY}/series"] = say(status, "text/plain", b"", Location=there)
    with pytest.raises(DataError, match=f"points to another address; found {status}"):
        fetch(honest, tmp_path)
    assert len(honest.seen) == 1


def test_a_server_that_lists_without_end_is_left(honest: Fake, tmp_path: Path) -> None:
    """Each answer to an offset has new series."""

    def more(handler: BaseHTTPRequestHandler) -> None:
        names = [f"1.2.{len(honest.seen)}.{i + 1}" for i in range(500)]
        say(200, SEARCH, listing("0020000E", *names))(handler)

    honest.answers |= {f"/studies/{STUDY}/series": more, "always": more}
    with pytest.raises(DataError, match="too large; found more than 1000"):
        fetch(honest, tmp_path)


@pytest.mark.parametrize("status", [204, 400, 404, 501])
def test_a_server_need_not_know_offsets(honest: Fake, tmp_path: Path, status: int) -> None:
    search = honest.answers[f"/studies/{STUDY}/series"], honest.answers["/instances"]

    def once(of: Behaviour) -> Behaviour:
        return lambda handler: (say(status, SEARCH, b"") if "offset" in handler.path else of)(handler)

    ends = f"/studies/{STUDY}/series", "/instances"
    honest.answers |= {end: once(of) for end, of in zip(ends, search, strict=True)}
    honest.answers["always"] = search[0]
    assert fetch(honest, tmp_path) == 1


def test_nobody_there(tmp_path: Path, fake: Fake) -> None:
    fake.port = 1
    with pytest.raises(DataError, match="cannot be reached, or speaks no HTTP; found ConnectionRefusedError"):
        fetch(fake, tmp_path)


@pytest.mark.parametrize(
    "url",
    ["ftp://u:pw@host/x", "file:///etc/passwd", "host/dicom-web", "", "http://", "http://u:pw@host:99999/x",
     "http://u:pw@host/x?y=1", "http://u:pw@host/x#y", "http://u:pw@ho st/x", "https://u:pw@[::1/x"],
)  # fmt: skip
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="no address of a DICOMweb server") as raised:
        address_of(f"dicomweb:{url}")
    assert "pw" not in str(raised.value)


def test_a_login_is_never_shown_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("semivox.commands.predict._address", lambda *_: 1 / 0)
    word = "dicomweb:https://someone:secret@host/x"
    assert main(["predict", "run", word, "--study", "1.2", "--out", "out"]) == 70
    written = (tmp_path / "semivox-error.log").read_text()
    assert "dicomweb:https://***@host/x" in written
    assert "secret" not in written + capsys.readouterr().err
    assert without_login("see https://host/a@b and http://u@h") == "see https://host/a@b and http://***@h"


@pytest.mark.parametrize("seed", range(30))
def test_parts_are_those_that_the_standard_library_finds(seed: int) -> None:
    draw = random.Random(seed)
    boundary = "x" + "".join(draw.choices("abc'()+_,./:=?-", k=draw.randint(1, 60))) + "z"
    kind = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
    near = [b"\r\n--", b"--" + boundary.encode(), b"\r\n", b"\r", boundary.encode()[:-1], b"\0\xff", b"abc"]
    parts = [b"".join(draw.choices(near, k=draw.randint(0, 12))) for _ in range(draw.randint(1, 4))]
    parts = [part for part in parts if b"\r\n--" + boundary.encode() not in b"\r\n" + part]
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    text = (
        b"preamble\r\n" + b"\r\n".join(head + part for part in parts) + f"\r\n--{boundary}--\r\nend".encode()
    )
    if not parts:
        text = f"--{boundary}--".encode()
    message = Message()
    message["Content-Type"] = kind

    def pieces() -> Iterator[bytes]:
        at = 0
        while at < len(text):
            size = draw.randint(1, 9)
            yield text[at : at + size]
            at += size

    found = [b"".join(part) for part in objects_in(Answer("url", 200, message, pieces()))]
    assert found == parts


def test_a_body_of_one_part_is_one_for_others() -> None:
    content, kind = as_one_part(b"DICM\r\n\r\n\0\xff")
    message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + content)
    [part] = message.get_payload()  # type: ignore[misc]
    assert part.get_content_type() == "application/dicom"  # type: ignore[union-attr]
    assert b"DICM" in content
