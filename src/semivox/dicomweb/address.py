"""``dicomweb:https://host/dicom-web``: where a server is, and the login, which no text shows."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from semivox.errors import SettingsError

PREFIX = "dicomweb:"
LOGIN, TOKEN = "SEMIVOX_DICOMWEB_LOGIN", "SEMIVOX_DICOMWEB_TOKEN"
"""Variables of the environment: ``user:password``, or a bearer token."""
EXAMPLE = f"{PREFIX}https://host/dicom-web"
IN_URL = re.compile(r"(?<=://)[^/?#\s]*@")
UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)+")
"""Old ones have parts that begin with 0, which the standard does not allow."""


@dataclass(frozen=True)
class Address:
    """``base``: the service's URL without a login and without a slash at its end; ``login``: the value of the
    header that logs in, "" for none."""

    base: str
    login: str = field(repr=False, default="")


def is_address(word: object) -> bool:
    """Whether a word of the command line means a DICOMweb server."""
    return str(word).startswith(PREFIX)


def without_login(text: str) -> str:
    """The same with ``***`` in the place of a login in a URL."""
    return IN_URL.sub("***@", text)


def address_of(word: str) -> Address:
    """The server that ``dicomweb:URL`` means, with the login of the URL, else of the environment.

    Raises SettingsError for what is no http or https URL of a service.
    """
    url = word.removeprefix(PREFIX)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _no_url(url, "no host and port that can be read") from error
    if parts.scheme not in ("http", "https"):
        raise _no_url(url, f"{parts.scheme or 'no scheme'}, not http or https")
    if not host or re.search(r"[^!-~]", url):
        raise _no_url(url, "no host" if not host else "blanks or letters that a URL writes as %xx")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise _no_url(url, "? or #, which no service's address has")
    named = f"[{host}]" if ":" in host else host
    base = f"{parts.scheme}://{named}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"
    return Address(base, _login(parts.username, parts.password))


def refuse_no_uid(what: str, uid: str) -> None:
    """Raise SettingsError for what cannot be the UID of a ``what``; it becomes a part of a URL."""
    if not UID.fullmatch(uid):
        raise SettingsError(
            f"no UID of a {what}", found=repr(uid), expected="numbers with dots, such as 1.2.840.113619.2.1"
        )


def _login(user: str | None, password: str | None) -> str:
    token = os.environ.get(TOKEN, "")
    if user is not None or password is not None:
        pair = f"{unquote(user or '')}:{unquote(password or '')}"
    elif token:
        if re.search(r"[^!-~]", token):
            raise SettingsError(f"{TOKEN} holds blanks or letters that no token has", remedy="set it anew")
        return f"Bearer {token}"
    else:
        pair = os.environ.get(LOGIN, "")
    if pair and ":" not in pair:
        raise SettingsError(f"{LOGIN} is not understood", expected="user:password")
    return f"Basic {base64.b64encode(pair.encode()).decode()}" if pair else ""


def _no_url(url: str, found: str) -> SettingsError:
    return SettingsError(
        f"no address of a DICOMweb server: {without_login(url)}", found=found, expected=EXAMPLE
    )
