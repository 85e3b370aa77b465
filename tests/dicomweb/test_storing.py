"""Servers that do not store what they were sent: none is taken for one that did."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest

from semivox.cohort import read_volume, write_mask
from semivox.dicomweb import Server, address_of, store
from semivox.errors import DataError

from ..dicom.made_series import numbers, write_series
from ..dicom.test_segmentation import SEGMENTS, mask
from .conftest import Fake, say
from .test_misbehaviour import KIND, SERIES, STUDY, body

REASON = {"00081197": {"vr": "US", "Value": [272]}}
REFUSED = json.dumps({"00081198": {"vr": "SQ", "Value": [REASON]}}).encode()
DICOM_JSON = "application/dicom+json"


@pytest.fixture
def segmentation(tmp_path: Path) -> Path:
    write_series(tmp_path / "series", numbers(), uids=(SERIES, STUDY))
    return write_mask(tmp_path / "m", mask(), read_volume(tmp_path / "series"), "dicom-seg", "", SEGMENTS)


def send(fake: Fake, path: Path) -> None:
    store(Server(address_of(f"dicomweb:{fake.base}"), 2.0), path)


def sent_and(fake: Fake, path: Path, status: int = 200, answer: bytes = b"{}") -> str:
    """The server says ``answer`` to what is sent; returns the end of the address to read back."""
    fake.answers[f"/studies/{STUDY}"] = say(status, DICOM_JSON, answer)
    return f"/instances/{pydicom.dcmread(path).SOPInstanceUID}"


def test_what_comes_back_is_compared(fake: Fake, segmentation: Path) -> None:
    place = sent_and(fake, segmentation)
    with pytest.raises(DataError, match="stored, and not there"):
        send(fake, segmentation)
    fake.answers[place] = say(200, KIND, body([segmentation.read_bytes()]))
    send(fake, segmentation)
    # other patients are the server's to correct, pixels and segments are not
    for name, value, said in [
        ("PatientName", "RIGHT^NAME", None),
        ("PixelData", bytes(len(pydicom.dcmread(segmentation).PixelData)), "another pixels"),
        ("SegmentSequence", pydicom.dcmread(segmentation).SegmentSequence[:2], "another segments"),
        ("SOPInstanceUID", "1.2.9", "another SOPInstanceUID"),
        ("Rows", 9, "another pixel format"),
    ]:
        other = pydicom.dcmread(segmentation)
        setattr(other, name, value)
        buffer = pydicom.filebase.DicomBytesIO()
        other.save_as(buffer)
        fake.answers[place] = say(200, KIND, body([bytes(buffer.getvalue())]))
        if said is None:
            send(fake, segmentation)
            continue
        with pytest.raises(DataError, match=said):
            send(fake, segmentation)
    for odd in (b"", b"no DICOM", segmentation.read_bytes()[:2000]):
        fake.answers[place] = say(200, KIND, body([odd]))
        with pytest.raises(DataError, match="another "):
            send(fake, segmentation)


def test_a_server_may_store_it_otherwise(fake: Fake, segmentation: Path) -> None:
    """Other syntaxes hold the same numbers."""
    place, other = sent_and(fake, segmentation), pydicom.dcmread(segmentation)
    other.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    buffer = pydicom.filebase.DicomBytesIO()
    other.save_as(buffer, implicit_vr=True, little_endian=True)
    fake.answers[place] = say(200, KIND, body([bytes(buffer.getvalue())]))
    send(fake, segmentation)


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (200, REFUSED, "refuses the object; found failure reason 272"),
        (202, REFUSED, "refuses the object; found failure reason 272"),
        (409, REFUSED, "refuses the object; found failure reason 272"),
        (409, b"<xml/>", "refuses the object; found 409 Conflict"),
        (401, b"", "asks for a login"),
        (500, b"", "found 500"),
        (302, b"", "points to another address"),
        (200, b"[1", "stored, and not there"),
        (200, b"{}", "stored, and not there"),
        (200, b'{"00081198": {"Value": "odd"}}', "refuses|not there"),
    ],
)
def test_a_refusal_is_told(fake: Fake, segmentation: Path, status: int, answer: bytes, said: str) -> None:
    sent_and(fake, segmentation, status, answer)
    with pytest.raises(DataError, match=said):
        send(fake, segmentation)
