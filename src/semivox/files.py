"""Writing files so that a reader never meets half of one: a temporary name beside it, then rename.

Everything that deletes, moves or appends goes through here. What is read from a folder never decides where:
names are those that the program itself would choose, :func:`inside` the folder that the user gave.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from semivox.contents import check_content
from semivox.errors import DataError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` (same endings); on success it takes ``path``'s place.

    On any failure the temporary file is removed and ``path`` is as it was; a full or read-only disk becomes
    a DataError that names ``path``.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix="-" + path.name, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~umask())  # mkstemp's files are private
        os.replace(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def is_bare(name: object) -> bool:
    """Whether ``name`` is a file's own name: no folder before it, and not ``.`` or ``..``."""
    separators = {"/", "\0", os.sep, os.altsep or os.sep}
    return isinstance(name, str) and name not in ("", ".", "..") and not separators & set(name)


def inside(folder: Path, *names: str) -> Path:
    """``folder / names[0] / names[1] ...``, which surely lies in ``folder``.

    Raises DataError for a name that is not bare, and where a folder on the way is a link: it may lead
    anywhere. The last name may be a link; to write or remove it leaves alone what it points to. ``folder``
    itself is the user's choice.
    """
    path = Path(folder)
    for name in names:
        if path != Path(folder) and path.is_symlink():
            raise DataError(
                "is a link in a folder that semivox writes to, and may lead out of it",
                path=path,
                expected="a folder",
                remedy="move what it points to into its place, or give another folder",
            )
        if not is_bare(name):
            raise DataError(
                "not a name of a file", path=folder, found=repr(name)[:200], expected="a bare name"
            )
        path /= name
    return path


def remove_file(folder: Path, *names: str) -> None:
    """Remove the file ``inside(folder, *names)``, if it is there."""
    inside(folder, *names).unlink(missing_ok=True)


def remove_folder(folder: Path, *names: str) -> None:
    """Remove the folder ``inside(folder, *names)`` with all it holds, as far as possible; not what links
    in it, or itself, point to."""
    shutil.rmtree(inside(folder, *names), ignore_errors=True)


def move(path: Path, name: str) -> None:
    """Give ``path`` another bare ``name`` in its folder; what had the name is replaced."""
    os.replace(path, inside(path.parent, name))


def append_text(path: Path, text: str) -> None:
    """Append ``text`` as UTF-8 to a file of ours; a link in its place is not followed but refused."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise _cannot_write(path, error) from error
    with open(handle, "a", encoding="utf-8") as file:
        file.write(text)


def umask() -> int:
    """The process's file mode mask."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def create_private(path: Path, text: str) -> str:
    """Write a new file that its owner alone can read, or leave the one that is there; returns its text.

    Of several processes that come at once, one writes. Raises DataError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text(encoding="utf-8")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return text


def _cannot_write(path: Path, error: OSError) -> DataError:
    return DataError(
        "cannot be written",
        path=path,
        found=error.strerror or str(error),
        remedy="free disk space or choose another folder; nothing was changed",
    )


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON (no NaN), atomically."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_text(path: Path) -> str:
    """A text that people write too: UTF-8, or UTF-16 with its mark, as spreadsheets save it.

    Raises DataError for any other encoding: which one it is cannot be told from the bytes.
    """
    try:
        raw = Path(path).read_bytes()
        utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = raw.decode("utf-16" if utf16 else "utf-8-sig")
        if "\0" in text:
            raise ValueError("a zero byte: UTF-16 without its mark, or no text at all")
    except (OSError, ValueError) as error:
        raise DataError(
            "cannot be read as text",
            path=path,
            found=error,
            expected="UTF-8, or UTF-16 with a byte order mark",
            remedy="save it as UTF-8 (in Excel: CSV UTF-8)",
        ) from None
    return text


def load_json(path: Path) -> Any:
    """What a JSON file holds: every number finite. Raises OSError or ValueError."""

    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is no number")

    def finite(text: str) -> float:
        if math.isinf(number := float(text)):
            raise ValueError(f"{text[:20]} is too large")
        return number

    try:
        return json.loads(
            Path(path).read_text(encoding="utf-8-sig"), parse_constant=no_constant, parse_float=finite
        )
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_json(path: Path, newest: int = 1, kind: Any = None) -> dict[str, Any]:
    """Read a JSON object written by semivox; a ``format`` newer than ``newest`` is refused by name.

    ``kind``: what it must hold, a row of :mod:`semivox.contents`. Raises DataError.
    """
    try:
        content = load_json(path)
    except FileNotFoundError:
        raise DataError(
            "is missing", path=path, remedy="give the folder that a finished command wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(
            "cannot be read as JSON", path=path, found=str(error), remedy="write it anew"
        ) from None
    if not isinstance(content, dict):
        raise DataError("holds no JSON object", path=path, found=type(content).__name__)
    found = content.get("format", 1)
    if not isinstance(found, int) or found < 1:
        raise DataError("tells no format of semivox", path=path, found=repr(found)[:80], expected="a number")
    if found > newest:
        raise DataError(
            "was written by a newer semivox",
            path=path,
            found=f"format {found}",
            expected=f"format {newest} or older",
            remedy="upgrade semivox",
        )
    if kind is not None:
        check_content(content, kind, path, "write it anew, or put back the file of then")
    return content
