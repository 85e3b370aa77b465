"""Who may ask the server what: the address it answers to, where a request comes from, and the token.

A page on the web can make a browser on this computer send requests here. None of them has an effect: a name
that leads here by a trick is refused by its Host, another site's page by its Origin and by what browsers say
of a request's site, and an address beyond this computer asks for a token.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
COOKIE = "semivox_token"
SAFE = ("GET", "HEAD")
IN_PATH = "/token/"
"""A server's address that ends so, and with the token, is one for programs that can send no header."""
PROGRAMS = ("/info/", "/auth/", "/activelearning/", "/infer/", "/datastore/", "/train/")
"""Where such programs ask: not the page, whose address a browser keeps."""
LOGIN = (("GET", "/auth/"), ("POST", "/auth/token"))
"""What is answered without the token: how one logs in."""
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""Of every answer."""


@dataclass(frozen=True)
class Address:
    """Where the server listens. ``token`` None: nothing is asked for, on this computer alone."""

    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = None
    names: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def at(cls, host: str, port: int, token: str | None) -> Address:
        own = {*LOOPBACK, _in_brackets(host), socket.gethostname().lower(), socket.getfqdn().lower()}
        return cls(host, port, token, frozenset(own if token else LOOPBACK))

    @property
    def url(self) -> str:
        """For a browser, with the token."""
        shown = socket.gethostname() if self.host in ("0.0.0.0", "::") else _in_brackets(self.host)
        return f"http://{shown}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    @property
    def program_url(self) -> str:
        """For a program that is given an address alone, with the token."""
        return self.url.split("?")[0].rstrip("/") + (f"{IN_PATH}{self.token}" if self.token else "")

    def knows(self, token: str) -> bool:
        """Whether it is the token, in a time that tells nothing."""
        return self.token is not None and hmac.compare_digest(token.encode(), self.token.encode())

    def answers_to(self, host: str) -> bool:
        """Whether a Host header names this server. Numbers are no names: no trick leads here by one."""
        name, _, port = host.lower().rpartition(":")
        if port != str(self.port):
            return False
        return name in self.names or (self.token is not None and _is_number(name))


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches a server at this address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Stands before ``app`` and answers what must not reach it."""

    def __init__(self, app: App, address: Address) -> None:
        self._app, self._address = app, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # a web socket: there are none
        scope = self._without_token(scope)
        fault = self.fault_of(scope)
        if fault is not None:
            await _answer(send, *fault)
            return
        if self._brings_token(scope):
            where = [(b"location", b"/"), (b"set-cookie", self._cookie().encode())]
            await _answer(send, 303, "the token is kept", where)
            return

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = {key for key, _ in message["headers"]}
                more = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in given]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await self._app(scope, receive, guarded)

    def fault_of(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason of a request that is refused."""
        headers = _headers(scope)
        hosts = headers.get("host", [])
        if len(hosts) != 1 or not self._address.answers_to(hosts[0]):
            return 421, "this server does not answer to that name"
        origins = headers.get("origin", [])
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
            return 403, "the request comes from another site"
        sites = set(headers.get("sec-fetch-site", []))
        arrives = scope["method"] in SAFE and scope["path"] == "/"  # a link that someone follows
        if not sites <= {"same-origin", "none"} and not arrives:
            return 403, "the request comes from another site"
        known = scope.get("semivox_token") or (scope["method"], scope["path"]) in LOGIN
        if self._address.token is not None and not known and not self._has_token(headers, scope):
            return 401, "the token is missing or wrong: open the address that semivox annotate showed"
        return None

    def _without_token(self, scope: Scope) -> Scope:
        """A program's request as if its address had held no token; marked, if that is the right one."""
        token, slash, rest = scope["path"].removeprefix(IN_PATH).partition("/")
        path = slash + rest
        if not scope["path"].startswith(IN_PATH) or not path.startswith(PROGRAMS):
            return scope
        if not self._address.knows(token):
            return scope
        return {**scope, "path": path, "raw_path": quote(path).encode(), "semivox_token": True}

    def _has_token(self, headers: dict[str, list[str]], scope: Scope) -> bool:
        parts = [value.partition(" ") for value in headers.get("authorization", [])]
        given = [token for kind, _, token in parts if kind.lower() == "bearer"]
        for text in headers.get("cookie", []):
            try:
                cookie = SimpleCookie(text)
            except CookieError:
                continue
            given += [cookie[COOKIE].value] if COOKIE in cookie else []
        given += self._in_address(scope)
        return any(self._address.knows(each) for each in given)

    @staticmethod
    def _in_address(scope: Scope) -> list[str]:
        """Only where a person opens the page: an address may be logged."""
        if scope["path"] != "/" or scope["method"] != "GET":
            return []
        return parse_qs(scope["query_string"].decode("latin-1")).get("token", [])

    def _brings_token(self, scope: Scope) -> bool:
        return self._address.token is not None and bool(self._in_address(scope))

    def _cookie(self) -> str:
        return f"{COOKIE}={self._address.token}; Path=/; HttpOnly; SameSite=Strict"


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in scope["headers"]:
        found.setdefault(key.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


async def _answer(send: Send, status: int, text: str, more: list[tuple[bytes, bytes]] | None = None) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(key.encode(), value.encode()) for key, value in HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers + (more or [])})
    await send({"type": "http.response.body", "body": body})


def _in_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host.lower()


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
