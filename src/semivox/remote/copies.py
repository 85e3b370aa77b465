"""Copies on this machine of what lies on a store: to read from, or to write in and then send."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from semivox import files
from semivox.errors import DataError, SettingsError
from semivox.files import write_text
from semivox.machine import user_cache
from semivox.output_places import HELD, OF_RUNS
from semivox.remote.address import is_url, key_of
from semivox.remote.store import Stamp, Store

VARIABLE = "SEMIVOX_REMOTE_CACHE"
AT_A_TIME = 8
LISTINGS = 4
"""Until one of them has nothing that is not here: objects may change while they are fetched."""
RECORDS = ("predictions.json", "predictions.csv")
"""Taken away first and sent last: they tell of masks that are there."""
TABLES = ("dataset.json", *OF_RUNS)
Listing = Callable[[], Mapping[str, Stamp]]


def mirrored(url: str | Path) -> tuple[Path, str]:
    """A copy of a folder on a store, or of the scan that a file there is of, and a line that tells of it.

    Raises SettingsError for a URL that is none, DataError where nothing is there or the store fails.
    """
    store = Store(key := key_of(url))
    folder, _, file = key.rpartition("/") if store.is_object(key) else (key, "", "")
    begin = re.sub(r"(_[0-9]{4})?\..*", "", file)
    own = re.compile(rf"{re.escape(begin)}(_[0-9]{{4}})?\..*" if file else ".*", re.DOTALL)

    def listing() -> dict[str, Stamp]:
        found = store.listed(folder, begin)
        held_out = ("imagesTs/", "labelsTs/") if any(n.startswith("imagesTr/") for n in found) else ()
        return {n: stamp for n, stamp in found.items() if own.fullmatch(n) and not n.startswith(held_out)}

    with _copy(store, folder, "read") as tree:
        objects, fetched = _follow(store, folder, tree, listing)
    if not objects:
        remedy = "check the URL; AWS_ENDPOINT_URL names another server than Amazon's"
        raise DataError("nothing is there", path=store.url, expected="a folder or a file", remedy=remedy)
    return tree / file, f"{store.url}: {fetched} of {objects} objects fetched; all are in {tree / file}"


@contextlib.contextmanager
def written_to(place: str | Path) -> Iterator[Path]:
    """The folder in which outputs for ``place`` are written: of a URL a copy, sent when the block ends well.
    What was not sent is still there the next time."""
    if not is_url(place):
        yield Path(place)
        return
    store = Store(key := key_of(place))

    def listing() -> dict[str, Stamp]:
        found = store.listed(key)
        if lying := {*HELD} & {*key.split("/"), *(n.partition("/")[0] for n in found if "/" in n)}:
            fault, remedy = "outputs would lie among scans and labels", "choose another --out"
            raise SettingsError(fault, path=store.url, found=lying.pop(), remedy=remedy)
        return {n: stamp for n, stamp in found.items() if RECORDS[0] in found or n in TABLES}

    with _copy(store, key, "write") as tree:
        if not (unsent := tree.parent / "unsent").exists():
            _follow(store, key, tree, listing)
        before = _names(tree)
        write_text(unsent, "")
    yield tree
    with _copy(store, key, "write"):
        _send(store, key, tree, before)
        files.remove_file(unsent.parent, unsent.name)


def refuse_in_copy(place: str | Path, remedy: str) -> None:
    """Raise SettingsError for what would be written into a copy that is there to be read."""
    if files.real_path(place).is_relative_to(files.real_path(_root())):
        raise SettingsError("what lies on a store is only read", path=place, remedy=remedy)


def _follow(store: Store, folder: str, tree: Path, listing: Listing) -> tuple[int, int]:
    """Make the copy what the store has; how many objects that are, and were fetched."""
    fetched = set[str]()

    def fetch(name: str) -> None:
        with files.replacing(_path(tree, name)) as temporary:
            store.fetch(f"{folder}/{name}", temporary)
            files.set_time(temporary, listed[name][1])

    for _ in range(LISTINGS):
        listed = listing()
        for name in _names(tree) - listed.keys():
            files.remove_file(tree, *name.split("/"))
            files.remove_if_empty(tree / above for above in list(Path(name).parents)[:-1])
        if not (wanted := [name for name, stamp in listed.items() if not _is(_path(tree, name), stamp)]):
            return len(listed), len(fetched)
        files.refuse_full(tree, sum(listed[name][0] for name in wanted), store.url)
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(fetch, wanted))
        fetched.update(wanted)
    remedy = "wait until nobody writes there, and try again"
    raise DataError("changes while it is read", path=store.url, found=wanted[0], remedy=remedy)


def _send(store: Store, folder: str, tree: Path, before: set[str]) -> None:
    """Make the store have what the copy is now; ``before`` it was written to, it held these names."""
    listed, here = store.listed(folder), _names(tree)
    changed = {n for n in here if n not in listed or not _is(_path(tree, n), listed[n])}
    gone = (before - here) & listed.keys()
    if not changed and not gone:
        return
    for name in (*(n for n in RECORDS if n in listed), *sorted(gone - {*RECORDS})):
        store.remove(f"{folder}/{name}")

    def put(name: str) -> None:
        stamp = store.put(path := _path(tree, name), f"{folder}/{name}")
        if stamp[0] != path.stat().st_size:
            raise DataError(f"{name}: the store has not what was sent", path=store.url, remedy="try again")
        files.set_time(path, stamp[1])

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(put, sorted(changed - {*RECORDS})))
    for name in reversed(RECORDS):
        if name in here:
            put(name)


@contextlib.contextmanager
def _copy(store: Store, folder: str, purpose: str) -> Iterator[Path]:
    """The folder of a copy, for one process at a time, named as the one on the store."""
    files.make_private_folder(root := _root())
    name = hashlib.sha256(f"{purpose} {store.endpoint} {store.url}".encode()).hexdigest()[:16]
    files.make_folder(tree := root / name / folder.rpartition("/")[2])
    with FileLock(str(root / name / "lock")):
        yield tree


def _names(tree: Path) -> set[str]:
    found = {
        (Path(at) / name).relative_to(tree).as_posix() for at, _, names in os.walk(tree) for name in names
    }
    return {name for name in found if "/." not in f"/{name}"}


def _path(tree: Path, name: str) -> Path:
    return files.inside(tree, *name.split("/"))


def _is(path: Path, stamp: Stamp) -> bool:
    return path.is_file() and (path.stat().st_size, int(path.stat().st_mtime)) == stamp


def _root() -> Path:
    return Path(os.environ.get(VARIABLE) or user_cache() / "semivox" / "remote").expanduser()
