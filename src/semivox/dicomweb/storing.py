"""Storing an object (STOW-RS), and reading it back: an answer of 200 does not say that it is there.

A server that knows an object's UID may keep the old one and answer as if all were well, so whatever is new
has a UID of its own, and what the server gives back is compared with what was sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from semivox.cohort import differing_objects, identity_of_object
from semivox.dicomweb.exchange import JSON, MOST_JSON, Server
from semivox.dicomweb.multipart import ACCEPT, as_one_part, objects_in
from semivox.errors import DataError
from semivox.files import read_bytes, scratch, told
from semivox.trees import json_tree

FAILED, REFERENCE, REASON = "00081198", "00081155", "00081197"
MORE = 1 << 20
"""Bytes by which an object may have grown on the server: other headers, no compression of numbers."""


def store_once(server: Server, path: Path) -> bool:
    """As :func:`store`, unless the server has the object already; returns whether it was sent."""
    difference = _given_back(server, path)
    if difference is None:
        store(server, path)
    elif difference:
        raise _another(server, path, difference)
    return difference is None


def store(server: Server, path: Path) -> None:
    """Send a DICOM object to its study.

    Raises DataError where the server refuses it, or does not give the same back.
    """
    study = identity_of_object(path)[0]
    body, kind = as_one_part(read_bytes(path))
    with server.asked(f"studies/{study}", JSON, MOST_JSON, body, kind) as answer:
        if answer.status != 409:  # says why in its body
            server.refuse_status(answer)
        reason = _failure(b"".join(answer.pieces))
    if reason or answer.status == 409:
        raise _fault(
            server, path, "the server refuses the object", reason or "409 Conflict", "ask its operator"
        )
    difference = _given_back(server, path)
    if difference is None:
        raise _fault(
            server, path, "stored, and not there", "404 on reading it back", "ask the server's operator"
        )
    if difference:
        raise _another(server, path, difference)


def _another(server: Server, path: Path, difference: str) -> DataError:
    remedy = "do not rely on what is stored there; predict once more, which makes a new object"
    return _fault(server, path, "the server has another object of this UID", f"another {difference}", remedy)


def _given_back(server: Server, path: Path) -> str | None:
    """What differs in the object that the server has ("" for nothing); None where it has none."""
    study, series, uid = identity_of_object(path)
    place, most = f"studies/{study}/series/{series}/instances/{uid}", 4 * path.stat().st_size + MORE
    with server.asked(place, ACCEPT, most) as answer:
        if answer.status == 404:
            return None
        server.refuse_status(answer)
        with scratch(path) as folder:
            file = folder / "back.dcm"
            for pieces in objects_in(answer):
                with told(file), file.open("wb") as out:
                    for piece in pieces:
                        out.write(piece)
            if not file.is_file():
                return None
            return differing_objects(path, file)


def _failure(text: bytes) -> str:
    """Why the object is not stored, as far as the answer tells; "" where it does not."""
    try:
        tree: Any = json_tree(text.decode())
        failed = (tree[0] if isinstance(tree, list) else tree).get(FAILED, {}).get("Value") or []
        if not failed:
            return ""
        code = (failed[0].get(REASON, {}).get("Value") or ["none"])[0]
        return f"failure reason {code}"
    except (ValueError, AttributeError, IndexError, TypeError, LookupError):
        return ""  # other servers answer with XML, or nothing: reading back decides


def _fault(server: Server, path: Path, fault: str, found: str, remedy: str) -> DataError:
    return DataError(f"{path.name}: {fault}", path=server.base, found=found, remedy=remedy)
