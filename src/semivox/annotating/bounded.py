"""Bodies of requests, read up to a limit that is known before."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from semivox.annotating.refusals import NotWanted, TooMuch

if TYPE_CHECKING:
    from starlette.requests import Request

MOST_JSON = 2**16


async def read_body(request: Request, most: int) -> bytes:
    """All of it; with ``Content-Encoding: gzip`` unpacked. Raises TooMuch as soon as it is more than ``most``
    bytes, packed or not, and before the first byte where the header says so; NotWanted where the sender went
    away before its end."""
    from starlette.requests import ClientDisconnect

    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most + 1024:
        raise _too_much(int(told), most)
    packing = request.headers.get("content-encoding", "identity")
    if packing not in ("identity", "gzip"):
        raise NotWanted("not a way to pack that is known", found=packing[:80], expected="gzip, or none")
    unpack = zlib.decompressobj(31) if packing == "gzip" else None
    parts, size = list[bytes](), 0
    try:
        async for chunk in request.stream():
            part = chunk if unpack is None else unpack.decompress(chunk, most + 1 - size)
            size += len(part)
            if size > most or (unpack is not None and unpack.unconsumed_tail):
                raise _too_much(size, most)
            parts.append(part)
    except zlib.error as error:
        raise NotWanted("what was sent is no gzip", found=str(error)) from None
    except ClientDisconnect:  # a page that was closed; nobody hears the answer
        raise NotWanted("what was sent has no end", found=f"{size} bytes") from None
    return b"".join(parts)


async def read_object(request: Request, most: int = MOST_JSON, **kinds: type) -> dict[str, Any]:
    """A JSON object of up to ``most`` bytes, whose fields ``kinds`` names, with values of these types. Raises
    NotWanted, TooMuch."""
    try:
        content = json.loads(await read_body(request, most) or b"{}")
    except (ValueError, RecursionError):
        raise NotWanted("what was sent is no JSON") from None
    if not isinstance(content, dict):
        raise NotWanted("what was sent is no JSON object")
    for name, kind in kinds.items():
        if not isinstance(content.get(name), kind):
            raise NotWanted(f"{name!r} is missing or of another kind", expected=kind.__name__)
    return content


def _too_much(found: int, most: int) -> TooMuch:
    return TooMuch("more was sent than can be meant", found=f"{found} bytes", expected=f"at most {most}")
