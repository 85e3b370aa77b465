"""Compressed bytes, made as they are asked for: never more of them in memory than the caller has room for."""

from __future__ import annotations

import bz2
import zlib
from typing import Any, BinaryIO, Literal

from semivox.cohort.claims import BZIP2, DEFLATE

PIECE = 1 << 20
READ, HEADER = 1 << 18, 1 << 12
"""Compressed bytes read at a time, for voxels and where a header is all that is wanted."""

RATIO = {"deflate": DEFLATE, "bzip2": BZIP2}


class Inflating:
    """A stream as nibabel wants one: ``read``, ``readinto``, ``tell``, and ``seek`` forwards.

    ``kind``: "deflate" (gzip with any number of members, or zlib) or "bzip2". ``file`` stands where the
    compressed bytes begin; ``ahead`` of them are read at a time. Checksums are verified as their ends are
    passed. Broken bytes raise zlib.error, OSError or EOFError.
    """

    def __init__(
        self, file: BinaryIO, kind: Literal["deflate", "bzip2"] = "deflate", ahead: int = READ
    ) -> None:
        self._file, self._kind, self._ahead = file, kind, ahead
        self._inflater = self._start()
        self._pending, self._at = b"", 0
        self._ended = False

    def _start(self) -> Any:
        return zlib.decompressobj(47) if self._kind == "deflate" else bz2.BZ2Decompressor()

    def tell(self) -> int:
        return self._at

    def seek(self, place: int, whence: int = 0) -> int:
        if whence != 0 or place < self._at:
            raise OSError("a compressed stream is read forwards")
        while self._at < place and self._next(min(place - self._at, PIECE)):
            pass
        return self._at

    def read(self, size: int) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(buffer)])

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer``, or less where the stream ends; returns how many bytes."""
        view, done = memoryview(buffer).cast("B"), 0
        while done < len(view):
            piece = self._next(min(len(view) - done, PIECE))
            if not piece:
                break
            view[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def more_than(self, size: int) -> bool:
        """Whether more than ``size`` bytes follow; if not, the end was read and its checksum is right."""
        end = self._at + size
        while self._at <= end:
            if not self._next(PIECE):
                return False
        return True

    def _next(self, most: int) -> bytes:
        """1 to ``most`` bytes, or none at the end."""
        while not self._ended:
            dry = False
            if not self._pending and self._needs_input():
                self._pending = self._file.read(self._ahead)
                dry = not self._pending
            piece: bytes = self._inflater.decompress(self._pending, most)
            if dry and not piece and not self._inflater.eof:
                raise EOFError("compressed data ends before its end mark")
            if self._inflater.eof:
                self._end_member()
            elif self._kind == "deflate":
                self._pending = self._inflater.unconsumed_tail
            else:
                self._pending = b""  # the decompressor keeps what it did not use
            self._at += len(piece)
            if piece:
                return piece
        return b""

    def _needs_input(self) -> bool:
        return bool(getattr(self._inflater, "needs_input", True))

    def _end_member(self) -> None:
        """Go on with the next member, past zeros that pad the file."""
        rest = self._inflater.unused_data
        while not (rest := rest.lstrip(b"\0")):
            rest = self._file.read(READ)
            if not rest:
                self._ended = True
                return
        self._pending, self._inflater = rest, self._start()
