"""What the server answers to whom, over the network that browsers use."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest

from semivox.annotating import Desk, listening
from semivox.annotating.guard import is_loopback
from semivox.annotating.jobs import next_folder
from semivox.commands.annotate import annotate
from semivox.errors import DataError, SettingsError

ANNA = {"holder": "page-of-anna", "reader": "Anna"}
TOKEN = "a-token-of-twenty-four-x"


class Client:
    """A browser's requests to the page at ``url``, and worse ones."""

    def __init__(self, url: str) -> None:
        self.place = urlsplit(url).netloc
        self.port = urlsplit(url).port

    def ask(
        self, path: str, body: bytes | dict[str, Any] | None = None, method: str = "", **headers: str
    ) -> tuple[int, Any]:
        """Status and answer. ``headers``: ``host`` and ``origin`` are the page's own unless given; "" is left
        out."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        given = {"host": self.place, "origin": f"http://{self.place}" if body is not None else ""}
        given |= {key.replace("_", "-"): value for key, value in headers.items()}
        link.putrequest(method or ("GET" if body is None else "POST"), path, skip_host=True)
        for key, value in given.items():
            if value:
                link.putheader(key, value)
        if content is not None and "content-length" not in given:
            link.putheader("content-length", str(len(content)))
        link.endheaders(content)
        answer = link.getresponse()
        text = answer.read()
        self.headers = {key.lower(): value for key, value in answer.getheaders()}
        link.close()
        return answer.status, json.loads(text) if self.headers.get(
            "content-type"
        ) == "application/json" else text


def test_a_label_is_opened_drawn_and_saved(desk: Desk, served: Any) -> None:
    with served(desk) as url:
        client = Client(url)
        status, about = client.ask("/api/about")
        assert (status, [row["value"] for row in about["classes"]]) == (200, [3, 7, 200])
        status, facts = client.ask("/api/next", ANNA)
        assert (status, facts["case"], facts["version"]) == (200, "flipped", "")
        assert client.ask("/api/label?case=flipped") == (204, b"")
        status, mask = client.ask("/api/mask?case=flipped")
        assert (status, len(mask)) == (200, np.prod(facts["shape"]))
        drawn = bytes([1]) * len(mask)
        where = f"/api/save?case=flipped&holder={ANNA['holder']}&reader=Anna&version=&seconds=2.5"
        status, answer = client.ask(where, gzip.compress(drawn), content_encoding="gzip")
        assert status == 200
        assert client.ask("/api/label?case=flipped") == (200, drawn)
        assert client.ask(where, drawn)[0] == 409  # it began with no label
        taken = {"case": "flipped", "holder": "page-of-ben", "reader": "Ben"}
        status, told = client.ask("/api/open", taken)
        assert (status, "flipped is open with Anna" in told["error"]) == (423, True)
        assert client.ask("/api/leave", ANNA)[0] == 204
        status, facts = client.ask("/api/open", taken)
        assert (status, facts["version"]) == (200, answer["version"])
        assert client.ask("/api/mark", {**taken, "action": "flag", "note": "a stent"})[0] == 204
        rows = client.ask("/api/history?case=flipped")[1]
        assert [(row["reader"], row["action"], row["seconds"]) for row in rows] == [
            ("Anna", "save", 2.5),
            ("Ben", "flag", 0.0),
        ]
        assert client.ask("/page/niivue.js")[0] == 200


ELSEWHERE = ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "127.0.0.1")


@pytest.mark.parametrize("path", ["/", "/api/about", "/page/niivue.js", "/api/save?case=flipped"])
@pytest.mark.parametrize("host", ELSEWHERE)
def test_a_name_that_leads_here_by_a_trick_is_refused(path: str, host: str, page: Client) -> None:
    named = f"{host}:{page.port}" if host not in ("", "127.0.0.1") else host
    status, _ = page.ask(path, host=named)
    assert status in (400, 421)  # 400: without any Host, by the server itself


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://{place}", "http://{place}.evil.example", "http://127.0.0.1"],
)
def test_no_other_sites_page_has_an_effect(origin: str, page: Client) -> None:
    told = {"case": "flipped", "action": "flag", **ANNA}
    for path, body in (
        ("/api/mark", told),
        ("/api/save?case=flipped", b"x"),
        ("/api/train", b""),
        ("/api/about", None),
    ):
        assert page.ask(path, body, origin=origin.format(place=page.place))[0] == 403
    assert page.ask("/api/mark", told, origin="", sec_fetch_site="cross-site")[0] == 403
    assert page.ask("/page/niivue.js", sec_fetch_site="same-site")[0] == 403
    assert page.ask("/api/about", sec_fetch_site="cross-site", Sec_Fetch_Site="none")[0] == 403  # sent twice
    assert page.ask("/", sec_fetch_site="cross-site")[0] == 200  # a link to the page, which cannot be framed
    assert (
        page.headers["x-frame-options"],
        "frame-ancestors 'none'" in page.headers["content-security-policy"],
    ) == (
        "DENY",
        True,
    )
    assert not any(name.startswith("access-control") for name in page.headers)
    assert page.ask("/api/about", method="OPTIONS", origin="http://evil.example")[0] == 403
    assert page.ask("/api/history?case=flipped")[1] == []


UP = (
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "flipped/../x",
    "%00",
    "a" * 5000,
    "\u2028",
)


@pytest.mark.parametrize("name", UP)
def test_no_path_leaves_the_folder(name: str, page: Client) -> None:
    before = sorted(page.data.rglob("*"))
    case = quote(name, safe="")
    for path in (
        f"/api/image?case={case}",
        f"/api/label?case={case}",
        f"/api/history?case={case}",
        f"/page/{case}",
    ):
        assert page.ask(path)[0] == 404
    assert page.ask(f"/page/{name}" if name.isascii() and " " not in name else "/page/..")[0] == 404
    assert page.ask("/api/open", {**ANNA, "case": name})[0] == 404
    assert page.ask(f"/api/save?case={case}&holder=page-of-anna", b"x")[0] == 404
    assert sorted(page.data.rglob("*")) == before


def test_more_than_a_label_is_refused_before_it_is_read(page: Client) -> None:
    save = "/api/save?case=thick&holder=page-of-anna&version="
    began = time.monotonic()
    status, told = page.ask(save, b"", content_length=str(10**12))
    assert (status, told["kind"]) == (413, "TooMuch")
    assert page.ask(save, gzip.compress(bytes(10**8)), content_encoding="gzip")[0] == 413
    assert page.ask(save, b"no gzip", content_encoding="gzip")[0] == 400
    assert page.ask(save, b"x", content_encoding="br")[0] == 400
    assert page.ask(save, bytes(14 * 12 * 10 - 1))[0] == 400
    assert page.ask(save, bytes(14 * 12 * 10 + 1))[0] == 413
    assert page.ask(save, b"\xff" * (14 * 12 * 10))[0] == 400
    assert page.ask("/api/open", b'{"case": "' + b"x" * 10**5)[0] == 413
    for text in (b"[]", b"{", b"[" * 50000, b'{"case": 3}', b'{"case": "thick"}', b"\xff"):
        assert page.ask("/api/open", text)[0] == 400
    assert page.ask("/" + "x" * 10**5)[0] in (400, 404, 414, 431)
    assert time.monotonic() - began < 20
    assert not (page.data / "labelsTr/thick.nii.gz").exists()


@pytest.fixture(scope="module")
def page(scans_run: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A client of a server that outlives all of this file's hostile requests."""
    import shutil

    from semivox.annotating import Length, serve

    data = Path(shutil.copytree(scans_run[0], tmp_path_factory.mktemp("hostile") / "data"))
    listens, address = listening("127.0.0.1", 0, None)
    with serve(Desk(scans_run[1], data), listens, address, Length(), "Anna", rank=False):
        client: Any = Client(address.url)
        client.data = data
        yield client
        assert client.ask("/api/about")[0] == 200


