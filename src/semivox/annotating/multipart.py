"""Bodies of several parts, as forms with files are sent and MONAILabel's clients want their answers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from semivox.annotating.refusals import NotWanted

MOST_PARTS = 8
BOUNDARY = re.compile(r"multipart/form-data\s*;.*?boundary=(\"?)([^\";\s]{1,70})\1", re.IGNORECASE)
NAME = re.compile(rb"content-disposition:[^\r\n]*?[;\s]name=\"([^\"\r\n]*)\"", re.IGNORECASE)
FILE = re.compile(rb"content-disposition:[^\r\n]*?filename=\"([^\"\r\n]*)\"", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """``file``: the name that the sender's file has there, without its folders; "" for a plain field."""

    content: bytes
    file: str = ""


def parse(body: bytes, content_type: str) -> dict[str, Part]:
    """The parts by name, the first of each. Raises NotWanted for a body that is no form."""
    told = BOUNDARY.search(content_type)
    if told is None:
        raise NotWanted("what was sent is no form of several parts", found=content_type[:80])
    pieces = (b"\r\n" + body).split(b"\r\n--" + told[2].encode())
    if len(pieces) < 3 or not pieces[-1].startswith(b"--") or len(pieces) > MOST_PARTS + 2:
        raise NotWanted(
            "a form of several parts is cut off, or has too many", found=f"{len(pieces) - 2} parts"
        )
    found: dict[str, Part] = {}
    for piece in pieces[1:-1]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        name, file = NAME.search(head), FILE.search(head)
        if not blank or name is None:
            raise NotWanted("a part of the form has no name")
        bare = re.split(r"[\\/]", file[1].decode("utf-8", "replace"))[-1] if file else ""
        found.setdefault(name[1].decode("utf-8", "replace"), Part(content, bare))
    return found


def compose(parts: Mapping[str, Part]) -> tuple[bytes, str]:
    """The body, and its content type."""
    boundary = secrets.token_hex(16)
    lines = []
    for name, part in parts.items():
        file = f'; filename="{part.file}"' if part.file else ""
        kind = "application/octet-stream" if part.file else "application/json"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\nContent-Type: {kind}\r\n'
        )
        lines += [head.encode(), b"\r\n", part.content, b"\r\n"]
    return b"".join([*lines, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"
