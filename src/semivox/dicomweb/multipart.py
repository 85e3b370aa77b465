"""``multipart/related``: the parts of an answer as they come, and a body of one part."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from semivox.dicomweb.exchange import Answer
from semivox.errors import DataError

OBJECT = "application/dicom"
ACCEPT = f'multipart/related; type="{OBJECT}"; transfer-syntax=*'
"""DICOM objects as they are stored: without this a server may decompress them."""
LONGEST_HEAD = 1 << 16


def objects_in(answer: Answer) -> Iterator[Iterator[bytes]]:
    """The pieces of each DICOM object; what is left of one is passed over when the next is asked for.

    Raises DataError where the answer holds other things, is malformed, or ends before its closing boundary.
    """
    kind = answer.headers.get_content_type()
    if kind == OBJECT:  # some servers send a lone one so
        yield answer.pieces
        return
    boundary = answer.headers.get_boundary()
    if kind != "multipart/related" or not boundary:
        raise _broken(answer, "no DICOM objects", f"{kind}{'' if boundary else ' without a boundary'}")
    reading = _Reading(answer, boundary.encode())
    while reading.next_part():
        body = reading.body()
        yield body
        for _ in body:
            pass


def as_one_part(content: bytes) -> tuple[bytes, str]:
    """A body with one DICOM object, and its media type."""
    boundary = f"semivox-{secrets.token_hex(16)}"
    head = f"--{boundary}\r\nContent-Type: {OBJECT}\r\n\r\n"
    body = b"".join([head.encode(), content, f"\r\n--{boundary}--\r\n".encode()])
    return body, f'multipart/related; type="{OBJECT}"; boundary={boundary}'


class _Reading:
    """A few pieces of the answer at a time; the delimiter is a line of its own."""

    def __init__(self, answer: Answer, boundary: bytes) -> None:
        self.answer, self.delimiter = answer, b"\r\n--" + boundary
        self.buffer = bytearray(b"\r\n")  # so that the first delimiter is one like the others
        self._skip_to(self.delimiter)

    def next_part(self) -> bool:
        """Read the head of the next part; False behind the last one."""
        while len(self.buffer) < 2:
            self._more()
        if self.buffer.startswith(b"--"):
            return False
        if self.buffer[:1] not in (b"\r", b" ", b"\t"):
            raise _broken(self.answer, "a boundary that is none", "other letters behind it")
        head = self._skip_to(b"\r\n\r\n").lower()
        if b"content-type:" in head and OBJECT.encode() not in head:
            raise _broken(self.answer, "a part that is no DICOM object", head.decode("latin-1").strip()[:100])
        return True

    def body(self) -> Iterator[bytes]:
        """The rest of the part, up to its delimiter."""
        kept = len(self.delimiter) - 1
        while (at := self.buffer.find(self.delimiter)) < 0:
            if len(self.buffer) > kept:
                yield bytes(self.buffer[:-kept])
                del self.buffer[:-kept]
            self._more()
        yield bytes(self.buffer[:at])
        del self.buffer[: at + len(self.delimiter)]

    def _skip_to(self, mark: bytes) -> bytes:
        while (at := self.buffer.find(mark)) < 0:
            if len(self.buffer) > LONGEST_HEAD:
                raise _broken(self.answer, "no parts", f"{LONGEST_HEAD} bytes without a boundary")
            self._more()
        found = bytes(self.buffer[:at])
        del self.buffer[: at + len(mark)]
        return found

    def _more(self) -> None:
        piece = next(self.answer.pieces, b"")
        if not piece:
            raise _broken(self.answer, "the answer breaks off", "an end without the closing boundary")
        self.buffer += piece


def _broken(answer: Answer, fault: str, found: str) -> DataError:
    return DataError(
        fault, path=answer.url, found=found, expected="DICOM objects in multipart/related", remedy="try again"
    )
