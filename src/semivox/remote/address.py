"""``s3://bucket/folder``: which words are URLs, and what each one names."""

from __future__ import annotations

import re
from pathlib import Path

from semivox.errors import SettingsError
from semivox.files import is_bare

EXAMPLE = "s3://bucket/folder"
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(/?)")
OTHERS = "copy or mount what is there; servers of other makes speak S3, too (AWS_ENDPOINT_URL)"


def is_url(word: object) -> bool:
    """Whether a word means something on another machine. A Path counts, too, which has lost a slash."""
    found = SCHEME.match(str(word))
    return found is not None and (bool(found[2]) or isinstance(word, Path))


def key_of(word: str | Path) -> str:
    """``bucket/folder`` of a URL. Raises SettingsError for one of another store, or with parts that are no
    names."""
    scheme, _, rest = str(word).partition(":")
    key = rest[2:].rstrip("/")
    if scheme.lower() != "s3":
        raise SettingsError("no such store", found=f"{scheme}://", expected=EXAMPLE, remedy=OTHERS)
    if "@" in key.partition("/")[0]:
        remedy = "log in as for Amazon's programs, such as by AWS_PROFILE"
        raise SettingsError("others see a login in a URL", expected=EXAMPLE, remedy=remedy)
    if not rest.startswith("//") or not is_key(key):
        expected = f"{EXAMPLE}, as a text and no Path"
        raise SettingsError("no bucket with a folder or file in it", found=word, expected=expected)
    return key


def is_key(key: str) -> bool:
    """Whether its parts can be folders and files here, none of which leaves the first. s3fs takes what
    follows ``?versionId=`` for no part of a name."""
    return all(map(is_bare, key.split("/"))) and "?versionId=" not in key
