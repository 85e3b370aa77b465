"""The images of a study: what the server lists, fetched whole, and nothing that was not asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from semivox.cohort import Scans, find_series, identity_of_object
from semivox.dicomweb.address import UID, refuse_no_uid
from semivox.dicomweb.exchange import Server
from semivox.dicomweb.multipart import ACCEPT, objects_in
from semivox.errors import DataError
from semivox.files import scratch, told

NO_IMAGES = frozenset(
    {"SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "REG", "SR", "PR", "KO", "DOC", "FID"}
)
"""Modalities whose objects are no scans, which nobody need fetch."""
STUDY, SERIES, OBJECT, MODALITY = "0020000D", "0020000E", "00080018", "00080060"
MOST_SERIES, MOST_OBJECTS, MOST_BYTES = 1000, 50_000, 32 << 30
"""Of a study: series, objects and bytes; more is hardly meant."""


@contextmanager
def fetched(server: Server, study: str, series: str | None, beside: Path) -> Iterator[Scans]:
    """The scans of a study, or of one series, in a private folder ``beside`` a path; it is gone afterwards.

    Raises
    ------
    SettingsError
        ``study`` or ``series`` is no UID.
    DataError
        The server cannot be reached, refuses, breaks off, or sends other objects than it lists and was asked
        for; no series of images.
    """
    refuse_no_uid("study", study)
    if series is not None:
        refuse_no_uid("series", series)
    with scratch(beside) as folder:
        left = MOST_BYTES
        for uid in _image_series(server, study, series):
            left -= _fetch(server, study, uid, folder, left)
        scans = find_series(folder)
        if not scans.cases:
            why = "; ".join(note.fault for note in scans.notes) or "no objects that can be read"
            raise _fault(server, study, "no scan in the study", why, "give a study of CT, MR or other planes")
        faults = {case: _at(server, study, fault) for case, fault in scans.faults.items()}
        yield replace(scans, faults=faults, notes=tuple(_at(server, study, note) for note in scans.notes))


def _image_series(server: Server, study: str, wanted: str | None) -> list[str]:
    """The series to fetch, sorted."""
    listed = _listed(server, f"studies/{study}/series", SERIES, study, MOST_SERIES)
    if wanted is not None:
        listed = {uid: entry for uid, entry in listed.items() if uid == wanted}
    if not listed:
        what = "no such study" if wanted is None else f"no series {wanted} in the study"
        raise _fault(server, study, what, "nothing", "check the UID, and the URL of the service")
    images = [uid for uid, entry in listed.items() if _value(entry, MODALITY) not in NO_IMAGES]
    if not images:
        kinds = ", ".join(sorted({str(_value(entry, MODALITY)) for entry in listed.values()}))
        raise _fault(server, study, "no series of images", kinds, "give a study of CT, MR or other planes")
    return sorted(images)


def _fetch(server: Server, study: str, series: str, folder: Path, most: int) -> int:
    """All objects of a series, each in a file; returns their bytes."""
    path = f"studies/{study}/series/{series}"
    expected = set(_listed(server, f"{path}/instances", OBJECT, study, MOST_OBJECTS))
    got: set[str] = set()
    size, count = 0, len(list(folder.iterdir()))
    with server.asked(path, ACCEPT, most) as answer:
        server.refuse_status(answer)
        for number, pieces in enumerate(objects_in(answer), start=count):
            if number - count >= MOST_OBJECTS:
                raise _fault(
                    server, study, "too many objects", f"more than {MOST_OBJECTS}", "give one --series"
                )
            file = folder / f"{number:06d}.dcm"
            with told(file), file.open("wb") as out:
                size += sum(out.write(piece) for piece in pieces)
            uid = _own(server, study, series, file)
            if uid in got:
                raise _fault(server, study, "the server sends an object twice", uid, "ask its operator")
            got.add(uid)
    if missing := expected - got:
        found = f"{len(missing)} of {len(expected)} missing from series {series}"
        raise _fault(server, study, "the server does not send all objects that it lists", found, "try again")
    return size


def _own(server: Server, study: str, series: str, file: Path) -> str:
    """The UID of a fetched object. Raises DataError where it is of another series or none at all."""
    told_study, told_series, uid = identity_of_object(file)
    if (told_study, told_series) != (study, series) or not uid:
        what = (
            "something that is no DICOM object" if not uid else f"series {told_series} of study {told_study}"
        )
        raise _fault(
            server, study, "the server sends what was not asked for", what, "check the URL; ask its operator"
        )
    return uid


def _listed(server: Server, path: str, key: str, study: str, most: int) -> dict[str, Mapping[str, Any]]:
    """UID -> what the search says of it. Servers cut long answers, so more is asked for until none comes."""
    found: dict[str, Mapping[str, Any]] = {}
    while True:
        entries = server.found(path, len(found))
        fresh = {}
        for entry in entries:
            uid, of = _value(entry, key), _value(entry, STUDY)
            if of not in (None, study):
                raise _fault(
                    server, study, "the server answers with other studies", str(of), "ask its operator"
                )
            if not isinstance(uid, str) or not UID.fullmatch(uid):
                raise _fault(
                    server, study, "the server lists something without a UID", repr(uid), "check the URL"
                )
            if uid not in found:
                fresh[uid] = entry
        found |= fresh
        if len(found) > most:
            raise _fault(server, study, "the study is too large", f"more than {most}", "give one --series")
        if not fresh:
            return found


def _value(entry: Mapping[str, Any], key: str) -> Any:
    """The first value of an attribute in DICOM's JSON; None where there is none."""
    attribute = entry.get(key)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _fault(server: Server, study: str, fault: str, found: str, remedy: str) -> DataError:
    return DataError(fault, path=f"{server.base}/studies/{study}", found=found, remedy=remedy)


def _at(server: Server, study: str, fault: DataError) -> DataError:
    """The same fault, at the server: the folder in which it was found is gone when it is told."""
    return DataError(
        fault.fault,
        path=f"{server.base}/studies/{study}",
        found=fault.found,
        expected=fault.expected,
        remedy=fault.remedy,
    )
