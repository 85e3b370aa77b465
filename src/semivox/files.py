"""Writing files so that a reader never meets half of one: a temporary name beside it, then rename.

Everything that the program changes on the disk goes through here (and from here through
:mod:`semivox.disk`). What is read from a folder never decides where: names are those that the program itself
would choose, :func:`inside` the folder that the user gave.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from semivox import disk
from semivox.content_checks import as_record, check_content
from semivox.errors import DataError, DiskFault, SemivoxError
from semivox.leftovers import temporary
from semivox.trees import json_tree, yaml_tree

PROBE = bytes(2**20)
"""Written to a disk to hear from it what a library did not tell."""
AROUND = 20
"""Letters that are shown beside one that is not Unicode."""
REMEDY = "free disk space or choose another folder; nothing was changed"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""The disk is full or failing: no fault of the data or of what was asked for."""


@contextlib.contextmanager
def replacing(path: Path, keep: str | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` (same endings); on success it takes ``path``'s place.

    On any failure the temporary file is removed and ``path`` is as it was. What a full, failing or read-only
    disk refuses becomes a DiskFault or DataError that names ``path``, in whatever words the library told it.
    ``keep``: another bare name, which what stood at ``path`` gets.
    """
    path = Path(path)
    with told(path), temporary(path) as made:
        with _disk_heard(made.path):
            yield made.path
        made.hold()
        disk.change_mode(made.path, 0o666 & ~umask())  # mkstemp's files are private
        disk.sync_file(made.path)
        if keep is not None and path.exists():
            disk.rename(path, inside(path.parent, keep))
        disk.rename(made.path, path)


@contextlib.contextmanager
def building(path: Path, remedy: str = REMEDY) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it takes ``path``'s place, with all its bytes on
    the disk. An empty folder there is replaced, anything else refused. On any failure ``path`` is as it
    was."""
    path = Path(path)
    with told(path, remedy), temporary(path, folder=True) as made:
        with _disk_heard(made.path / "probe"):
            yield made.path
        for folder, _, names in os.walk(made.path):
            for name in names:
                disk.sync_file(Path(folder) / name)
        disk.change_mode(made.path, 0o777 & ~umask())  # mkdtemp's folders are private
        disk.rename(made.path, path)


@contextlib.contextmanager
def scratch(place: Path) -> Iterator[Path]:
    """Yield a folder beside ``place`` that is gone when the block ends."""
    with told(place), temporary(place, folder=True) as made:
        yield made.path


@contextlib.contextmanager
def told(path: Path, remedy: str = REMEDY, fault: str = "cannot be written") -> Iterator[None]:
    """What the disk refuses in the block becomes a DiskFault, or a DataError, that names ``path``."""
    try:
        yield
    except OSError as error:
        kind = DiskFault if error.errno in FULL else DataError
        found = error.strerror or str(error)
        raise kind(fault, path=path, found=found, remedy=remedy) from error


@contextlib.contextmanager
def _disk_heard(temporary: Path) -> Iterator[None]:
    """Libraries tell of a full disk in their own words; here the disk is asked."""
    try:
        yield
    except SemivoxError:
        raise
    except Exception as error:
        if getattr(error, "errno", None) is None:
            try:
                disk.append(temporary, PROBE)
                disk.sync_file(temporary)
            except OSError as heard:
                raise heard from error
        raise


def real_path(path: str | Path) -> Path:
    """Absolute and without links; as it stands from where a link leads to itself, for which
    ``Path.resolve`` would raise."""
    return Path(os.path.realpath(path))


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


def make_folder(path: Path) -> None:
    """With those around it; one that is there stays."""
    with told(path):
        disk.make_folder(path)


def make_private_folder(path: Path) -> None:
    """As :func:`make_folder`; one that is new is for its owner alone to enter."""
    with told(path):
        if not path.exists():
            disk.make_folder(path)
            disk.change_mode(path, 0o700)


def set_time(path: Path, seconds: int) -> None:
    """Let a file tell this time as that of its last change."""
    with told(path):
        disk.set_time(path, seconds)


def remove_file(folder: Path, *names: str) -> None:
    """Remove the file ``inside(folder, *names)``, if it is there."""
    path = inside(folder, *names)
    with told(path, "look at the disk, or choose another folder", "cannot be removed"):
        disk.remove_file(path)


def remove_folder(folder: Path, *names: str) -> None:
    """Remove the folder ``inside(folder, *names)`` with all it holds, as far as possible; not what links
    in it, or itself, point to."""
    disk.remove_folder(inside(folder, *names))


def remove_if_empty(folders: Iterable[Path]) -> None:
    """Remove these folders, in this order, up to the first that holds something."""
    with contextlib.suppress(OSError):
        for folder in folders:
            disk.remove_empty(folder)


def append_text(path: Path, text: str) -> None:
    """Append ``text`` as UTF-8 to a file of ours; a link in its place is not followed but refused."""
    with told(path):
        disk.append(path, _utf8(path, text))


def sync(path: Path) -> None:
    """What was appended to a file survives a power cut from now on."""
    with told(path):
        disk.sync_file(path)


def refuse_full(folder: Path, needed: int, what: str) -> None:
    """Raise DiskFault where the disk of ``folder`` has less than ``needed`` bytes free, for ``what``."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise DiskFault(
            f"there is no room for {what}",
            path=folder,
            found=f"{_size(free)} free",
            expected=f"{_size(needed)}",
            remedy="free disk space, or choose a folder on another disk",
        )


def _size(number: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.3g} {unit}" if unit != "bytes" else f"{int(number)} bytes"
        number /= 1024
    return f"{number:.4g} GiB"


def umask() -> int:
    """The process's file mode mask."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def create_private(path: Path, text: str) -> str:
    """Write a new file that its owner alone can read, or leave the one that is there; returns its text.

    Of several processes that come at once, one writes; it is there whole or not at all. Raises DataError
    where it cannot be written.
    """
    with told(path), temporary(path) as made:
        made.path.write_text(text, encoding="utf-8")
        disk.sync_file(made.path)
        with contextlib.suppress(FileExistsError):
            disk.name_new(made.path, path)
        return path.read_text(encoding="utf-8")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically. Raises DataError where it holds the name of a file or folder that
    is no Unicode: nobody could read it back."""
    write_bytes(path, _utf8(path, text))


def _utf8(path: Path, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            "cannot keep a name that is not Unicode",
            path=path,
            found=ascii(text[max(error.start - AROUND, 0) : error.end + AROUND]),
            expected="names in UTF-8",
            remedy="rename the file or folder, or give it by another path",
        ) from None


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content``, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def copy_file(source: Path, path: Path) -> None:
    """Write what ``source`` holds to ``path``, atomically."""
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)


def write_json(path: Path, content: Any) -> None:
    """Write JSON (no NaN), atomically."""
    write_text(path, _json(content))


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def write_yaml(path: Path, content: Mapping[str, Any], heading: str) -> None:
    """Write YAML below a comment, atomically."""
    import yaml

    _utf8(path, json.dumps(content, ensure_ascii=False))  # YAML would write it, and we not read it back
    write_text(path, f"# {heading}\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def write_state(path: Path, content: Any) -> None:
    """As :func:`write_json`; on a disk without room for a new file, in the place of the one that is there."""
    try:
        write_json(path, content)
    except DiskFault:
        if not path.is_file():
            raise
        with told(path):
            disk.overwrite(path, _utf8(path, _json(content)))


def read_bytes(path: Path) -> bytes:
    """A regular file's bytes. Raises OSError."""
    return disk.read_file(path)


def read_text(path: Path) -> str:
    """A text that people write too: UTF-8, or UTF-16 with its mark, as spreadsheets save it.

    Raises DataError for any other encoding: which one it is cannot be told from the bytes.
    """
    try:
        raw = disk.read_file(Path(path))
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
    """What a JSON file holds, as :func:`semivox.trees.json_tree` reads it. Raises OSError or ValueError."""
    return json_tree(disk.read_file(path).decode("utf-8-sig"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Settings written as YAML, as :func:`semivox.trees.yaml_tree` reads it. Raises DataError."""
    try:
        content = yaml_tree(disk.read_file(path).decode("utf-8-sig"))
    except FileNotFoundError:
        raise DataError("the settings file is missing", path=path, remedy="check the path") from None
    except (OSError, ValueError) as error:
        raise DataError(
            "the settings file cannot be read", path=path, found=error, expected="YAML as train writes it"
        ) from None
    if not isinstance(content, dict):
        raise DataError(
            "the settings file holds no settings",
            path=path,
            found=type(content).__name__,
            expected="YAML like a run's config.yaml",
        )
    return content


def read_json(path: Path, newest: int = 1, kind: Any = None) -> dict[str, Any]:
    """Read a JSON object written by semivox; a ``format`` newer than ``newest`` is refused by name.

    ``kind``: what it must hold, a row of :mod:`semivox.contents`. Raises DataError, and so does who asks the
    result for a field that is not there.
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
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
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
    return cast(dict[str, Any], as_record(content, path))
