"""The store itself: what it lists, one object at a time to and fro, and its faults in words."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import unicodedata
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from semivox.errors import DataError, SemivoxError
from semivox.extras import package_of
from semivox.remote.address import is_key

OWN_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LOGIN = "log in as for Amazon's programs: by AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
SERVER = "check the URL and the network; AWS_ENDPOINT_URL names another server, AWS_CA_BUNDLE its authority"
TRIES = 3
PART = 8 << 20
"""Bytes in which large files are sent; s3fs by itself would hold far more."""
Stamp = tuple[int, int]
"""Bytes of an object, and a time that is none: it is made of the store's mark of the content (ETag). Its file
here gets it, so that one look tells whether that is what the store has."""


class Store:
    """The store of ``key``, ``bucket/folder``. Raises SettingsError without the extra ``semivox[remote]``."""

    def __init__(self, key: str) -> None:
        self.url = f"s3://{key}"
        system = package_of("remote", "s3fs", self.url).S3FileSystem
        once = {"retries": {"max_attempts": 0}}  # s3fs itself tries again, each time for 15 s
        with self._told():
            self._system: Any = system(
                config_kwargs=once, max_concurrency=1, use_listings_cache=False, skip_instance_cache=True
            )
            self._system.retries = TRIES
            self.endpoint = str(self._system.s3.meta.endpoint_url)

    def listed(self, folder: str, prefix: str = "") -> dict[str, Stamp]:
        """Name -> stamp of the objects below ``folder`` whose names begin with ``prefix``, without those that
        have a part with a dot before it. Raises DataError for a name that no file of its own can have: it
        would lie elsewhere, or in another's place."""
        with self._told():
            found = self._system.find(folder, prefix=prefix, detail=True)
        keys = [key for key in found if key != folder and not key.endswith("/")]  # folders may have marks
        names = {key.removeprefix(f"{folder}/"): _stamp(found[key]) for key in keys}
        files: dict[str, str] = {}
        for name in names:  # many disks know no capitals, and one way to write an umlaut
            other = files.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
            if other != name or not is_key(name):
                raise self._no_file(name, f"also {other}" if other != name else "parts that are no names")
        for plain, name in files.items():
            if above := files.keys() & list(accumulate(plain.split("/"), "{}/{}".format))[:-1]:
                raise self._no_file(name, f"also {files[above.pop()]}, a file in the place of its folder")
        return {name: stamp for name, stamp in names.items() if "/." not in f"/{name}"}

    def is_object(self, key: str) -> bool:
        with self._told(), contextlib.suppress(FileNotFoundError):
            return bool(self._system.info(key)["type"] == "file")
        return False

    def fetch(self, key: str, file: Path) -> None:
        """Into a file, which may be half there where DataError or OSError is raised."""
        with self._told():
            self._system.get_file(key, str(file))

    def put(self, file: Path, key: str) -> Stamp:
        """Make a file an object, which appears whole or not at all; returns what the store has then."""
        with self._told():
            self._system.put_file(str(file), key, chunksize=PART)
            return _stamp(self._system.info(key))

    def remove(self, key: str) -> None:
        with self._told():
            self._system.rm_file(key)

    def _no_file(self, name: str, found: str) -> DataError:
        remedy = "rename the object, or give the folder that holds the others"
        return DataError(f"{name!r} can be no file of its own", path=self.url, found=found, remedy=remedy)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SemivoxError:
            raise
        except Exception as error:  # of s3fs, botocore, aiohttp
            if isinstance(error, OSError) and error.errno in OWN_DISK:
                raise
            found = f"{type(error).__name__}: {error}"
            fault, remedy = "the store cannot be reached, or does not do what is asked", SERVER
            if isinstance(error, FileNotFoundError):
                fault = "no such bucket or object"
            elif isinstance(error, PermissionError) or "Credential" in found or "Profile" in found:
                fault, remedy = "the store refuses this login, or has none", LOGIN
            raise DataError(fault, path=self.url, found=found[:300], remedy=remedy) from error


def _stamp(about: Any) -> Stamp:
    mark = hashlib.sha256(str(about.get("ETag") or about["LastModified"]).encode()).hexdigest()
    return int(about["size"]), 2 * int(mark[:7], 16)  # even seconds, which all disks keep
