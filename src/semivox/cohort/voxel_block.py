"""The voxels behind a header, in the file itself or in files beside it: plain numbers, compressed or not."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from semivox.cohort.claims import SPARE, check_memory, check_stored, surplus
from semivox.cohort.inflating import RATIO, Inflating
from semivox.errors import DataError
from semivox.files import is_bare

MOST_FILES = 1 << 16
LONGEST_NUMBER = 40

Encoding = Literal["raw", "deflate", "bzip2", "text"]


@dataclass(frozen=True)
class Block:
    """Where the voxels lie.

    ``dtype`` with its byte order, ``sizes`` fastest axis first. Each of ``files`` holds an equal part of
    them, in order, from byte ``start`` on (negative: they end where the file ends), past ``lines`` lines, and
    past ``skip`` bytes of what is decompressed.
    """

    files: tuple[Path, ...]
    dtype: np.dtype
    sizes: tuple[int, ...]
    encoding: Encoding
    start: int = 0
    lines: int = 0
    skip: int = 0
    spare: int = SPARE
    """Bytes that may follow the voxels."""

    def read(self, path: Path, opened: BinaryIO | None = None) -> np.ndarray:
        """An array of ``sizes`` in Fortran order and the machine's byte order; ``path`` is named in errors.
        ``opened``: its one file, where it is open already.

        Raises DataError where memory does not allow it or the files go on after the voxels, anything else
        where they are broken.
        """
        count = math.prod(self.sizes)
        part, odd = divmod(count, len(self.files))
        if odd:
            raise ValueError(f"{count} voxels do not divide into {len(self.files)} files")
        self._check(path, part)
        array = np.empty(count, self.dtype)
        for number, file in enumerate(self.files):
            stream = file.open("rb") if opened is None else nullcontext(opened)
            with stream as stored:
                self._fill(path, stored, array[number * part : (number + 1) * part])
        if not self.dtype.isnative:
            array = array.byteswap(inplace=True).view(self.dtype.newbyteorder("="))
        return array.reshape(self.sizes, order="F")

    def _check(self, path: Path, part: int) -> None:
        claimed = part * self.dtype.itemsize
        for file in self.files:
            size = os.path.getsize(file)
            if self.encoding == "text":
                check_stored(part, size)  # a digit a number at least
            else:
                check_stored(claimed + self.skip, size - max(self.start, 0), RATIO.get(self.encoding, 1))
        check_memory(path, claimed * len(self.files))

    def _fill(self, path: Path, file: BinaryIO, array: np.ndarray) -> None:
        file.seek(-array.nbytes if self.start < 0 else self.start, os.SEEK_END if self.start < 0 else 0)
        for _ in range(self.lines):
            file.readline(1 << 20)
        if self.encoding == "text":
            _fill_from_text(file, array)
            return
        stream: Any = file if self.encoding == "raw" else Inflating(file, self.encoding)
        stream.seek(self.skip, os.SEEK_CUR) if stream is file else stream.seek(self.skip)
        found = stream.readinto(array.view(np.uint8).data)
        if found < array.nbytes:
            raise ValueError(f"{found} of {array.nbytes} bytes of its voxels")
        if stream.more_than(self.spare) if isinstance(stream, Inflating) else _left(file) > self.spare:
            raise surplus(path, array.nbytes, self.spare)


def _left(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size - file.tell()


def _fill_from_text(file: BinaryIO, array: np.ndarray) -> None:
    done = 0
    numbers = np.float64 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    for words in _words(file):
        if done + len(words) > len(array):
            raise ValueError(f"more than {len(array)} numbers")
        array[done : done + len(words)] = np.array(words).astype(numbers)
        done += len(words)
    if done < len(array):
        raise ValueError(f"{done} of {len(array)} numbers")


def _words(file: BinaryIO) -> Iterator[list[bytes]]:
    """The words of a text, some at a time."""
    rest = b""
    while piece := file.read(1 << 16):
        words = (rest + piece).split()
        rest = words.pop() if words and not piece[-1:].isspace() else b""
        if max(map(len, [*words, rest]), default=0) > LONGEST_NUMBER:
            raise ValueError("text that is no numbers")
        if words:
            yield words
    if rest:
        yield [rest]


def beside(path: Path, names: list[str]) -> tuple[Path, ...]:
    """The files that a header names, which must lie in its folder: it is not believed about others."""
    if not 0 < len(names) <= MOST_FILES:
        raise ValueError(f"{len(names)} files of voxels")
    for name in names:
        if not is_bare(name):
            raise DataError(
                "the header names a file of voxels that does not lie beside it",
                path=path,
                found=repr(name)[:200],
                expected="the bare name of a file in the same folder",
                remedy="put the file beside the header and correct the name, or convert both to one file",
            )
        if not (path.parent / name).is_file():
            raise DataError(
                "the file of its voxels is missing",
                path=path,
                found=f"no {name}"[:200],
                expected="the file that the header names, in the same folder",
                remedy="copy it there",
            )
    return tuple(path.parent / name for name in names)


def numbered(pattern: str, first: int, last: int, step: int) -> list[str]:
    """Names such as ``slice%03d.raw``, from the first number to the last."""
    before, mark, after = pattern.partition("%")
    digits, kind, after = after.partition("d")
    if not (mark and kind and "%" not in after and (digits == "" or digits.isdecimal()) and len(digits) <= 3):
        raise ValueError(f"a pattern of names that is not understood: {pattern[:80]}")
    if step < 1 or not 0 <= first <= last or (last - first) // step >= MOST_FILES:
        raise ValueError(f"no series of files: {first} to {last} in steps of {step}")
    filled = (f"%{digits}d" % number for number in range(first, last + 1, step))
    return [f"{before}{number}{after}" for number in filled]
