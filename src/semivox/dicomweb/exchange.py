"""Asking a server: every answer has an end, in time and in bytes, and a status that is understood."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.error import URLError

from semivox.dicomweb.address import LOGIN, TOKEN, Address
from semivox.errors import DataError
from semivox.trees import json_tree

ANSWER_SECONDS = 60.0
"""Until the head of an answer is there, and between two pieces of it."""
SLOWEST = 10_000
"""Bytes a second that an answer has to bring on the whole, after its first minute."""
PIECE = 1 << 18
MOST_JSON = 64 << 20
JSON = "application/dicom+json"
NO_OFFSET = (400, 404, 405, 422, 501)
"""Answers of servers that do not know ``offset``, or have no more."""
LOGINS = f"give the login as {LOGIN}=user:password or {TOKEN} in the environment, or in the URL"

AUTHORITY = "check the URL; if an authority of your own signed it, name its certificate in SSL_CERT_FILE"


@dataclass(frozen=True)
class Answer:
    """``pieces``: its body, which raises DataError where it breaks off, stalls or is too large; ``url`` shows
    whose it is."""

    url: str
    status: int
    headers: Message
    pieces: Iterator[bytes]


class Server:
    """A DICOMweb service at an address. ``seconds``: how long an answer may keep one waiting."""

    def __init__(self, address: Address, seconds: float = ANSWER_SECONDS) -> None:
        self.base, self._login, self._seconds = address.base, address.login, seconds
        self._opener = urllib.request.OpenerDirector()
        # neither redirects nor errors nor files: what is not handled here comes back as it is
        for handler in (urllib.request.ProxyHandler(), _Http(), _Https()):
            self._opener.add_handler(handler)

    @contextmanager
    def asked(
        self, path: str, accept: str, most: int, content: bytes | None = None, kind: str = ""
    ) -> Iterator[Answer]:
        """The answer to a GET, or to a POST of ``content`` of media type ``kind``, of whatever status.

        Raises DataError where there is none.
        """
        url = f"{self.base}/{path}"
        headers = {"Accept": accept, "User-Agent": "semivox", "Accept-Encoding": "identity"}
        headers |= {"Authorization": self._login} if self._login else {}
        headers |= {"Content-Type": kind} if kind else {}
        with _told(url):
            request = urllib.request.Request(url, content, headers)
            response = self._opener.open(request, timeout=self._seconds)
        if response is None:  # no handler took it
            raise _fault(url, "nothing speaks this protocol", self.base.partition(":")[0], "http or https")
        try:
            yield Answer(url, response.status, response.headers, self._pieces(url, response, most))
        finally:
            response.close()

    def found(self, path: str, after: int = 0) -> list[Mapping[str, Any]]:
        """The data sets that a search (QIDO-RS) finds: DICOM's JSON; those ``after`` the first so many, for
        servers that cut long answers and know ``offset``.

        Raises DataError for an answer that is none.
        """
        with self.asked(f"{path}?offset={after}" if after else path, JSON, MOST_JSON) as answer:
            if answer.status == 204 or (after and answer.status in NO_OFFSET):  # no content
                return []
            self.refuse_status(answer)
            text = b"".join(answer.pieces)
        try:
            tree = json_tree(text.decode())
            if not isinstance(tree, list) or not all(isinstance(entry, dict) for entry in tree):
                raise ValueError("no list of data sets")
        except ValueError as error:
            raise _fault(
                answer.url,
                "what it answers to a search is no DICOM JSON",
                f"{answer.headers.get_content_type()}: {str(error)[:100]}",
                "the address of the DICOMweb service, not of a page",
            ) from error
        return tree

    def refuse_status(self, answer: Answer) -> None:
        """Raise DataError unless the server has done what was asked of it."""
        status, url = answer.status, answer.url
        if status in (200, 202, 204, 206):
            return
        said = f"{status} {http.client.responses.get(status, '')}".strip()
        if status in (401, 403, 407):
            fault = "the server refuses this login" if self._login else "the server asks for a login"
            raise _fault(url, fault, said, LOGINS)
        if status == 404:
            raise _fault(
                url, "the server knows no such thing", said, "check the URL of the service and the UIDs"
            )
        if 300 <= status < 400:
            remedy = "give the address that it leads to, if you trust it: redirects are not followed"
            raise _fault(url, "the server points to another address", said, remedy)
        raise _fault(
            url, "the server does not do what is asked", said, "ask its operator, or try again later"
        )

    def _pieces(self, url: str, response: Any, most: int) -> Iterator[bytes]:
        began, got = time.monotonic(), 0
        while True:
            with _told(url):
                piece = response.read1(PIECE)
            if not piece:
                left = getattr(response, "length", None)  # of what Content-Length has promised
                if left:
                    raise _fault(url, "the answer breaks off", f"{left} bytes are missing", "try again")
                return
            got += len(piece)
            if got > most:
                raise _fault(
                    url, "the answer is too large", f"more than {most:,} bytes", "ask for one --series"
                )
            if time.monotonic() - began > self._seconds + got / SLOWEST:
                found = f"{got:,} bytes in {time.monotonic() - began:.0f} s"
                raise _fault(url, "the answer comes too slowly", found, "try again later")
            yield piece


def _fault(url: str, fault: str, found: str, remedy: str) -> DataError:
    return DataError(fault, path=url, found=found, remedy=remedy)


@contextmanager
def _told(url: str) -> Iterator[None]:
    """What goes wrong between two machines becomes a DataError."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = error.reason if isinstance(error, URLError) else error
        if isinstance(why, TimeoutError):
            fault, found = "the server does not answer in time", "silence"
        elif isinstance(why, http.client.IncompleteRead):
            fault, found = "the answer breaks off", "an end before the end"
        elif isinstance(why, socket.gaierror):
            fault, found = "no server of this name", str(why.strerror)
        elif isinstance(why, ssl.SSLCertVerificationError):
            untrusted = "the server's certificate is not trusted"
            raise _fault(url, untrusted, why.verify_message + _no_authority(), AUTHORITY) from error
        else:
            fault, found = "the server cannot be reached, or speaks no HTTP", f"{type(why).__name__}: {why}"
        raise _fault(
            url, fault, found[:200], "check the URL, the network and the server, then try again"
        ) from error


def _no_authority() -> str:
    """Where the variable names nothing that can be read, which OpenSSL passes over without a word."""
    named = os.environ.get("SSL_CERT_FILE")
    return "" if named is None or os.path.isfile(named) else f"; SSL_CERT_FILE={named} is no file"


class _Watched(http.client.HTTPConnection):
    """A connection that is cut where the head of an answer does not come in time: each read alone may take
    the time-out, so that one byte a minute would never end."""

    was_cut = False

    def getresponse(self) -> http.client.HTTPResponse:
        watch = threading.Timer(self.timeout or ANSWER_SECONDS, self._cut)
        watch.daemon = True
        watch.start()
        try:
            response = super().getresponse()
        except (http.client.HTTPException, OSError) as error:
            if self.was_cut:
                raise TimeoutError from error
            raise
        finally:
            watch.cancel()
        if self.was_cut:  # half a head may look like one
            response.close()
            raise TimeoutError
        return response

    def _cut(self) -> None:
        self.was_cut = True
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _WatchedTls(_Watched, http.client.HTTPSConnection):
    """The same through TLS, whose certificate is verified."""


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_Watched, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_WatchedTls, req)
