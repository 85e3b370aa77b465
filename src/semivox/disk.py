"""The disk: whatever the program changes on it goes through these functions, and through no others.

Each is one thing that can go wrong, so a test can make every one of them fail in turn. They raise OSError;
:mod:`semivox.files`, which is made of them and which the rest calls, tells it to the user.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path


def read_file(path: Path) -> bytes:
    """A file's bytes. Raises OSError, also for what is no file: a pipe would be waited for, a device read,
    without end."""
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        return file.read()


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def make_folder(path: Path) -> None:
    """With those around it; one that is there stays."""
    path.mkdir(parents=True, exist_ok=True)


def new_file(folder: Path, prefix: str, suffix: str) -> tuple[int, Path]:
    """An empty file of a new name, open for writing (the handle), private for now."""
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=folder)
    return handle, Path(name)


def new_folder(folder: Path, prefix: str, suffix: str) -> Path:
    """An empty folder of a new name, private for now."""
    return Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=folder))


def try_file(folder: Path) -> None:
    """Whether a file can be made in ``folder``: one without a name, gone again."""
    tempfile.TemporaryFile(dir=folder).close()


def sync_file(path: Path) -> None:
    """All of a file's bytes on the medium: a power cut after this does not shorten it."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def change_mode(path: Path, mode: int) -> None:
    path.chmod(mode)


def set_time(path: Path, seconds: int) -> None:
    """The time at which a file was last written, as it will be told."""
    os.utime(path, (seconds, seconds))


def rename(source: Path, target: Path) -> None:
    """At once; a file that ``target`` was is replaced."""
    os.replace(source, target)


def name_new(source: Path, target: Path) -> None:
    """Another name for a file, at once. Raises FileExistsError where ``target`` is taken."""
    try:
        os.link(source, target)
    except OSError:  # taken, or a disk that gives a file one name only
        if target.exists():
            raise FileExistsError(str(target)) from None
        os.replace(source, target)


def remove_file(path: Path) -> None:
    """If it is there."""
    path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """With all it holds, as far as possible; what links in it point to stays."""
    shutil.rmtree(path, ignore_errors=True)


def remove_empty(path: Path) -> None:
    """A folder that holds nothing."""
    path.rmdir()


def append(path: Path, content: bytes) -> None:
    """To a file, made if need be; a link in its place is not followed but refused."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with open(handle, "ab") as file:
        file.write(content)


def overwrite(path: Path, content: bytes) -> None:
    """A file that is there, in its place: that needs no room on a full disk. A link is refused."""
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0))
    with open(handle, "wb") as file:
        file.write(content)
        file.truncate()