def test_whoever_has_passed_every_scan_of_a_large_folder_is_offered_one(
    data: Path, run: Path, served: Any
) -> None:
    """The names of all scans are more than other requests may hold."""
    first = data / "imagesTr/thick_0000.nii.gz"
    names = [f"{number:03d}{'n' * 200}" for number in range(400)]
    for name in names:
        os.link(first, data / f"imagesTr/{name}_0000.nii.gz")
    with served(Desk(run, data)) as url:
        status, facts = Client(url).ask(
            "/api/next", {**ANNA, "besides": [*names, "flipped", "oblique", "permuted"]}
        )
        assert (status, facts["case"]) == (200, "straight")


def test_who_goes_away_in_mid_save_is_no_fault_of_the_server(
    desk: Desk, served: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is told in the terminal, nothing saved, and the next request is answered."""
    with served(desk) as url:
        client = Client(url)
        head = f"POST /api/save?case=thick&holder=page-of-anna HTTP/1.1\r\nHost: {client.place}\r\n"
        for length in ("Content-Length: 1680", "Transfer-Encoding: chunked"):
            with socket.create_connection(("127.0.0.1", client.port)) as link:
                link.sendall(f"{head}{length}\r\n\r\n8\r\nabc".encode())
        time.sleep(0.3)
        assert client.ask("/api/about")[0] == 200
        assert client.ask("/api/history?case=thick") == (200, [])
    assert capfd.readouterr().err == ""


def test_who_asks_is_told_by_the_connection_alone(desk: Desk, served: Any) -> None:
    """No header makes a request come from another computer."""
    with served(desk) as url:
        asked = {"x_forwarded_for": "203.0.113.9", "forwarded": "for=203.0.113.9", "x_real_ip": "203.0.113.9"}
        assert Client(url).ask("/activelearning/rank", {"client_id": "x"}, **asked)[0] == 200
        db = sqlite3.connect(desk.folder / "book.sqlite")
        holders = [row[0] for row in db.execute("SELECT holder FROM leases")]
        db.close()
        assert holders == ["slicer x at 127.0.0.1"]


def test_an_address_beyond_this_computer_asks_for_a_token(desk: Desk, served: Any) -> None:
    with served(desk, host="0.0.0.0", token=TOKEN) as url:
        assert url.endswith(f"?token={TOKEN}")
        client = Client(url)
        here = {"host": f"127.0.0.1:{client.port}"}
        for path in (
            "/",
            "/api/about",
            "/page/niivue.js",
            f"/api/about?token={TOKEN}",
            "/?token=wrong",
            "/?token=",
        ):
            assert client.ask(path, **here)[0] == 401
        assert client.ask("/api/about", authorization="Bearer \u00e9", **here)[0] == 401
        assert client.ask("/api/about", authorization=f"Bearer {TOKEN}", **here)[0] == 200
        assert (
            client.ask("/api/about", authorization=f"Bearer {TOKEN}", host=f"evil.example:{client.port}")[0]
            == 421
        )
        status, _ = client.ask(f"/?token={TOKEN}", **here)
        assert (status, client.headers["location"]) == (303, "/")
        cookie = client.headers["set-cookie"]
        assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict"))
        assert client.ask("/api/about", cookie=cookie.partition(";")[0], **here)[0] == 200
        assert client.ask("/api/about", cookie=f"semivox_token={TOKEN}x", **here)[0] == 401


def test_where_a_server_may_listen() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9")] == [
        True
    ] * 5
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "a.example", "")] == [False] * 5
    made, address = listening("0.0.0.0", 0, None)
    made.close()
    assert address.token is not None
    assert len(address.token) >= 32
    with pytest.raises(SettingsError, match="too easy"):
        listening("0.0.0.0", 0, "short")
    for host, port in (("192.0.2.1", 0), ("127.0.0.1", 70000), ("no such name", 0)):
        with pytest.raises(SettingsError, match="cannot listen there"):
            listening(host, port, None)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(SettingsError, match="another --port"),
    ):
        listening("127.0.0.1", taken.getsockname()[1], None)


def test_a_folder_of_another_task_is_refused(run: Path, pictures: Path) -> None:
    with pytest.raises(DataError, match="other channels or classes than the model"):
        annotate(run, pictures, port=0)


def test_the_next_run_stands_beside_the_first(tmp_path: Path) -> None:
    assert next_folder(tmp_path / "run") == (tmp_path / "run-2", False)
    assert next_folder(tmp_path / "run-2") == (tmp_path / "run-3", False)
    (tmp_path / "run-2").mkdir()
    assert next_folder(tmp_path / "run") == (tmp_path / "run-3", False)
    (tmp_path / "run-2/config.yaml").touch()
    assert next_folder(tmp_path / "run") == (tmp_path / "run-2", True)


@pytest.mark.parametrize("path", [".", "evaluations/..", "..", "../../run", "../run", "evaluations/../."])
def test_the_next_run_stands_beside_the_first_however_that_is_called(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    (folder / "evaluations").mkdir(parents=True)
    monkeypatch.chdir(folder / "evaluations" if path in ("..", "../../run") else folder)
    place, goes_on = next_folder(Path(path))
    assert (place.resolve(), goes_on) == (tmp_path / "run-2", False)


def test_the_next_run_stands_beside_the_link_that_one_gives(tmp_path: Path) -> None:
    (tmp_path / "disk/r17").mkdir(parents=True)
    (tmp_path / "run").symlink_to(tmp_path / "disk/r17")
    assert next_folder(tmp_path / "run") == (tmp_path / "run-2", False)


def test_the_command_serves_until_it_is_told_to_stop(run: Path, data: Path) -> None:
    """With what it began: the ranking that runs beside it ends too."""
    command = [sys.executable, "-m", "semivox", "annotate", str(run), str(data), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().split()[1]
        assert Client(url).ask("/api/about")[0] == 200
        process.send_signal(signal.SIGTERM)
        code, told = process.wait(60), process.stderr.read()
    assert (code, "stopped by SIGTERM; go on with: semivox annotate" in told) == (4, True)
    children = [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(data).encode() in _read(p)]
    assert [p for p in children if p.parent.name != str(os.getpid())] == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
