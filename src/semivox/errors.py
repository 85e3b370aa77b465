"""Errors for users: what is wrong, in which file, what was found, what was expected, and the remedy.

Everything a user can cause raises a :class:`SemivoxError`. The command line prints it as one message and
exits with its ``exit_code``; from Python it is an ordinary exception.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

MOST_SHOWN = 2000
"""Letters of a text that are shown; files hold names and lists of any length."""
LONG = re.compile(r"\d{40,}|[^\s/]{300,}")
"""Numbers and names of which nobody reads the end."""

PARTS = ("fault", "path", "found", "expected", "remedy")
"""What a :class:`SemivoxError` is made of."""

METHOD_FILES: set[str] = set()
"""Files of methods that are not semivox's own, as their code names them; who loads one adds it."""

BUG = 70
"""Exit code of an error that is no :class:`SemivoxError`: a fault of semivox."""


class SemivoxError(Exception):
    """A fault a user can mend. ``str(error)`` names file, fault, what was expected and the remedy."""

    exit_code = 1

    def __init__(
        self,
        fault: str,
        *,
        path: str | Path | None = None,
        found: object = None,
        expected: object = None,
        remedy: str | None = None,
    ) -> None:
        fault, found, expected = shortened(fault), _shown(found), _shown(expected)
        self.fault, self.path, self.found, self.expected, self.remedy = fault, path, found, expected, remedy
        text = f"{path}: {fault}" if path is not None else fault
        if found is not None:
            text += f"; found {found}"
        if expected is not None:
            text += f"; expected {expected}"
        if remedy is not None:
            text = f"{text.rstrip('.')}. Remedy: {_middle_out(remedy, 4 * MOST_SHOWN)}"
        super().__init__(printable(text))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled by its parts: made from its text alone, a long one would lose more of it."""
        parts = {name: getattr(self, name) for name in PARTS}
        return _made_of, (type(self), parts), self.__dict__


def _made_of(kind: type[SemivoxError], parts: Mapping[str, Any]) -> SemivoxError:
    return kind(**parts)


def in_words(error: Exception) -> str:
    """For a line or a record: ours says all itself, that of a user's method names file and line, another one
    is told with its kind."""
    if not isinstance(error, SemivoxError):
        error = fault_of_method(error) or error
    return str(error) if isinstance(error, SemivoxError) else f"{type(error).__name__}: {error}"


def printable(text: str) -> str:
    """The same where it is Unicode; bytes of a file's name that are not are written ``\\xff``."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character that is no byte of a name
        return text.encode("utf-8", "backslashreplace").decode()


def shortened(text: str, most: int = MOST_SHOWN) -> str:
    """A text as it is shown to people: without the end of numbers of many digits and of very long names, and
    without its own middle where it has more than ``most`` letters."""
    return _middle_out(LONG.sub(_beginning, text), most)


def _beginning(run: re.Match[str]) -> str:
    digits = run[0].isdecimal()
    return f"{run[0][: 8 if digits else 60]}... ({len(run[0]):,} {'digits' if digits else 'letters'})"


def _middle_out(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    half = most // 2 - 20
    return f"{text[:half]} ... ({len(text):,} letters) ... {text[-half:]}"


def _shown(value: object) -> object:
    text = shortened(whole := str(value))
    return value if text == whole else text


class DataError(SemivoxError):
    """A scan, a label or a folder of them is wrong (exit code 1)."""


class DiskFault(DataError):  # noqa: N818 - as of a disk that is full
    """A disk is full or fails. Nothing is lost or half-written; the same command goes on (exit code 4)."""

    exit_code = 4


class SettingsError(SemivoxError):
    """A setting is unknown, of the wrong type, or changed where it may not (exit code 1)."""


class MethodFailed(SettingsError):  # noqa: N818
    """An error came out of a method that is not semivox's own (exit code 1)."""


class UsageError(SemivoxError):
    """The command line itself is wrong (exit code 2)."""

    exit_code = 2


class PartialFailure(SemivoxError):  # noqa: N818
    """Some cases or cells failed, the others are done (exit code 3)."""

    exit_code = 3


class Stopped(SemivoxError):  # noqa: N818 - not every stop is an error
    """A run was stopped, by a signal after saving or by its disk; it can be resumed (exit code 4)."""

    exit_code = 4


class TrainingFailed(SemivoxError):  # noqa: N818
    """Training cannot go on: a non-finite loss, out of memory (exit code 5)."""

    exit_code = 5


class ProcessLost(TrainingFailed):
    """Another process of the run is gone, or stands still (exit code 5)."""


def fault_of_method(error: BaseException) -> MethodFailed | None:
    """The error to tell in place of one that came out of a user's method, with its file and line; None where
    it passed through none of :data:`METHOD_FILES`."""
    place = place_in(error, METHOD_FILES)
    if place is None:
        return None
    file, line, function = place
    return MethodFailed(
        "the method failed",
        path=file,
        found=f"line {line}, in {function}: {type(error).__name__}: {error}",
        remedy="correct the method there",
    )


def place_in(error: BaseException, files: Collection[str]) -> tuple[str, int, str] | None:
    """File, line and function of the last of an error's calls that stands in one of ``files``."""
    from traceback import walk_tb  # slow for `semivox --help`

    calls = [
        (frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_code.co_filename in files
    ]
    return calls[-1] if calls else None
